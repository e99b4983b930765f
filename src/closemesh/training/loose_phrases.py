"""Other ways to say what the vocabulary says: only for learning to read, so that free wordings are understood.

`say` writes none of these and `read` takes none. `{part}` is who has the part and the part, `{who}` a person.
"""

from __future__ import annotations

from collections.abc import Mapping

Said = tuple[str, ...]

BENDS: Mapping[str, Mapping[str, Said]] = {
    "elbow": {
        "straight": ("is kept straight", "is extended", "is locked", "does not bend", "is unbent", "stays long"),
        "slightly_bent": (
            *("is softly bent", "is gently flexed", "bends a bit", "is slightly flexed", "is loosely bent"),
            *("is almost straight", "is not quite straight", "has a slight bend", "is relaxed"),
        ),
        "bent": (
            *("is flexed", "is crooked", "is bent to ninety degrees", "is half bent", "makes a right angle"),
            *("is bent at 90 degrees", "forms an L", "is folded halfway", "bends"),
        ),
        "sharply_bent": (
            *("is folded tightly", "is fully flexed", "is doubled up", "is strongly bent", "is bent hard"),
            *("is bent all the way", "is closed", "is deeply bent", "folds up"),
        ),
    },
}
BENDS = {**BENDS, "knee": BENDS["elbow"], "hip": BENDS["elbow"]}

