"""The motion takes over what views show of a pose, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from dressed_people import DressedPeople, dress
from known_scenes import KnownScene
from torch import Tensor

from closemesh.avatars.fit import photometric_loss, target_image
from closemesh.avatars.render import render_avatars
from closemesh.avatars.views import evenly_spaced_frames
from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.config.schema import AppearanceConfig
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel, from_motion
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.optimization import appearance as module
from closemesh.optimization.appearance import (
    COLOR_ONLY,
    MIN_BANDWIDTH,
    AppearanceModel,
    AppearanceViews,
    _photometric,
    align_to_views,
    collect_views,
    fit_appearance,
    mean_over_connected,
    view_weights,
)
from closemesh.perception.segmentation.label_images import write_labels

CPU = torch.device("cpu")
SHOULDER = JOINT_INDEX["right_shoulder"]
PIXEL = 0.025  # Meters that a pixel of the views is wide at the people.


@pytest.fixture(scope="module")
def dressed(known_scene: KnownScene) -> DressedPeople:
    return dress(known_scene)


@pytest.fixture(scope="module")
def appearance(dressed: DressedPeople) -> AppearanceModel:
    known, config = dressed.scene, AppearanceConfig(num_gaussians=4000, fit_steps=80)
    views, present = AppearanceViews(dressed.views[::3]), torch.ones(12, 2, dtype=torch.bool)
    return fit_appearance(views, known.motion, present, known.body, config, lambda _: None)


def true_variables(known: KnownScene) -> MotionParameters:
    return from_motion(load_landmark_body(known.body), known.motion, CPU)


def follow(appearance: AppearanceModel, known: KnownScene, parameters: MotionParameters) -> MotionParameters:
    model = FitModel(load_landmark_body(known.body), load_pose_prior())
    tracks = KeypointTracks.from_observations(known.observations, known.clip.times, known.camera, CPU)
    return align_to_views(appearance, parameters, model, tracks, ((0, 1),), 30, lambda _: None, COLOR_ONLY)


def wrists(known: KnownScene, parameters: MotionParameters) -> Tensor:
    """[T, P, 2, 3] meters relative to the pelvis."""
    joints = pose_parameters(load_landmark_body(known.body), parameters).joints
    return joints[:, :, [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]] - joints[:, :, :1]


def test_views_between_those_that_are_fitted_are_held_out(
    dressed: DressedPeople, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = dressed.scene
    width, height = known.camera.size
    frames = [np.zeros((height, width, 3), np.uint8)] * 12
    for number in range(12):
        write_labels(tmp_path / f"{number:06d}.png", np.ones((height, width), np.uint8))
    monkeypatch.setattr(module, "read_frames", lambda clip: iter(frames))
    views = collect_views(known.observed, tmp_path, known.motion, AppearanceConfig(num_views=10, view_size=32), 0)
    fitted = [one.frame for one in views.views]
    assert fitted == evenly_spaced_frames(np.ones(12, bool), 10), "as without held-out views"
    assert len(views.held_out) == 2
    assert not {one.frame for one in views.held_out} & set(fitted)
    assert collect_views(known.observed, None, known.motion, AppearanceConfig(), 0).held_out == ()


def test_a_wrong_arm_moves_to_where_the_views_show_it(appearance: AppearanceModel, dressed: DressedPeople) -> None:
    known = dressed.scene
    true = true_variables(known)
    pose = true.body_pose.clone()
    pose[:, 0, SHOULDER - 1, 2] -= 0.2  # Raised by a bit more than its thickness, across the view.
    wrong = true.with_tensors(body_pose=pose)
    off = lambda found: (wrists(known, found) - wrists(known, true))[:, 0, 1].norm(dim=-1).mean()  # noqa: E731
    assert off(follow(appearance, known, wrong)) < 0.6 * off(wrong)


def test_the_outline_of_people_of_one_color_moves_an_arm_too(dressed: DressedPeople) -> None:
    known, config = dressed.scene, AppearanceConfig(num_gaussians=4000, fit_steps=80)
    views = AppearanceViews(dress(known, same=True).views[::3])
    alike = fit_appearance(views, known.motion, torch.ones(12, 2, dtype=torch.bool), known.body, config, lambda _: None)
    true = true_variables(known)
    pose = true.body_pose.clone()
    pose[:, 0, SHOULDER - 1, 2] -= 0.2
    wrong = true.with_tensors(body_pose=pose)
    moved = wrists(known, follow(alike, known, wrong)) - wrists(known, wrong)
    assert moved[:, 0, 1].norm(dim=-1).mean() > 0.02


def test_a_right_motion_stays(appearance: AppearanceModel, dressed: DressedPeople) -> None:
    true = true_variables(dressed.scene)
    found = follow(appearance, dressed.scene, true)
    assert (wrists(dressed.scene, found) - wrists(dressed.scene, true)).norm(dim=-1).mean() < PIXEL
    assert (found.pelvis() - true.pelvis())[..., :2].norm(dim=-1).max() < PIXEL


def test_views_do_not_change_the_distance_of_people(appearance: AppearanceModel, dressed: DressedPeople) -> None:
    true = true_variables(dressed.scene)
    farther = true.with_tensors(log_depth=true.log_depth + torch.tensor([0.05, 0.0]))
    found = follow(appearance, dressed.scene, farther)
    ratio = (found.log_depth[:, 0] - found.log_depth[:, 1]) - (farther.log_depth[:, 0] - farther.log_depth[:, 1])
    assert ratio.abs().max() < 1e-6


def test_the_gradient_is_that_of_all_views(appearance: AppearanceModel, dressed: DressedPeople) -> None:
    frames = torch.tensor([one.frame for one in appearance.views])
    vertices = appearance.vertices(true_variables(dressed.scene).frames(frames)).detach().requires_grad_()
    with torch.no_grad():
        gaussians = appearance.avatars.gaussians([True, True])
    (gradient,) = torch.autograd.grad(_photometric(appearance, gaussians, vertices, 0.0, COLOR_ONLY), vertices)
    losses = [
        photometric_loss(
            render_avatars(appearance.avatars, gaussians, skin, one.viewport),
            target_image(one, 2, CPU),
            0.0,
            COLOR_ONLY,
        )
        for skin, one in zip(vertices, appearance.views, strict=True)
    ]
    (expected,) = torch.autograd.grad(torch.stack(losses).sum(), vertices)
    assert expected.abs().max() > 0
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-6)


def test_connected_people_have_the_same_change_and_others_keep_their_depth() -> None:
    change = torch.tensor([[0.1, 0.3, 0.9, 0.5]])
    everyone = torch.ones(1, 4, dtype=torch.bool)
    torch.testing.assert_close(mean_over_connected(change, everyone, ((0, 1),)), torch.tensor([[0.2, 0.2, 0.0, 0.0]]))
    torch.testing.assert_close(
        mean_over_connected(change, everyone, ((0, 1), (1, 3))), torch.tensor([[0.3, 0.3, 0.0, 0.3]])
    )
    without = torch.tensor([[True, False, True, True]])
    assert float(mean_over_connected(change, without, ((0, 1),))[0, 0]) == pytest.approx(0.1)


def test_a_change_is_interpolated_to_the_frames_around_its_view() -> None:
    times = torch.arange(60) / 30
    weights = view_weights(times, times[[10, 12]], torch.tensor([[True, False], [True, False]]))  # [P, T, N]
    assert weights.shape == (2, 60, 2)
    assert 0.9 < float(weights[0, 11].sum()) < 1
    assert float(weights[0, 11, 0]) == pytest.approx(float(weights[0, 11, 1]))
    far = int(np.ceil(12 + 5 * MIN_BANDWIDTH * 30))
    assert weights[0, far:].sum(-1).max() < 1e-3, "no view shows these frames"
    assert not weights[1].any(), "an absent person does not move"
