"""Warnings on constructed cases: each is given where it holds, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from closemesh.report.records import ReportRecords
from closemesh.report.warnings import report_warnings, spans_in_words
from closemesh.structures import PairContacts

STILL = {12: 1e-4}
LEFT_WRIST, LEFT_ELBOW = 9, 7


@pytest.fixture
def certain(records: ReportRecords) -> ReportRecords:
    """A result without any reason for doubt."""
    camera = replace(records.camera, floor_found=True)
    scene = {
        **records.scene,
        "quality": {"optimised": {"jitter_m_s3": 60.0, "reprojection_p95_percent_of_height": 2.0}},
    }
    return replace(records, camera=camera, scene=scene, contacts=())


def texts(records: ReportRecords, shifts: dict[int, float] = STILL) -> list[str]:
    return [warning.text for warning in report_warnings(records, shifts)]


def with_observations(records: ReportRecords, change: Callable[[dict[str, np.ndarray]], None]) -> ReportRecords:
    names = ("keypoints", "detected", "track_confidence", "sigmas")
    arrays = {name: getattr(records.observations, name).copy() for name in names}
    arrays["outside"] = np.zeros((*arrays["detected"].shape, 23), bool)
    change(arrays)
    changed: Any = replace(records.observations, **arrays)
    return replace(records, observations=changed)


def test_no_warning_without_reason(certain: ReportRecords) -> None:
    assert texts(certain) == []


def test_spans_in_words() -> None:
    assert spans_in_words([(3, 8)], 20) == "Frames 3–8"  # noqa: RUF001
    assert spans_in_words([(3, 8), (12, 12), (15, 19)], 20) == "Frames 3–8, 12 and 15–19"  # noqa: RUF001
    assert spans_in_words([(4, 4)], 20) == "Frame 4"
    assert spans_in_words([(0, 19)], 20) == "In all frames"


def test_a_hidden_arm_is_a_guess(certain: ReportRecords) -> None:
    def hide(arrays: dict[str, np.ndarray]) -> None:
        arrays["keypoints"][4:15, 1, [LEFT_ELBOW, LEFT_WRIST], 2] = 0.1
        arrays["keypoints"][9, 1, LEFT_WRIST, 2] = 0.9  # A short interruption is bridged.

    (text,) = texts(with_observations(certain, hide))
    assert text == "Frames 4–14: the left arm of person 1 is a guess; it is hidden or not recognized."  # noqa: RUF001


def test_a_seen_elbow_leaves_the_forearm_a_guess(certain: ReportRecords) -> None:
    def blur(arrays: dict[str, np.ndarray]) -> None:
        arrays["sigmas"][4:15, 0, LEFT_WRIST] = 100  # Pixels, half a meter.
        arrays["sigmas"][18:20, 0, LEFT_WRIST] = 100  # Too short to be named, too far away to be joined.

    (text,) = texts(with_observations(certain, blur))
    assert "the left forearm and hand of person 0 are a guess; they are hidden" in text
    assert text.startswith("Frames 4")


def test_feet_outside_the_image(certain: ReportRecords) -> None:
    def crop(arrays: dict[str, np.ndarray]) -> None:
        arrays["keypoints"][:, 0, 13:17, 2] = 0.05
        arrays["outside"][:, 0, 13:17] = True

    found = texts(with_observations(certain, crop))
    assert found == [
        f"In all frames: the {side} leg of person 0 is a guess; it is outside the image." for side in ("left", "right")
    ]


def test_a_person_who_is_not_detected(certain: ReportRecords) -> None:
    def lose(arrays: dict[str, np.ndarray]) -> None:
        arrays["detected"][6:18, 1] = False
        arrays["keypoints"][6:18, 1] = 0

    (text,) = texts(with_observations(certain, lose))
    assert "person 1 is not detected" in text


def test_a_missing_person(certain: ReportRecords) -> None:
    valid = certain.motion.valid.copy()
    valid[10:, 0] = False
    (warning,) = report_warnings(replace(certain, motion=replace(certain.motion, valid=valid)), STILL)
    assert warning.spans == ((10, 23),) and warning.text.endswith("person 0 is missing.")


def test_an_uncertain_identity(certain: ReportRecords) -> None:
    (text,) = texts(with_observations(certain, lambda arrays: arrays["track_confidence"][:, 0].fill(0.3)))
    assert "Person 0 may be confused" in text


def test_the_camera(certain: ReportRecords) -> None:
    (moving,) = report_warnings(certain, {15: 0.001, 30: 0.023})
    assert moving.text.startswith("The camera seems to move: the background shifts by up to 2.3 %")
    assert moving.spans == ((30, 30),)
    (focal,) = texts(replace(certain, camera=replace(certain.camera, focal_std=0.2 * certain.camera.focal)))
    assert "uncertain by 20 %" in focal
    (floor,) = texts(replace(certain, camera=replace(certain.camera, floor_found=False)))
    assert "No floor" in floor


def test_a_poster_never_moves(certain: ReportRecords) -> None:
    clip = replace(certain.clip, times=np.linspace(0, 3, len(certain.clip)))

    def move_one(arrays: dict[str, np.ndarray]) -> None:
        arrays["keypoints"][:, 0] = arrays["keypoints"][:1, 0]
        arrays["keypoints"][:, 1, :, 0] += np.linspace(0, 40, len(clip))[:, None]

    changed = replace(with_observations(certain, move_one), clip=clip)
    (text,) = texts(changed)
    assert text.startswith("Person 0 never moves and may be a poster")
    assert not any("never moves" in one for one in texts(changed, {12: 0.02})), "a moving camera moves all"
    assert texts(replace(changed, clip=certain.clip)) == [], "too short to know"


def test_the_fit(certain: ReportRecords) -> None:
    depth = np.zeros(len(certain.clip))
    depth[5:12], depth[8], depth[-1] = 0.04, 0.0512, np.nan
    (deep,) = report_warnings(replace(certain, contacts=(PairContacts(0, 1, 0 * depth, depth, ()),)), STILL)
    assert "persons 0 and 1 intersect by up to 51 mm" in deep.text and deep.spans == ((5, 11),)
    quality = {"initial": {}, "optimised": {"jitter_m_s3": 620.0, "reprojection_p95_percent_of_height": 7.0}}
    jitter, error = texts(replace(certain, scene={**certain.scene, "quality": quality}))
    assert "620 m/s³" in jitter and "7.0 %" in error
