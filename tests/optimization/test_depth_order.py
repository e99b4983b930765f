"""Colors of clothes determine the depth order, whatever the depths before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dressed_people import DressedPeople, dress
from known_scenes import KnownScene

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import MotionParameters
from closemesh.config.schema import AppearanceConfig, OptimiseConfig
from closemesh.core.progress import NullProgress
from closemesh.fitting.keypoint_tracks import KeypointTracks, PoseReference, reference_loss
from closemesh.fitting.objective import FitModel, from_motion
from closemesh.fitting.optimizer import minimize
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.optimization import depth_order, optimize
from closemesh.optimization.appearance import AppearanceModel, AppearanceViews, fit_appearance
from closemesh.optimization.depth_order import FADE_SECONDS, SHIFTS, part_weights, resolve_depth_order
from closemesh.optimization.optimize import optimise
from closemesh.structures import BodyMotion, DepthOrder

CPU = torch.device("cpu")
CONFIG = AppearanceConfig(num_gaussians=4000, fit_steps=80)
MET = slice(6, 12)  # Frames in which one stands before the other.


def _passing(known: KnownScene, behind: float) -> BodyMotion:
    """Person 1 as far from the camera as person 0 and `behind` meters; half hidden in MET, before that separate."""
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
def appearance(dressed: DressedPeople) -> AppearanceModel:
    """Fitted where the two are separate, so that a wrong order has no influence."""
    known, present = dressed.scene, torch.ones(12, 2, dtype=torch.bool)
    separate = AppearanceViews([one for one in dressed.views if one.frame < MET.start])
    met = fit_appearance(separate, known.motion, present, known.body, CONFIG, lambda _: None)
    return AppearanceModel(met.avatars, dressed.views, present)


def _orders(appearance: AppearanceModel, known: KnownScene, motion: BodyMotion, touching: bool = False):
    parameters = from_motion(load_landmark_body(known.body), motion, CPU)
    times = torch.as_tensor(known.clip.times)
    pairs = {(0, 1): np.full(len(times), touching)}
    after, orders = resolve_depth_order(appearance, parameters, pairs, times, lambda _: None)
    return after.log_depth.exp() - parameters.log_depth.exp(), orders


def test_a_wrong_order_is_found_and_put_right(appearance: AppearanceModel, dressed: DressedPeople) -> None:
    moved, orders = _orders(appearance, dressed.scene, _passing(dressed.scene, -0.1))
    assert orders and all(order.shift < 0 for order in orders), "person 1 belongs behind"
    assert all(order.margin > 3 for order in orders)
    assert (moved[MET, 1] > 0.05).all() and (moved[MET, 0] < -0.05).all()


def test_a_change_leaves_no_frame_with_the_old_order(appearance: AppearanceModel, dressed: DressedPeople) -> None:
    """Views of three frames: the frames between them, before and after them move too."""
    sparse = replace(appearance, views=[one for one in appearance.views if one.frame in (6, 8, 10)])
    moved, orders = _orders(sparse, dressed.scene, _passing(dressed.scene, -0.1))
    (order,) = orders
    assert (order.start, order.end) == (0, 11)
    torch.testing.assert_close(moved[:, 0] - moved[:, 1], torch.full((12,), order.shift))


def test_neighboring_parts_crossfade() -> None:
    times = torch.arange(90) / 30
    weights = part_weights([1.0, 2.0], times)  # [3, T]
    torch.testing.assert_close(weights.sum(0), torch.ones(90))
    assert (weights[0, : 30 - 5] == 1).all() and (weights[1, 30 + 5 : 60 - 5] == 1).all()
    assert weights.diff(dim=1).abs().max() < 1.01 / (30 * FADE_SECONDS), "no jump"
    assert part_weights([1.0, 1.1], times).min() >= 0, "borders closer than a fade"


def test_what_is_compared_is_what_is_applied(appearance: AppearanceModel, dressed: DressedPeople) -> None:
    """The loss of a shift equals that of the moved parameters, whose people keep their size in meters."""
    parameters = from_motion(load_landmark_body(dressed.scene.body), _passing(dressed.scene, -0.1), CPU)
    view, k = appearance.views[MET.start], SHIFTS.index(-0.6)
    moved = depth_order._moved(parameters, (0, 1), torch.ones(1, 12), [SHIFTS[k]])
    with torch.no_grad():
        compared = depth_order._losses(appearance, parameters, view, 0, 1, scaled=False)[k]
        applied = depth_order._losses(appearance, moved, view, 0, 1, scaled=False)[SHIFTS.index(0.0)]
    torch.testing.assert_close(compared, applied)


def test_people_who_touch_need_more_evidence(
    appearance: AppearanceModel, dressed: DressedPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = _passing(dressed.scene, -0.1)
    margin = max(order.margin for order in _orders(appearance, dressed.scene, wrong)[1])
    monkeypatch.setattr(depth_order, "TOUCHING_FACTOR", 2 * margin / depth_order.MIN_MARGIN)
    assert _orders(appearance, dressed.scene, wrong)[1]
    assert _orders(appearance, dressed.scene, wrong, touching=True)[1] == ()


def test_a_right_order_stays(appearance: AppearanceModel, dressed: DressedPeople) -> None:
    moved, orders = _orders(appearance, dressed.scene, dressed.scene.motion)
    assert orders == () and not moved.any()


def test_people_of_one_color_show_no_depth_order(dressed: DressedPeople) -> None:
    alike = dress(dressed.scene, same=True)
    present = torch.ones(12, 2, dtype=torch.bool)
    separate = AppearanceViews([one for one in alike.views if one.frame < MET.start])
    met = fit_appearance(separate, dressed.scene.motion, present, dressed.scene.body, CONFIG, lambda _: None)
    _, orders = _orders(
        AppearanceModel(met.avatars, alike.views, present), dressed.scene, _passing(dressed.scene, -0.1)
    )
    assert orders == ()


def test_no_contact_pulls_back_an_order_that_views_show(dressed: DressedPeople) -> None:
    """Depths of the order are held ten times as tight as others, against a loss that wants them back."""
    known = dressed.scene
    before = from_motion(load_landmark_body(known.body), known.motion, CPU)
    tracks = KeypointTracks.from_observations(known.observations, known.clip.times, known.camera, CPU)
    model, unpaired = FitModel(load_landmark_body(known.body), load_pose_prior()), torch.zeros(2, dtype=torch.bool)
    problem = optimize._Problem(model, known.body, tracks, ((0, 1),), unpaired, unpaired, None, OptimiseConfig())
    moved = {}
    for orders in ((), (DepthOrder(0, 1, 0, 11, -0.25, 9.0),)):
        reference = problem.with_reference(before, orders).reference
        assert reference is not None

        def loss(now: MotionParameters, step: int, reference: PoseReference = reference) -> torch.Tensor:
            wanted = before.log_depth + 0.03
            return reference_loss(now, reference).sum() + 500 * (now.log_depth - wanted).square().sum()

        options = {"iterations": 60, "learning_rate": 0.02, "free": ("log_depth",), "advance": lambda _: None}
        moved[bool(orders)] = (minimize(before, loss, **options).log_depth - before.log_depth).mean()
    assert moved[False] > 0.008
    assert moved[True] < 0.1 * moved[False]


@pytest.mark.parametrize("joint", [False, True])
def test_the_whole_stage_reports_the_appearance_and_stays_close(dressed: DressedPeople, joint: bool) -> None:
    known = dressed.scene
    config = OptimiseConfig(iterations=20, appearance=replace(CONFIG, joint=joint))
    views = AppearanceViews(dressed.views[::2], held_out=dressed.views[1::2])
    _, motion, appearance = optimise(known.observed, known.motion, known.body, config, CPU, NullProgress(), views)
    _, without, nothing = optimise(known.observed, known.motion, known.body, config, CPU, NullProgress())
    assert appearance.psnr > 17 and np.isnan(nothing.psnr)
    assert appearance.psnr_held_out > 17 and np.isnan(nothing.psnr_held_out)
    assert appearance.depth_orders == ()
    here, there = (one.transl[..., :2] / one.transl[..., 2:] for one in (motion, without))
    assert 4.0 * np.abs(here - there).max() < 0.06, "meters; a pixel is 2.5 cm wide"
    assert np.abs(np.log(motion.transl[..., 2] / without.transl[..., 2])).max() < 0.1
    assert not np.array_equal(motion.rotations, without.rotations)
