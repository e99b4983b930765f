"""The picture that is shown with a question: cut out around the people, each in a box with his letter."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from closemesh.language.say import letter
from closemesh.scene import Clip, Floats
from closemesh.video import read_frames

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


def marked_picture(frame: Image, boxes: Mapping[int, Floats]) -> Image:
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
