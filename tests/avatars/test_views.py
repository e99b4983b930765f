"""Views are square crops with a matching camera, and only they stay in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from closemesh.avatars.render import Viewport
from closemesh.avatars.views import (
    UNKNOWN,
    TrainingView,
    ViewConfig,
    evenly_spaced_frames,
    extract_views,
    label_confidence,
    unoccluded_views,
)
from closemesh.structures import Camera

SIZE = (640, 480)
CAMERA = Camera(600.0, (320.0, 240.0), SIZE, "option", np.tile(np.eye(4), (4, 1, 1)))


def _labels(left: int, top: int, right: int, bottom: int, person: int = 0) -> np.ndarray:
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[top:bottom, left:right] = person + 1
    return labels


def _frames(count: int) -> Iterator[tuple[int, np.ndarray]]:
    for frame in range(count):
        yield frame, np.full((*SIZE[::-1], 3), frame % 256, np.uint8)


def _single(labels: np.ndarray, image: np.ndarray | None = None, side: int = 64):
    image = np.zeros((*SIZE[::-1], 3), np.uint8) if image is None else image
    (view,) = extract_views([(0, image)], lambda frame: labels, [0], CAMERA, ViewConfig(size=side))
    return view


def test_points_project_to_their_pixels_in_the_crop() -> None:
    labels = _labels(100, 50, 260, 310)
    image = np.zeros((*SIZE[::-1], 3), np.uint8)
    image[200:208, 180:188] = 255
    view = _single(labels, image, side=156)  # Half of the square of 312 pixels.
    rows, columns = np.nonzero(view.image[..., 0])
    point = np.array([(184 - 320) / 600, (204 - 240) / 600])  # In the middle of the white block, at a depth of 1.
    projected = view.viewport.focal * point + view.viewport.principal_point
    assert projected == pytest.approx([columns.mean() + 0.5, rows.mean() + 0.5], abs=0.01)
    assert view.labels.max() == 1
    assert view.viewport.size == (156, 156)


def test_pixels_outside_of_the_frame_are_unknown() -> None:
    view = _single(_labels(0, 100, 60, 400))
    assert (view.labels[:, 0] == UNKNOWN).all()
    assert set(np.unique(view.labels)) == {0, 1, UNKNOWN}


def test_frames_without_people_are_left_out() -> None:
    found = extract_views(
        _frames(4), lambda frame: _labels(10, 10, 90, 200 * (frame % 2)), [0, 1, 3], CAMERA, ViewConfig(size=32)
    )
    assert [view.frame for view in found] == [1, 3]
    assert found[0].image.max() == 1


def test_only_chosen_frames_are_in_memory() -> None:
    requested: list[int] = []

    def labels_of(frame: int) -> np.ndarray:
        requested.append(frame)
        return _labels(100, 100, 300, 400)

    tracemalloc.start()
    chosen = evenly_spaced_frames(np.ones(100, bool), 8)
    views = extract_views(_frames(100), labels_of, chosen, CAMERA, ViewConfig(size=64, max_views=8))
    current, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(views) == 8 and requested == chosen
    assert current < 8 * 64 * 64 * 5 * 1.5
    assert peak < 6e6  # Three frames of 0.9 MB and their squares, not a hundred.


def test_more_frames_than_max_views_are_an_error() -> None:
    with pytest.raises(ValueError, match="more than max_views"):
        extract_views(_frames(9), lambda frame: _labels(0, 0, 9, 9), range(9), CAMERA, ViewConfig(max_views=8))


def test_frames_are_chosen_evenly_from_usable_ones() -> None:
    usable = np.zeros(50, bool)
    usable[10:31] = True
    assert evenly_spaced_frames(usable, 3) == [10, 20, 30]
    assert evenly_spaced_frames(usable, 99) == list(range(10, 31))
    assert evenly_spaced_frames(np.zeros(5, bool), 3) == []


def test_label_confidence_is_low_between_two_people() -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[20:80, 20:50], labels[20:80, 50:80] = 1, 2
    confidence = label_confidence(labels)
    assert confidence[50, [49, 50]].max() < 30 and confidence[50, [25, 75]].min() > 250
    assert (label_confidence(np.minimum(labels, 1)) == 255).all()


def test_unoccluded_views_are_those_without_overlap() -> None:
    separate, together = np.zeros((2, 64, 64), np.uint8)
    separate[10:50, 5:15], separate[10:50, 50:60] = 1, 2
    together[10:50, 20:30], together[10:50, 30:40] = 1, 2
    image, viewport = np.zeros((64, 64, 3), np.uint8), Viewport(100.0, (32.0, 32.0), (64, 64))
    views = [
        TrainingView(k, image, one, label_confidence(one), viewport)
        for k, one in enumerate([together, separate, together])
    ]
    assert [view.frame for view in unoccluded_views(views)] == [1]
    assert [view.frame for view in unoccluded_views(views[:1])] == [0], "at least one view is needed"
