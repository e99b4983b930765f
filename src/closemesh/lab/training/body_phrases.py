"""Other ways to say how trunks are, what two people do to each other, and what people and parts are called."""

from __future__ import annotations

from collections.abc import Mapping

Said = tuple[str, ...]

POSTURES: Mapping[str, Said] = {
    "upright": (
        *(
            "{who} stands tall",
            "{part:back} is upright",
            "{part:back} is straight",
            "{part:upper body} is upright",
            "{part:torso} is vertical",
            "{part:back} is straight up",
            "{part:torso} is upright",
        ),
        *(
            "{who} sits upright",
            "{who} holds himself upright",
            "{part:body} is erect",
            "{part:trunk} does not lean",
            "{who} has an upright torso",
        ),
    ),
    "leaning_forward": (
        *("{part:torso} tilts forward", "{who} stoops", "{who} bends over", "{who} bows", "{part:back} is inclined"),
        *("{part:upper body} is inclined to the front", "{who} is hunched forward", "{part:chest} leans over"),
        *("{who} leans far forward", "{who} is bent over", "{who} bends forward", "{part:torso} is bent forward"),
        *("{part:body} leans forward", "{who} leans over", "{part:trunk} is bent forward", "{who} leans forward"),
        *(
            "{who} is bent at the waist",
            "{who} is crouched forward",
            "{who} pitches forward",
            "{part:torso} leans ahead",
        ),
    ),
    "leaning_back": (
        *("{who} is leaning backwards", "{part:torso} is tipped back", "{who} reclines", "{part:back} leans backward"),
        *("{part:upper body} is tilted to the rear", "{part:torso} leans back", "{who} leans far back"),
        *("{who} is leaning back", "{part:trunk} is tipped backward", "{who} bends backward"),
    ),
    "face_up": (
        *("{who} lies on the back", "{who} is lying face upward", "{who} is supine", "{part:belly} is up"),
        *(
            "{part:back} is to the ground",
            "{who} is lying on the back",
            "{who} lies face up",
            "{part:back} is on the floor",
        ),
        *("{part:chest} faces the ceiling", "{who} is flat on the back"),
    ),
    "face_down": (
        *("{who} is prone", "{part:torso} is horizontal with the chest down", "{who} is bent over all the way"),
        *("{part:belly} is down", "{who} lies on the stomach", "{part:back} is turned to the sky"),
        *("{who} faces the floor", "{who} is lying on the stomach", "{part:chest} faces the ground"),
        *("{part:back} is flat", "{part:trunk} is horizontal", "{part:torso} is parallel to the ground"),
        *("{who} lies face down", "{who} is bent over to the horizontal", "{part:torso} is folded down"),
    ),
    "on_left_side": (
        "{who} lies sideways on the left",
        "{who} has the left side down",
        "{who} tips over to the left",
        "{who} lies on the left side",
    ),
    "on_right_side": (
        *(
            "{who} lies on the right side",
            "{who} lies sideways on the right",
            "{who} has the right side down",
            "{who} tips over to the right",
        ),
    ),
    "upside_down": (
        *("{who} is inverted", "{who} is in a handstand", "{part:head} is lowest", "{who} stands on the hands"),
        *("{part:legs} are over the head", "{who} is head down", "{who} does a cartwheel", "{who} does a headstand"),
        *("{part:feet} are up in the air above the head", "{who} is upside down"),
    ),
}
FACINGS: Mapping[str, Said] = {
    "facing_each_other": (
        *(
            "{a} and {b} look at one another",
            "{a} stands opposite {b}",
            "{a} is turned towards {b} and {b} towards {a}",
        ),
        "{a} and {b} are front to front",
    ),
    "back_to_back": ("{a} and {b} look away from each other", "{a} and {b} turn their backs on each other"),
    "side_by_side": ("{a} is next to {b}", "{a} and {b} look in the same direction", "{a} stands beside {b}"),
    "behind": ("{a} stands at the back of {b}", "{a} looks at {b} from behind", "{b} is in front of {a}"),
}
TOUCHES = ("is against", "lies on", "holds", "is pressed to", "meets", "reaches", "is laid on", "is at", "feels")
PARTS: Mapping[str, Said] = {
    "head": ("head", "face"),
    "upper_trunk": ("chest", "upper back", "torso", "upper body", "back"),
    "lower_trunk": ("belly", "waist", "lower back", "hips", "lower body"),
    "shoulder": ("{side} shoulder",),
    "upper_arm": ("{side} upper arm", "{side} arm"),
    "forearm": ("{side} forearm", "{side} lower arm", "{side} arm"),
    "hand": ("{side} hand", "{side} palm", "{side} fist"),
    "thigh": ("{side} thigh", "{side} upper leg", "{side} leg"),
    "lower_leg": ("{side} shin", "{side} calf", "{side} leg"),
    "foot": ("{side} foot", "{side} heel"),
}
SUPPORTS = (
    *(
        "{a} lifts {b}",
        "{a} has lifted {b} up",
        "{b} is held up by {a}",
        "{b} hangs on {a}",
        "{b} is in the arms of {a}",
    ),
    "{b} does not stand on the ground but is borne by {a}",
)
POSSESSED = ("{who}'s {part}", "the {part} of {who}", "{who}'s {part}")
OWN = ("the {part}", "his {part}", "her {part}", "their {part}", "{part}")
ANYBODY = ("he", "she", "they", "the person", "someone", "the man", "the woman", "the figure", "somebody", "")
