"""The question that goes with a picture: closed lists, asked for as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from closemesh.language.say import letter
from closemesh.language.statements import KINDS, PERSON_FIELDS

_MEANINGS = {
    "joint_angle": "how far a joint is bent; straight is 0-25 degrees, slightly_bent 25-65, bent 65-115, sharply_bent "
    "more; a hip is straight when the thigh continues the trunk",
    "arm_height": "how high an upper arm is raised from the trunk",
    "placement": "point of person is above, in_front_of or left_of of_point of of_person; in_front_of and left_of only "
    "between points of one person, as that person sees it",
    "spacing": "how far apart both hands, elbows, knees or feet of a person are",
    "posture": "how the trunk stands to gravity",
    "facing": "how two trunks are turned to each other; behind: person_a looks at the back of person_b",
    "touch": "part_a of person_a and part_b of person_b touch, skin or clothes",
    "depth_order": "whose trunk is nearer to the camera",
    "support": "carrier bears the weight of carried, who does not stand on the ground",
}

SYSTEM = (
    "You describe how people in a picture hold their bodies and touch each other, for a program that reconstructs them "
    "in 3D. Left and right are always the person's own left and right, not those of the picture."
)


def question(people: Sequence[int]) -> str:
    """What is asked about these people."""
    letters = [letter(person) for person in people]
    named = f"the person marked {letters[0]}" if len(people) == 1 else f"the people marked {' and '.join(letters)}"
    kinds = "\n".join(_kind_line(kind, letters) for kind in KINDS if _askable(kind, len(people)))
    return (
        f"Describe {named}; the letter stands in the upper left corner of each box. Use only statements of these "
        f"kinds and only the words listed:\n{kinds}\n"
        "State only what you can see or are confident of; an empty list is a good answer. First think in a few "
        "sentences about who is who and which limb is whose. Then end with one JSON object of this form:\n"
        f'{{"statements": [{_example(letters)}]}}'
    )


def messages(people: Sequence[int], picture_url: str) -> list[dict[str, Any]]:
    """The same as messages of the chat protocol, with the picture."""
    picture = {"type": "image_url", "image_url": {"url": picture_url}}
    asked = [{"type": "text", "text": question(people)}, picture]
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]


def _askable(kind: str, num_people: int) -> bool:
    of_two = len(KINDS[kind].person_fields()) > 1 and kind != "placement"
    return num_people > 1 or not of_two


def _kind_line(kind: str, letters: Sequence[str]) -> str:
    names, words = (f.name for f in fields(KINDS[kind])), KINDS[kind].choices
    told = (f"{name}: {'|'.join(letters if name in PERSON_FIELDS else words[name])}" for name in names)
    return f'- "{kind}" ({"; ".join(told)}): {_MEANINGS[kind]}'


def _example(letters: Sequence[str]) -> str:
    first = f'{{"kind": "joint_angle", "person": "{letters[0]}", "joint": "left_elbow", "bend": "bent"}}'
    if len(letters) == 1:
        return f"{first}, ..."
    touch = f'"person_a": "{letters[0]}", "part_a": "left_hand", "person_b": "{letters[1]}", "part_b": "upper_trunk"'
    return f'{first}, {{"kind": "touch", {touch}}}, ...'
