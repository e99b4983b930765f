"""Training views of avatars: some frames of the clip, cropped to the people and scaled."""

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

_MASK_MARGIN = 0.04  # Fraction of the side: nearer to another person, masks are often wrong.
_MAX_OCCLUSION = 0.05  # Mean label uncertainty of an unoccluded view.
UNKNOWN = 255  # Label outside of the frame, where people may continue.


@dataclass(frozen=True)
class ViewConfig:
    """Number and size of the views."""

    size: int = 256
    """Side of the square views, pixels."""
    max_views: int = 64
    """Views in memory; five bytes per pixel."""
    margin: float = 0.1
    """Of the people's extent, added on every side."""


@dataclass(frozen=True)
class TrainingView:
    """A square crop of a frame around all people, scaled."""

    frame: int
    """Index among the processed frames of the clip."""
    image: Image
    """[S, S, 3] RGB."""
    labels: Image
    """[S, S] 0 background, p + 1 person p, UNKNOWN outside of the frame."""
    confidence: Image
    """[S, S] 0..255 confidence of the labels: low where two people meet."""
    viewport: Viewport
    """Camera of the crop."""


def evenly_spaced_frames(usable: Bools, count: int) -> list[int]:
    """At most `count` frames, evenly from those that are usable [T]."""
    candidates = np.flatnonzero(usable)
    count = min(count, len(candidates))
    return candidates[np.round(np.linspace(0, len(candidates) - 1, count)).astype(int)].tolist()


def extract_views(
    frames: Iterable[tuple[int, Image]],
    labels_of: Callable[[int], Image],
    chosen: Collection[int],
    camera: Camera,
    config: ViewConfig,
) -> list[TrainingView]:
    """Views of the chosen frames, in order, without frames in which no person is labeled.

    frames: index and RGB image [H, W, 3] of each frame; only the crops stay in memory. labels_of: label image [H, W] of
    a frame, called for chosen frames only. Raises ValueError for more frames than `config.max_views`.
    """
    if len(chosen) > config.max_views:
        raise ValueError(f"{len(chosen)} frames are more than max_views = {config.max_views}")
    wanted = set(chosen)
    views = (_crop(frame, image, labels_of(frame), camera, config) for frame, image in frames if frame in wanted)
    return [view for view in views if view is not None]


def _crop(frame: int, image: Image, labels: Image, camera: Camera, config: ViewConfig) -> TrainingView | None:
    """The square around all labeled people, or None without any."""
    if not labels.any():
        return None
    left, top, extent = square_around(labels, config.margin)
    square, square_labels = _padded(image, left, top, extent, 0), _padded(labels, left, top, extent, UNKNOWN)
    size = (config.size, config.size)
    # Each method keeps the center of the first pixel half a pixel from the edge, as the viewport does.
    interpolation = cv2.INTER_AREA if extent > config.size else cv2.INTER_LINEAR
    image = np.asarray(cv2.resize(square, size, interpolation=interpolation), np.uint8)
    labels = np.asarray(cv2.resize(square_labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    return TrainingView(
        frame, image, labels, label_confidence(labels), square_viewport(camera, left, top, extent, config.size)
    )


def label_confidence(labels: Image) -> Image:
    """Confidence [S, S] in 0..255 of labels [S, S], by the distance to the second nearest person."""
    people = np.unique(labels[(labels > 0) & (labels < UNKNOWN)])
    if len(people) < 2:
        return np.full(labels.shape, 255, np.uint8)
    distances = [cv2.distanceTransform((labels != one).astype(np.uint8), cv2.DIST_L2, 3) for one in people]
    second = np.sort(np.stack(distances), axis=0)[1]
    return (255 * (1 - np.exp(-((second / (_MASK_MARGIN * len(labels))) ** 2)))).round().astype(np.uint8)


def unoccluded_views(views: Sequence[TrainingView]) -> list[TrainingView]:
    """The views in which people hardly overlap; at least a quarter of all views, the best ones."""
    occlusion = [1 - one.confidence[(one.labels > 0) & (one.labels < UNKNOWN)].mean() / 255 for one in views]
    order = sorted(range(len(views)), key=lambda k: occlusion[k])
    at_least = -(-len(views) // 4)
    return [views[k] for rank, k in enumerate(order) if rank < at_least or occlusion[k] < _MAX_OCCLUSION]


def square_around(labels: Image, margin: float) -> tuple[int, int, int]:
    """Left, top and side in pixels of the square around all labeled pixels of labels [H, W]; may exceed the frame."""
    rows, columns = np.flatnonzero(labels.any(1)), np.flatnonzero(labels.any(0))
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]]) + 1
    extent = max(1, round(float((high - low).max()) * (1 + 2 * margin)))
    left, top = np.floor((low + high - extent) / 2).astype(int).tolist()
    return left, top, extent


def square_viewport(camera: Camera, left: int, top: int, extent: int, side: int) -> Viewport:
    """Camera of the square of `extent` pixels at `left`, `top`, scaled to `side` pixels."""
    scale = side / extent
    principal_point = (scale * (camera.principal_point[0] - left), scale * (camera.principal_point[1] - top))
    return Viewport(scale * camera.focal, principal_point, (side, side))


def _padded(image: Image, left: int, top: int, extent: int, fill: int) -> Image:
    """The square [extent, extent, ...] of an image, with `fill` outside of the image."""
    height, width = image.shape[:2]
    square = np.full((extent, extent, *image.shape[2:]), fill, np.uint8)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + extent, width), min(top + extent, height)
    square[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return square