LIMB_OF = {
    "elbow": ("{side} elbow", "elbow of the {side} arm", "{side} arm at the elbow"),
    "knee": ("{side} knee", "knee of the {side} leg", "{side} leg at the knee"),
    "hip": ("{side} hip", "{side} hip joint", "{side} thigh against the trunk"),
}
LIMB_WORDS: Mapping[str, Mapping[str, Said]] = {
    "elbow": {
        "straight": ("the {side} arm is straight", "{part:arm} is stretched out", "{part:arm} is fully extended"),
        "slightly_bent": ("{part:arm} is slightly bent", "{part:arm} is nearly straight", "{part:arm} is a bit bent"),
        "bent": ("{part:arm} is bent", "{part:forearm} is at a right angle to the upper arm", "{part:arm} is crooked"),
        "sharply_bent": (
            "{part:forearm} is folded against the upper arm",
            "{part:hand} is drawn up to the {side} shoulder",
            "{part:arm} is folded up",
        ),
    },
    "knee": {
        "straight": ("{part:leg} is straight", "{part:leg} is stretched", "{part:leg} is extended"),
        "slightly_bent": ("{part:leg} is slightly bent", "{part:knee} gives a little", "{part:leg} is nearly straight"),
        "bent": ("{part:leg} is bent", "{part:lower leg} is at a right angle to the thigh", "{part:leg} is flexed"),
        "sharply_bent": (
            "{part:lower leg} is folded under the thigh",
            "{part:heel} is close to the buttocks",
            "{part:leg} is folded up",
        ),
    },
    "hip": {
        "straight": ("{part:thigh} is in line with the torso", "{who} is straight at the {side} hip"),
        "slightly_bent": ("{part:thigh} is slightly forward", "{who} is a little bent at the {side} hip"),
        "bent": (
            "{part:thigh} is raised to the front",
            "{part:leg} is lifted in front",
            "{part:thigh} is at a right angle to the torso",
        ),
        "sharply_bent": (
            "{part:thigh} is close to the chest",
            "{part:knee} is drawn up to the chest",
            "{part:thigh} is folded against the belly",
        ),
    },
}
ARM_HEIGHTS: Mapping[str, Said] = {
    "down": (
        *("hangs at the side", "hangs loosely", "is lowered", "rests by the side", "stays down", "dangles"),
        *("is held close to the body", "is by the hip", "points to the ground"),
    ),
    "low": (
        *("is held a little away from the body", "is lifted slightly", "is a bit out from the side", "is low"),
        *("moves slightly away from the trunk", "is not far from the body", "points diagonally down"),
    ),
    "shoulder_height": (
        *("is lifted level with the shoulder", "is horizontal", "is at shoulder level", "is held out", "sticks out"),
        *("reaches out", "is extended outward", "is parallel to the floor", "is lifted up to shoulder level"),
    ),
    "overhead": (
        *("goes up", "is up in the air", "reaches up", "points to the sky", "is thrown up", "is lifted high"),
        *("is above the head", "stretches upward", "is held up high"),
    ),
}
RELATIONS: Mapping[str, Said] = {
    "above": ("is higher up than", "is above the level of", "is raised above", "is up over", "is lifted above"),
    "in_front_of": ("is ahead of", "is forward of", "comes before", "is out in front of"),
    "left_of": ("is on the left side of", "is left from", "has crossed to the left of"),
}
INVERSE: Mapping[str, Said] = {
    "above": ("is down below", "is lower down than", "is beneath", "is underneath"),
    "in_front_of": ("is at the back of", "is further behind than", "stays behind", "is back from"),
    "left_of": ("is on the right side of", "is right from", "has crossed to the right of"),
}
POINTS: Mapping[str, Said] = {
    "hand": ("{side} hand", "{side} palm", "{side} wrist", "{side} fist"),
    "foot": ("{side} foot", "{side} heel", "{side} ankle"),
    "knee": ("{side} knee",),
    "elbow": ("{side} elbow",),
    "shoulder": ("{side} shoulder",),
    "hip": ("{side} hip", "{side} side of the pelvis"),
    "head": ("head", "face"),
}
PLACEMENTS: Mapping[tuple[str, str, str], Said] = {
    ("hand", "above", "head"): ("{part:hand} is over the head", "{part:hand} is up above the head"),
    ("hand", "above", "shoulder"): ("{part:hand} is raised above shoulder level", "{part:hand} is up high"),
    ("hand", "above", "elbow"): (
        *("{part:forearm} points up", "{part:hand} is raised higher than its elbow", "{part:forearm} is lifted"),
        "{part:hand} is held up",
    ),
    ("hand", "above", "hand"): ("{part:hand} is higher than the other hand", "{part:hand} is the upper one"),
    ("hand", "in_front_of", "hip"): (
        *("{part:hand} is in front of the body", "{part:hand} is held forward", "{part:hand} reaches forward"),
        "{part:hand} is before the belly",
    ),
    ("hip", "in_front_of", "hand"): (
        *("{part:hand} is behind the back", "{part:hand} is behind the body", "{part:hand} is held back"),
        "{part:arm} goes backwards",
    ),
    ("elbow", "in_front_of", "shoulder"): ("{part:elbow} points forward", "{part:elbow} is in front of the chest"),
    ("shoulder", "in_front_of", "elbow"): (
        *("{part:elbow} is drawn back", "{part:elbow} points backward", "{part:arm} is pulled back"),
        "{part:elbow} is behind the back",
    ),
    ("knee", "above", "hip"): ("{part:knee} is pulled up high", "{part:knee} is lifted above the waist"),
    ("knee", "above", "knee"): ("{part:knee} is lifted", "{part:knee} is raised higher than the other one"),
    ("foot", "above", "foot"): (
        *("{part:foot} is off the ground", "{part:foot} is lifted", "{part:leg} is in the air"),
        *("{who} stands on the {other} foot", "{part:foot} is higher than the other foot", "{part:leg} is raised"),
    ),
    ("foot", "in_front_of", "foot"): (
        *("{part:foot} is forward", "{who} steps forward with the {side} foot", "{part:foot} leads"),
        *("{part:leg} is in front", "{part:foot:other} is behind", "{part:leg:other} is back"),
    ),
}
CROSSED: Mapping[str, Said] = {
    "hand": ("{both:arms} are crossed", "{both:hands} are crossed", "{both:wrists} cross"),
    "foot": ("{both:feet} are crossed", "{both:legs} are crossed", "{both:ankles} cross"),
    "knee": ("{both:knees} are crossed", "{both:legs} are crossed"),
}
SPACINGS: Mapping[tuple[str, str], Said] = {
    ("hands", "close"): (
        *("{both:hands} almost meet", "{both:hands} are together", "{both:hands} are held next to each other"),
        "{both:palms} are close to one another",
    ),
    ("hands", "shoulder_width"): ("{both:hands} are a shoulder width from each other", "{both:hands} are apart"),
    ("hands", "wide"): (
        *("{both:hands} are far from each other", "{both:arms} are spread", "{both:arms} are spread out wide"),
        "{both:hands} are a long way apart",
    ),
    ("elbows", "close"): ("{both:elbows} are tucked in", "{both:elbows} almost touch", "{both:elbows} are together"),
    ("elbows", "shoulder_width"): ("{both:elbows} are a shoulder width apart", "{both:elbows} are near the ribs"),
    ("elbows", "wide"): ("{both:elbows} stick out", "{both:elbows} are flared out", "{both:elbows} are spread"),
    ("knees", "close"): ("{both:knees} are together", "{both:knees} nearly touch", "{both:knees} are side by side"),
    ("knees", "shoulder_width"): ("{both:knees} are apart", "{both:knees} are a shoulder width from each other"),
    ("knees", "wide"): ("{both:knees} are spread", "{both:legs} are spread wide", "{both:knees} point far outwards"),
    ("feet", "close"): (
        *("{both:feet} are together", "{both:feet} are side by side", "the stance is narrow", "the feet nearly touch"),
        "{both:legs} are together",
    ),
    ("feet", "shoulder_width"): (
        *("{both:feet} are apart", "{both:feet} are hip width apart", "the stance is normal", "the feet are apart"),
        "{both:feet} are a shoulder width from each other",
    ),
    ("feet", "wide"): (
        *("the stance is wide", "{both:legs} are apart", "{both:feet} are planted wide", "{both:legs} are spread"),
        *("{who} straddles", "{who} takes a big step", "{both:feet} are far from each other"),
    ),
}
POSTURES: Mapping[str, Said] = {
    "upright": (
        *("{who} stands tall", "{part:torso} is vertical", "{part:back} is straight up", "{part:torso} is upright"),
        *("{part:body} is erect", "{part:trunk} does not lean", "{who} has an upright torso"),
    ),
    "leaning_forward": (
        *("{part:torso} tilts forward", "{who} stoops", "{who} bends over", "{who} bows", "{part:back} is inclined"),
        *("{part:upper body} is inclined to the front", "{who} is hunched forward", "{part:chest} leans over"),
    ),
    "leaning_back": (
        *("{who} is leaning backwards", "{part:torso} is tipped back", "{who} reclines", "{part:back} leans backward"),
        "{part:upper body} is tilted to the rear",
    ),
    "face_up": (
        *("{who} lies on the back", "{who} is lying face upward", "{who} is supine", "{part:belly} is up"),
        "{part:back} is to the ground",
    ),
    "face_down": (
        *("{who} is prone", "{part:torso} is horizontal with the chest down", "{who} is bent over all the way"),
        *("{part:belly} is down", "{who} lies on the stomach", "{part:back} is turned to the sky"),
        "{who} faces the floor",
    ),
    "on_left_side": ("{who} lies sideways on the left", "{who} has the left side down", "{who} tips over to the left"),
    "on_right_side": (
        *("{who} lies sideways on the right", "{who} has the right side down", "{who} tips over to the right"),
    ),
    "upside_down": (
        *("{who} is inverted", "{who} is in a handstand", "{part:head} is lowest", "{who} stands on the hands"),
        "{part:legs} are over the head",
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

SYNONYMS: Mapping[str, Said] = {
    "slightly": ("a bit", "somewhat", "mildly", "gently", "faintly", "a touch", "a trifle", "just barely"),
    "a little": ("a bit", "somewhat", "slightly", "a touch", "marginally"),
    "slightly bent": ("soft", "not locked", "unlocked", "loose", "with some give", "eased", "a bit crooked"),
    "nearly straight": ("almost extended", "close to straight", "all but straight"),
    "bent": ("flexed", "crooked", "angled", "folded", "cocked", "hooked", "curled"),
    "clearly bent": ("strongly angled", "well bent", "markedly flexed", "half folded"),
    "at about a right angle": ("squared", "at ninety degrees", "at 90 degrees", "like an L", "squarely"),
    "sharply": ("tightly", "fully", "strongly", "steeply", "acutely", "deeply", "hard"),
    "straight": ("extended", "stretched", "rigid", "stiff", "locked", "unbent", "long", "unflexed"),
    "fully extended": ("locked out", "stretched to the full", "completely straight", "dead straight"),
    "raised": ("lifted", "elevated", "held up", "hoisted", "brought up", "taken up", "put up", "swung up"),
    "lifted": ("raised", "picked up", "hoisted", "brought up", "in the air"),
    "is raised to shoulder height": ("is at chest level", "is out level", "is horizontal", "is at armpit height"),
    "shoulder height": ("the height of the shoulders", "shoulder level", "collarbone level", "chest level"),
    "hangs": ("dangles", "drops", "droops", "falls", "rests", "drapes", "sags"),
    "hangs down": ("drops by the thigh", "is at the side", "falls along the body", "stays by the ribs", "is lowered"),
    "overhead": ("above the head", "skyward", "toward the ceiling", "up high", "over the crown"),
    "trunk": ("torso", "body", "spine", "back", "chest", "upper body"),
    "torso": ("trunk", "chest", "upper body", "back", "spine", "ribcage"),
    "upright": ("vertical", "erect", "straight up", "plumb", "tall"),
    "leans": ("tilts", "tips", "inclines", "slants", "pitches", "bows"),
    "forward": ("ahead", "to the front", "frontward", "forwards"),
    "back": ("backward", "rearward", "to the rear", "backwards"),
    "in front of": ("ahead of", "forward of", "before", "to the fore of", "further front than"),
    "behind": ("at the rear of", "to the back of", "past", "rearward of", "in the rear of"),
    "above": ("over", "higher than", "on top of", "upward of"),
    "below": ("under", "lower than", "beneath", "underneath"),
    "hand": ("palm", "fist", "wrist", "fingers", "knuckles"),
    "hands": ("palms", "fists", "wrists", "fingers"),
    "foot": ("shoe", "sole", "toes", "heel", "ankle", "boot"),
    "feet": ("shoes", "soles", "toes", "heels", "ankles", "boots"),
    "head": ("face", "skull", "crown", "ears", "brow"),
    "hip": ("groin", "waist", "pelvis", "hip joint"),
    "hips": ("pelvis", "waist", "haunches"),
    "belly": ("stomach", "abdomen", "navel", "tummy"),
    "chest": ("breast", "ribs", "ribcage", "sternum"),
    "lower leg": ("shin", "calf"),
    "close together": ("nearly touching", "side by side", "side to side", "almost joined", "tight together", "narrow"),
    "shoulder width apart": ("a shoulder's breadth apart", "moderately apart", "comfortably apart", "hip width apart"),
    "wide apart": ("far from one another", "well apart", "splayed", "spread wide", "far out", "wide", "flung apart"),
    "spread": ("splayed", "parted", "opened", "flared", "spaced out"),
    "crossed": ("across each other", "over each other", "crisscrossed", "overlapping"),
    "touches": ("contacts", "presses", "brushes", "pushes against", "grips", "leans on", "clasps"),
    "rests on": ("lies against", "is placed on", "sits on", "is laid on", "is put on"),
    "carries": ("bears", "holds up", "supports", "lifts", "hauls"),
    "face each other": ("look at one another", "are opposite each other", "stand face to face", "are front to front"),
    "stands": ("is on foot", "is standing", "is up"),
    "squats": ("hunkers", "crouches", "is down on the haunches"),
    "lies": ("is stretched out", "is laid", "rests", "is flat"),
    "drawn": ("pulled", "taken", "brought", "moved"),
    "points": ("aims", "is directed", "heads"),
    "is": ("stays", "remains", "is kept", "is held", "appears"),
    "are": ("stay", "remain", "are kept", "are held", "look"),
}
"""Words and others that may stand for them; the longest that fits is exchanged."""
