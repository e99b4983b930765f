"""Inserted identity switches are counted, and those of them that were fixed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from closemesh.lab.evaluation.identity_benchmark import IdentityCounts, as_json, injection_is_repaired
from closemesh.perception.tracking.similarity import clothing_colors, torso_histogram
from closemesh.perception.tracking.tracker import Track
from closemesh.perception.types import Detection

FPS = 30.0
_SHAPE = np.array([(0, -80), (4, -84), (-4, -84), (8, -82), (-8, -82), (24, -60), (-24, -60), (36, -28), (-36, -28)])
_LEGS = np.array([(40, 0), (-40, 0), (16, 0), (-16, 0), (18, 48), (-18, 48), (20, 96), (-20, 96)])


def _track(number: int, x: float, color: tuple[int, int, int], frames: int = 90) -> Track:
    """A person who stands still, all in one color."""
    points = np.concatenate([_SHAPE, _LEGS]) + np.array([x, 150])
    person = Detection(np.concatenate([points.min(0), points.max(0)]), np.column_stack([points, np.full(17, 0.9)]), 0.8)
    image = np.full((300, 600, 3), 90, np.uint8)
    cv2.rectangle(image, (int(x) - 60, 20), (int(x) + 60, 290), color, -1)
    track = Track(number)
    for frame in range(frames):
        track.add(frame, person, torso_histogram(image, person), clothing_colors(image, person), 1.0)
    return track


@pytest.mark.parametrize(("other", "repaired"), [((30, 30, 220), True), ((220, 30, 30), False)])
def test_other_clothes_are_what_it_takes(other: tuple[int, int, int], repaired: bool) -> None:
    tracks = [_track(0, 150, (220, 30, 30)), _track(1, 450, other)]
    assert injection_is_repaired(tracks, FPS, np.random.default_rng(0)) is repaired


def test_nothing_is_tried_on_people_who_are_hardly_seen_together() -> None:
    tracks = [_track(0, 150, (220, 30, 30), 20), _track(1, 450, (30, 30, 220), 20)]
    assert injection_is_repaired(tracks, FPS, np.random.default_rng(0)) is None


def test_the_json_holds_the_commit_and_all_counts() -> None:
    values = as_json([IdentityCounts("hug", 3, 1, 120, 10, 9)], 7)
    assert values["seed"] == 7
    assert values["commit"]
    assert values["windows"] == [
        {"name": "hug", "wrong_before": 3, "wrong_after": 1, "detections": 120, "injected": 10, "repaired": 9}
    ]
