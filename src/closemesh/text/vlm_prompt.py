"""The question to a vision-language model: prompt, annotated crop, answers to statements, and the vote over answers."""

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
from closemesh.text.grammar import from_json, person_letter
from closemesh.text.statements import (
    KINDS,
    Statement,
    TimedStatement,
)
from closemesh.text.vlm_client import UnusableAnswerError
from closemesh.text.vocabulary import (
    PERSON_FIELDS,
)
from closemesh.video import read_frames

Image = NDArray[np.uint8]
"""[H, W, 3] RGB."""

_MAJORITY = 0.5  # A statement needs a higher confidence to be accepted.
_MARGIN = 0.15  # Around the people, relative to their size.
_LONGEST, _SHORTEST = 1024, 512  # Pixels of the longer side of a crop.
_QUALITY = 90
_BOX_COLORS = ((255, 64, 64), (64, 160, 255), (64, 220, 96), (255, 200, 0))  # RGB.
_MAX_BRACES = 500  # Opening braces of one answer that are tried: a failing model may write nothing else.

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
    "trunk_pose": "twisted: the shoulders are turned to that side against the hips; leaning a little is 10-35 degrees, "
    "vertical less; hips_low: crouching, kneeling or on a seat",
    "head_pose": "the head relative to the trunk: turned and tilted to the person's own left or right, bent forward "
    "or back",
    "turned": "whether hips, shoulders or face of person_a point to person_b, away, or have the left or right side "
    "toward that person",
    "head_contact": "two faces touch, or the chin of person_a is over a shoulder of person_b",
    "support": "carrier bears the weight of carried, who does not stand on the ground",
}

_SYSTEM = (
    "You describe how people in a picture hold their bodies and touch each other, for a program that reconstructs them "
    "in 3D. Left and right are always the person's own left and right, not those of the picture."
)


def question(people: Sequence[int]) -> str:
    """The prompt about one or two people.

    Its text is part of the fingerprint of a question: every change asks the model again about finished clips.
    """
    letters = [person_letter(person) for person in people]
    named = f"the person marked {letters[0]}" if len(people) == 1 else f"the people marked {' and '.join(letters)}"
    kinds = "\n".join(_kind_line(kind, letters) for kind in KINDS if _applies(kind, len(people)))
    return (
        f"Describe {named}; the letter stands in the upper left corner of each box. Use only statements of these "
        f"kinds and only the words listed:\n{kinds}\n"
        "State only what you can see or are confident of; an empty list is a good answer. First think in a few "
        "sentences about who is who and which limb is whose. Then end with one JSON object of this form:\n"
        f'{{"statements": [{_example(letters)}]}}'
    )


def messages(people: Sequence[int], image_url: str) -> list[dict[str, Any]]:
    """The question and its image as messages of the chat protocol."""
    image = {"type": "image_url", "image_url": {"url": image_url}}
    content = [{"type": "text", "text": question(people)}, image]
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": content}]


def _applies(kind: str, num_people: int) -> bool:
    needs_two = len(KINDS[kind].person_fields()) > 1 and kind != "placement"
    return num_people > 1 or not needs_two


def _kind_line(kind: str, letters: Sequence[str]) -> str:
    names, words = (f.name for f in fields(KINDS[kind])), KINDS[kind].choices
    options = (f"{name}: {'|'.join(letters if name in PERSON_FIELDS else words[name])}" for name in names)
    return f'- "{kind}" ({"; ".join(options)}): {_MEANINGS[kind]}'


def _example(letters: Sequence[str]) -> str:
    first = f'{{"kind": "joint_angle", "person": "{letters[0]}", "joint": "left_elbow", "bend": "bent"}}'
    if len(letters) == 1:
        return f"{first}, ..."
    touch = f'"person_a": "{letters[0]}", "part_a": "left_hand", "person_b": "{letters[1]}", "part_b": "upper_trunk"'
    return f'{first}, {{"kind": "touch", {touch}}}, ...'


