"""The check that the numbers of a record are finite: which it names, and where NaN is documented."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from known_scenes import KnownScene

from closemesh.core.errors import NonFiniteError
from closemesh.structures import AppearanceSummary, Contact, DepthOrder, PairContacts, check_finite


def changed(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


def test_good_records_pass(known_scene: KnownScene) -> None:
    check_finite("it", (known_scene.clip, known_scene.camera, known_scene.motion, known_scene.observations, None))
    nan = np.array([np.nan, 0.1])
    check_finite("it", {"optimised": (PairContacts(0, 1, nan, nan, ()),)})
    check_finite("it", AppearanceSummary(float("nan")))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_the_place_is_named(known_scene: KnownScene, wrong: float) -> None:
    scene, motion = known_scene, known_scene.motion
    transl = changed(motion.transl, (3, 1, 2), wrong)
    T_cam_world = changed(scene.camera.T_cam_world, (4, 0, 0), wrong)
    contact = Contact(0, 1, "hand", "hand", 0, 1, wrong, 0.0)
    finite = np.zeros(2)
    for record, words in (
        (motion.with_pose(transl=transl), f"it, transl is {wrong} at frame 3, person 1"),
        (motion.with_pose(betas=changed(motion.betas, (1, 0), wrong)), "it, betas is .* at person 1"),
        (replace(scene.camera, focal=wrong), "it, focal is"),
        (replace(scene.camera, principal_point=(1.0, wrong)), "it, principal_point is"),
        (replace(scene.camera, T_cam_world=T_cam_world), "it, T_cam_world is .* at frame 4$"),
        ({"optimised": (PairContacts(0, 1, finite, finite, (contact,)),)}, "it, optimised, contacts, min_distance"),
        (AppearanceSummary(20.0, (DepthOrder(0, 1, 0, 1, wrong, 1.0),)), "it, depth_orders, shift"),
        ({"initial": {"jitter_m_s3": wrong}}, "it, initial, jitter_m_s3 is"),
    ):
        with pytest.raises(NonFiniteError, match=words):
            check_finite("it", record)


def test_infinite_is_never_documented() -> None:
    infinite, zero = np.array([np.inf]), np.zeros(1)
    with pytest.raises(NonFiniteError, match="depth is inf at frame 0"):
        check_finite("it", PairContacts(0, 1, zero, infinite, ()))
