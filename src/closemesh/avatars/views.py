"""The frames that looks are learned from: a few, cut to the people and scaled, so that memory stays small."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from closemesh.avatars.render import Viewport
from closemesh.core.arrays import Bools
from closemesh.structures import Camera

Image = NDArray[np.uint8]

_DOUBT = 0.04  # Of the side: nearer to another person, masks are often wrong.
_CLEAR = 0.05  # Of the people's pixels, weighted by doubt.
UNKNOWN = 255  # Label of what lies outside of the frame: somebody may go on there.


@dataclass(frozen=True)
class ViewConfig:
    """How much of a clip is looked at."""

    side: int = 256
    """Pixels of the square pictures."""
    most: int = 64
    """Frames that are held at once; five bytes for each pixel."""
    margin: float = 0.1
    """Of the people's extent, added on every side."""


@dataclass(frozen=True)
class TrainingView:
    """A square part of a frame around all people, scaled."""

    frame: int
    """Among the processed frames of the clip."""
    image: Image
    """[S, S, 3] RGB."""
    labels: Image
    """[S, S] 0 nobody, p + 1 person p, UNKNOWN outside of the frame."""
    confidence: Image
    """[S, S] 0..255, how far the labels tell people apart: little where two of them meet."""
    view: Viewport
    """The camera of the square."""


def evenly_spaced_frames(usable: Bools, most: int) -> list[int]:
    """At most `most` of the frames [T] that are usable, spread evenly over them."""
    candidates = np.flatnonzero(usable)
    count = min(most, len(candidates))
    return candidates[np.round(np.linspace(0, len(candidates) - 1, count)).astype(int)].tolist()


def extract_views(
    frames: Iterable[tuple[int, Image]],
    labels_of: Callable[[int], Image],
    chosen: Collection[int],
    camera: Camera,
    config: ViewConfig,
) -> list[TrainingView]:
    """Pictures of the chosen frames, in order; those in which nobody is labelled are left out.

    frames: number and RGB image [H, W, 3] of one frame after the other, of which only the pictures are kept;
    labels_of gives the label image [H, W] of a frame, and is asked for chosen frames alone.
    """
    if len(chosen) > config.most:
        raise ValueError(f"{len(chosen)} frames are more than the {config.most} that may be held")
    wanted = set(chosen)
    pictures = (_cut(frame, image, labels_of(frame), camera, config) for frame, image in frames if frame in wanted)
    return [picture for picture in pictures if picture is not None]


def _cut(frame: int, image: Image, labels: Image, camera: Camera, config: ViewConfig) -> TrainingView | None:
    """The square around everybody who is labelled, or None."""
    if not labels.any():
        return None
    left, top, extent = square_around(labels, config.margin)
    square, around = _padded(image, left, top, extent, 0), _padded(labels, left, top, extent, UNKNOWN)
    size = (config.side, config.side)
    # Each way, the middle of the first pixel stays half a pixel from the edge: views and pictures fit.
    smoothing = cv2.INTER_AREA if extent > config.side else cv2.INTER_LINEAR
    image = np.asarray(cv2.resize(square, size, interpolation=smoothing), np.uint8)
    labels = np.asarray(cv2.resize(around, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    return TrainingView(
        frame, image, labels, label_confidence(labels), square_viewport(camera, left, top, extent, config.side)
    )


def label_confidence(labels: Image) -> Image:
    """[S, S] 0..255 by the distance from the nearest pixel of the second nearest person."""
    people = np.unique(labels[(labels > 0) & (labels < UNKNOWN)])
    if len(people) < 2:
        return np.full(labels.shape, 255, np.uint8)
    away = [cv2.distanceTransform((labels != one).astype(np.uint8), cv2.DIST_L2, 3) for one in people]
    second = np.sort(np.stack(away), axis=0)[1]
    return (255 * (1 - np.exp(-((second / (_DOUBT * len(labels))) ** 2)))).round().astype(np.uint8)


def unoccluded_views(pictures: Sequence[TrainingView]) -> list[TrainingView]:
    """The pictures in which people hardly meet, and of the others the clearest up to a quarter of all."""
    muddled = [1 - one.confidence[(one.labels > 0) & (one.labels < UNKNOWN)].mean() / 255 for one in pictures]
    order = sorted(range(len(pictures)), key=lambda k: muddled[k])
    least = -(-len(pictures) // 4)
    return [pictures[k] for rank, k in enumerate(order) if rank < least or muddled[k] < _CLEAR]


def square_around(labels: Image, margin: float) -> tuple[int, int, int]:
    """Left, top and side in pixels of the square around all labelled pixels; it may reach beyond the frame."""
    rows, columns = np.flatnonzero(labels.any(1)), np.flatnonzero(labels.any(0))
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]]) + 1
    extent = max(1, round(float((high - low).max()) * (1 + 2 * margin)))
    left, top = np.floor((low + high - extent) / 2).astype(int).tolist()
    return left, top, extent


def square_viewport(camera: Camera, left: int, top: int, extent: int, side: int) -> Viewport:
    """The camera of the square of `extent` pixels at `left`, `top`, scaled to `side` pixels."""
    scale = side / extent
    centre = (scale * (camera.principal_point[0] - left), scale * (camera.principal_point[1] - top))
    return Viewport(scale * camera.focal, centre, (side, side))


def _padded(image: Image, left: int, top: int, extent: int, fill: int) -> Image:
    """The square [extent, extent, ...] of an image, `fill` where it reaches beyond."""
    height, width = image.shape[:2]
    square = np.full((extent, extent, *image.shape[2:]), fill, np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + extent, width), min(top + extent, height)
    square[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return square
