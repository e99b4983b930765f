"""Who hides whom is told by the clothes, whatever the depths said before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dressed_people import DressedPeople, dress
from known_scenes import KnownScene

from closemesh.body.loading import load_landmark_body
from closemesh.config.schema import AppearanceConfig, OptimiseConfig
from closemesh.core.progress import NullProgress
from closemesh.fitting.objective import from_motion
from closemesh.optimization.appearance import AppearanceModel, AppearanceViews, fit_appearance
from closemesh.optimization.depth_order import resolve_depth_order
from closemesh.optimization.optimize import optimise
from closemesh.structures import BodyMotion

CPU = torch.device("cpu")
CONFIG = AppearanceConfig(num_gaussians=4000, fit_steps=80)
MET = slice(6, 12)  # Frames in which one stands before the other.


def _passing(known: KnownScene, behind: float) -> BodyMotion:
    """Person 1 as far from the camera as person 0 and `behind` metres; in MET half hidden by him, before that apart."""
    transl = known.motion.transl.copy()
    transl[:, 1] = transl[:, 0]
    transl[:, 1, 0] += 0.9
    transl[MET, 1, 0] -= 0.75
    rays = transl[:, 1] / transl[:, 1, 2:]
    transl[:, 1] += behind * rays
    return known.motion.with_pose(transl=transl)


@pytest.fixture(scope="module")
def dressed(known_scene: KnownScene) -> DressedPeople:
    return dress(replace(known_scene, motion=_passing(known_scene, 0.3)))


@pytest.fixture(scope="module")
def looks(dressed: DressedPeople) -> AppearanceModel:
    """Learned where the two are apart, so that a wrong order cannot have taught them."""
    known, present = dressed.scene, torch.ones(12, 2)
    apart = [one for one in dressed.views if one.frame < MET.start]
    met = fit_appearance(apart, known.motion, present, known.body, CONFIG, 0, CPU, lambda _: None)
    return AppearanceModel(met.cast, dressed.views, present)


def _orders(looks: AppearanceModel, known: KnownScene, motion: BodyMotion):
    variables = from_motion(load_landmark_body(known.body), motion, CPU)
    times = torch.as_tensor(known.clip.times)
    after, orders = resolve_depth_order(looks, variables, ((0, 1),), times, lambda _: None)
    return after.log_depth.exp() - variables.log_depth.exp(), orders


def test_a_wrong_order_is_found_and_put_right(looks: AppearanceModel, dressed: DressedPeople) -> None:
    moved, orders = _orders(looks, dressed.scene, _passing(dressed.scene, -0.1))
    assert orders and all(order.shift < 0 for order in orders), "person 1 belongs behind"
    assert all(order.margin > 3 for order in orders)
    assert (moved[MET, 1] > 0.05).all() and (moved[MET, 0] < -0.05).all()


def test_a_right_order_stays(looks: AppearanceModel, dressed: DressedPeople) -> None:
    moved, orders = _orders(looks, dressed.scene, dressed.scene.motion)
    assert orders == () and not moved.any()


def test_people_of_one_colour_tell_nothing(dressed: DressedPeople) -> None:
    alike = dress(dressed.scene, same=True)
    present = torch.ones(12, 2)
    given = dressed.scene.motion, present, dressed.scene.body, CONFIG, 0, CPU, lambda _: None
    met = fit_appearance([one for one in alike.views if one.frame < MET.start], *given)
    _, orders = _orders(AppearanceModel(met.cast, alike.views, present), dressed.scene, _passing(dressed.scene, -0.1))
    assert orders == ()


def test_the_whole_stage_tells_what_it_saw_and_stays_near(dressed: DressedPeople) -> None:
    known = dressed.scene
    config = OptimiseConfig(iterations=20, appearance=CONFIG)
    given = known.observed, known.motion, known.body, config, CPU, NullProgress()
    _, motion, appearance = optimise(*given, AppearanceViews(dressed.views))
    _, without, nothing = optimise(*given)
    assert appearance.psnr > 18 and np.isnan(nothing.psnr)
    assert appearance.depth_orders == ()
    here, there = (one.transl[..., :2] / one.transl[..., 2:] for one in (motion, without))
    assert 4.0 * np.abs(here - there).max() < 0.06, "metres; a pixel is 2.5 cm wide"
    assert np.abs(np.log(motion.transl[..., 2] / without.transl[..., 2])).max() < 0.1
    assert not np.array_equal(motion.rotations, without.rotations)
