"""Question, annotated crop, answer parsing, vote.

The question that goes with a picture: closed lists, asked for as JSON.

The picture that is shown with a question: cut out around the people, each in a box with his letter.

From what a model wrote to statements, and from several of its answers to one with confidences.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from closemesh.core.arrays import Floats
from closemesh.structures import Clip
from closemesh.text.grammar import from_json, letter
from closemesh.text.statements import KINDS, PERSON_FIELDS, Statement, TimedStatement
from closemesh.text.vlm_client import UnusableAnswerError
from closemesh.video import read_frames

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


Image = NDArray[np.uint8]

_MARGIN = 0.15  # Of the people's extent, around them.
_LONGEST, _SHORTEST = 1024, 512  # Pixels of the longer side.
_QUALITY = 90
_COLOURS = ((255, 64, 64), (64, 160, 255), (64, 220, 96), (255, 200, 0))  # RGB.


def frames_at(clip: Clip, wanted: Iterable[int]) -> dict[int, Image]:
    """Some of the frames of a clip, RGB [H, W, 3]."""
    missing = set(wanted)
    found: dict[int, Image] = {}
    for index, frame in enumerate(read_frames(clip)):
        if not missing:
            break
        if index in missing:
            found[index] = np.array(frame)
            missing.remove(index)
    return found


def annotated_crop(frame: Image, boxes: Mapping[int, Floats]) -> Image:
    """The people with these boxes (x0, y0, x1, y1 pixels), cut out of an RGB frame, each boxed and named."""
    corner, size = _cut_out(np.stack(list(boxes.values())), frame.shape)
    cut = frame[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]]
    scale = float(np.clip(max(size), _SHORTEST, _LONGEST) / max(size))
    picture = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    picture = np.ascontiguousarray(picture)
    for place, (person, box) in enumerate(boxes.items()):
        _mark(picture, (np.asarray(box).reshape(2, 2) - corner) * scale, letter(person), _COLOURS[place % 4])
    return picture  # type: ignore[return-value]


def as_data_url(picture: Image) -> str:
    """JPEG in base64, as chat endpoints take it; the same picture gives the same text."""
    done, buffer = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(buffer.tobytes()).decode()


def _cut_out(boxes: Floats, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Corner and size in whole pixels of what holds all boxes, within the frame."""
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    margin = _MARGIN * (high - low).max()
    limit = np.array([shape[1], shape[0]])
    low = np.clip(np.floor(low - margin), 0, limit - 2).astype(np.int64)
    high = np.clip(np.ceil(high + margin), low + 2, limit).astype(np.int64)
    return low, high - low


def _mark(picture: NDArray, corners: Floats, name: str, colour: tuple[int, int, int]) -> None:
    (x0, y0), (x1, y1) = corners.round().astype(int)
    thick = max(2, round(max(picture.shape[:2]) / 300))
    cv2.rectangle(picture, (int(x0), int(y0)), (int(x1), int(y1)), colour, thick)
    scale = max(picture.shape[:2]) / 700
    (width, height), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, 2 * thick)
    x, y = max(int(x0), 0), max(int(y0), 0)  # The letter stands inside the box, so that no edge cuts it off.
    cv2.rectangle(picture, (x, y), (x + width + 4 * thick, y + height + 4 * thick), colour, -1)
    where = (x + 2 * thick, y + height + 2 * thick)
    cv2.putText(picture, name, where, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 2 * thick, cv2.LINE_AA)


_MOST_BRACES = 500  # Looked at in one answer: a model that has lost its way may write nothing else.
HALF = 0.5  # What fewer than half of the answers say is left out.


def read_answer(text: str, people: Sequence[int]) -> frozenset[Statement]:
    """The statements of an answer: its last JSON object that holds any. Other words around it do not matter.

    Statements outside the vocabulary or about others are left out. Raises UnusableAnswerError when there is no such
    object, or nothing in it could be read.
    """
    lists = [found["statements"] for found in _objects(text) if isinstance(found.get("statements"), list)]
    if not lists:
        raise UnusableAnswerError("without the JSON that was asked for")
    found = {said for value in lists[-1] if (said := _statement(value)) and set(said.people) <= set(people)}
    if lists[-1] and not found:
        raise UnusableAnswerError("in words that are not in the vocabulary")
    return frozenset(found)


def vote(answers: Sequence[frozenset[Statement]], start: float, end: float) -> tuple[TimedStatement, ...]:
    """What most of the answers say; of statements that exclude each other the one that is said most.

    The confidence is the share of the answers, as if half an answer more had been for and half against: one answer
    alone proves little, and an empty answer counts against everything.
    """
    votes = Counter(statement for answer in answers for statement in answer)
    best: dict[Any, Statement] = {}
    # By name where the votes are equal, so that the order of the answers does not matter.
    for statement in sorted(votes, key=lambda s: (-votes[s], repr(s))):
        best.setdefault(statement.topic, statement)
    # Rounded as in the file, so that kept answers are the same to the last digit.
    told = (TimedStatement(s, start, end, round((votes[s] + 0.5) / (len(answers) + 1), 3)) for s in best.values())
    return tuple(one for one in told if one.confidence > HALF)


def _statement(value: Any) -> Statement | None:
    try:
        return from_json(value)
    except (ValueError, AttributeError, TypeError):
        return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """Every JSON object in a text, outermost ones only."""
    decoder, place = json.JSONDecoder(), text.find("{")
    for _ in range(_MOST_BRACES):
        if place < 0:
            return
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield value
        place = text.find("{", end)
