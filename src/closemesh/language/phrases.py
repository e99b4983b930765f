"""Plain English for every statement: templates with slots, and the phrases that may fill each slot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from closemesh.body.capsules import COARSE_PARTS
from closemesh.language.statements import BENDING_JOINTS, POINTS

Phrases = Mapping[str, tuple[str, ...]]
"""For each word of the vocabulary the phrases that say it; the first is the plainest."""

THEIR = "their"  # In a template: the other point is the same person's.


@dataclass(frozen=True)
class Template:
    """One way to say a kind of statement. Slots are {field}; {!relation} says a relation the other way round."""

    text: str
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Fields that this sentence says without a slot."""


def _plain(words: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {word: (word.replace("_", " "),) for word in words}


def _parts() -> dict[str, tuple[str, ...]]:
    also = {"upper_trunk": "upper body", "lower_trunk": "lower body"}
    for side in ("left", "right"):
        also |= {f"{side}_lower_leg": f"{side} shin", f"{side}_upper_arm": f"upper {side} arm"}
    plain = _plain(COARSE_PARTS)
    return {part: (*plain[part], also[part]) if part in also else plain[part] for part in COARSE_PARTS}


_BENDS = {
    "straight": ("straight", "stretched", "fully extended"),
    "slightly_bent": ("slightly bent", "a little bent"),
    "bent": ("bent", "bent at about a right angle", "clearly bent"),
    "sharply_bent": ("sharply bent", "bent as far as it goes"),
}
_ARM_HEIGHTS = {
    "down": ("hangs down", "is down along the trunk"),
    "low": ("is slightly raised", "is raised a little"),
    "shoulder_height": ("is raised to shoulder height", "is stretched out from the shoulder"),
    "overhead": ("is raised overhead", "is raised high"),
}
_RELATIONS = {
    "above": ("above", "higher than", "over"),
    "in_front_of": ("in front of", "further forward than"),
    "left_of": ("to the left of", "further left than"),
}
_INVERSE = {
    "above": ("below", "lower than", "under"),
    "in_front_of": ("behind", "further back than"),
    "left_of": ("to the right of", "further right than"),
}
_SPACINGS = {
    "close": ("close together", "near each other"),
    "shoulder_width": ("shoulder width apart", "about as far apart as the shoulders"),
    "wide": ("wide apart", "far apart", "spread wide"),
}
_POSTURES = {
    "upright": ("is upright", "holds the trunk upright"),
    "leaning_forward": ("leans forward", "is bent forward"),
    "leaning_back": ("leans back", "is tilted back"),
    "face_up": ("is face up", "has the chest turned up"),
    "face_down": ("is face down", "has the chest turned down"),
    "on_left_side": ("is on the left side", "lies on the left side"),
    "on_right_side": ("is on the right side", "lies on the right side"),
    "upside_down": ("is upside down", "is head down"),
}
_FACINGS = {
    "facing_each_other": ("face each other", "are face to face", "are turned to each other"),
    "back_to_back": ("are back to back", "have their backs to each other"),
    "side_by_side": ("are side by side", "are beside each other, looking the same way"),
}

PHRASES: Mapping[str, Mapping[str, Phrases]] = {
    "joint_angle": {"joint": _plain(BENDING_JOINTS), "bend": _BENDS},
    "arm_height": {"side": _plain(("left", "right")), "height": _ARM_HEIGHTS},
    "placement": {
        "point": _plain(POINTS),
        "of_point": _plain(POINTS),
        "relation": _RELATIONS,
        "!relation": _INVERSE,
    },
    "spacing": {"limbs": _plain(("hands", "elbows", "knees", "feet")), "apart": _SPACINGS},
    "posture": {"posture": _POSTURES},
    "facing": {"how": _FACINGS},
    "touch": {"part_a": _parts(), "part_b": _parts()},
    "depth_order": {},
    "support": {},
}

_TOUCHES = ("touches", "is on", "is in contact with", "rests on", "presses against")
_BEHIND = {"how": "behind"}

TEMPLATES: Mapping[str, tuple[Template, ...]] = {
    "joint_angle": (
        Template("{person}'s {joint} is {bend}"),
        Template("the {joint} of {person} is {bend}"),
        Template("{person} keeps the {joint} {bend}"),
        Template("{person} has the {joint} {bend}"),
    ),
    "arm_height": (
        Template("{person}'s {side} arm {height}"),
        Template("the {side} arm of {person} {height}"),
    ),
    "placement": (
        Template("{person}'s {point} is {relation} {of_person}'s {of_point}"),
        Template("{of_person}'s {of_point} is {!relation} {person}'s {point}"),
        Template("the {point} of {person} is {relation} the {of_point} of {of_person}"),
        Template("the {of_point} of {of_person} is {!relation} the {point} of {person}"),
        Template(f"{{person}}'s {{point}} is {{relation}} {THEIR} {{of_point}}"),
        Template(f"{{person}} has the {{point}} {{relation}} {THEIR} {{of_point}}"),
    ),
    "spacing": (
        Template("{person}'s {limbs} are {apart}"),
        Template("the {limbs} of {person} are {apart}"),
        Template("{person} has the {limbs} {apart}"),
    ),
    "posture": (Template("{person} {posture}"),),
    "facing": (
        Template("{person_a} and {person_b} {how}"),
        Template("{person_b} and {person_a} {how}"),
        Template("{person_a} is behind {person_b}", _BEHIND),
        Template("{person_a} faces the back of {person_b}", _BEHIND),
        Template("{person_b} has {person_a} at the back", _BEHIND),
    ),
    "touch": (
        *(Template(f"{{person_a}}'s {{part_a}} {verb} {{person_b}}'s {{part_b}}") for verb in _TOUCHES),
        *(Template(f"{{person_b}}'s {{part_b}} {verb} {{person_a}}'s {{part_a}}") for verb in _TOUCHES),
        Template("{person_a} touches {person_b}'s {part_b} with the {part_a}"),
        Template("{person_b} touches {person_a}'s {part_a} with the {part_b}"),
    ),
    "depth_order": (
        Template("{nearer} is nearer to the camera than {farther}"),
        Template("{farther} is farther from the camera than {nearer}"),
        Template("seen from the camera, {nearer} is in front of {farther}"),
        Template("seen from the camera, {farther} is behind {nearer}"),
    ),
    "support": (
        Template("{carrier} carries {carried}"),
        Template("{carrier} holds {carried} off the ground"),
        Template("{carrier} bears the weight of {carried}"),
        Template("{carried} is carried by {carrier}"),
    ),
}