def load_frames(clip: Clip, wanted: Iterable[int]) -> dict[int, Image]:
    """The wanted frames of a clip by number, each RGB [H, W, 3]; frames beyond its end are missing."""
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
    """A crop [h, w, 3] of the people, each in a colored box with its letter.

    frame: [H, W, 3] RGB; boxes: for each person [4], x0, y0, x1, y1 in pixels.
    """
    corner, size = _crop_region(np.stack(list(boxes.values())), frame.shape)
    crop = frame[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]]
    scale = float(np.clip(max(size), _SHORTEST, _LONGEST) / max(size))
    image = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    image = np.ascontiguousarray(image)
    for place, (person, box) in enumerate(boxes.items()):
        corners = (np.asarray(box).reshape(2, 2) - corner) * scale
        _draw_box(image, corners, person_letter(person), _BOX_COLORS[place % 4])
    return image  # type: ignore[return-value]


def as_data_url(image: Image) -> str:
    """The image [H, W, 3] as JPEG in a data URL, as chat endpoints take it; equal images give equal text."""
    done, buffer = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(buffer.tobytes()).decode()


def parse_answer(text: str, people: Sequence[int]) -> frozenset[Statement]:
    """The statements of an answer, from its last JSON object with a list of them; other text is ignored.

    Statements that are not in the vocabulary or about other people are left out. Raises UnusableAnswerError when there
    is no such object, or no usable statement in a list that is not empty.
    """
    lists = [found["statements"] for found in _objects(text) if isinstance(found.get("statements"), list)]
    if not lists:
        raise UnusableAnswerError("without the JSON that was asked for")
    parsed = (_statement(value) for value in lists[-1])
    found = {statement for statement in parsed if statement and set(statement.people) <= set(people)}
    if lists[-1] and not found:
        raise UnusableAnswerError("in words that are not in the vocabulary")
    return frozenset(found)


def vote(answers: Sequence[frozenset[Statement]], start: float, end: float) -> tuple[TimedStatement, ...]:
    """The statements of most answers, from `start` to `end` seconds; the most frequent one of each topic.

    The confidence is the share of the answers, with half an answer added for and half against: a single answer proves
    little, and an empty answer counts against every statement.
    """
    votes = Counter(statement for answer in answers for statement in answer)
    best: dict[Any, Statement] = {}
    # Ties are broken by name, so that the order of the answers does not matter.
    for statement in sorted(votes, key=lambda s: (-votes[s], repr(s))):
        best.setdefault(statement.topic, statement)
    # Rounded as in the file, so that cached answers are equal to the last digit.
    timed = (TimedStatement(s, start, end, round((votes[s] + 0.5) / (len(answers) + 1), 3)) for s in best.values())
    return tuple(one for one in timed if one.confidence > _MAJORITY)


def _crop_region(boxes: Floats, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Corner [2] and size [2] in whole pixels of a region around all boxes [P, 4], inside the frame."""
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    margin = _MARGIN * (high - low).max()
    limit = np.array([shape[1], shape[0]])
    low = np.clip(np.floor(low - margin), 0, limit - 2).astype(np.int64)
    high = np.clip(np.ceil(high + margin), low + 2, limit).astype(np.int64)
    return low, high - low


def _draw_box(image: NDArray, corners: Floats, name: str, color: tuple[int, int, int]) -> None:
    (x0, y0), (x1, y1) = corners.round().astype(int)
    thick = max(2, round(max(image.shape[:2]) / 300))
    cv2.rectangle(image, (int(x0), int(y0)), (int(x1), int(y1)), color, thick)
    scale = max(image.shape[:2]) / 700
    (width, height), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, 2 * thick)
    x, y = max(int(x0), 0), max(int(y0), 0)  # The letter is inside the box, so that no border of the crop hides it.
    cv2.rectangle(image, (x, y), (x + width + 4 * thick, y + height + 4 * thick), color, -1)
    where = (x + 2 * thick, y + height + 2 * thick)
    cv2.putText(image, name, where, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 2 * thick, cv2.LINE_AA)


def _statement(value: Any) -> Statement | None:
    try:
        return from_json(value)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """All outermost JSON objects in a text."""
    decoder, place = json.JSONDecoder(), text.find("{")
    for _ in range(_MAX_BRACES):
        if place < 0:
            return
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield value
        place = text.find("{", end)
