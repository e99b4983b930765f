"""What pictures show of a pose is taken over, what they do not show is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from dressed_people import DressedPeople, dress
from known_scenes import KnownScene
from torch import Tensor

from closemesh.avatars.fit import photometric_loss, target_image
from closemesh.avatars.render import render_avatars
from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.config.schema import AppearanceConfig
from closemesh.fitting.keypoint_tracks import make_evidence
from closemesh.fitting.objective import FitModel, from_motion
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.optimization.appearance import (
    COLOUR_ALONE,
    NEAR,
    AppearanceModel,
    _pull,
    align_to_views,
    carried,
    fit_appearance,
    shared,
)

CPU = torch.device("cpu")
SHOULDER = JOINT_INDEX["right_shoulder"]
PIXEL = 0.025  # Metres that a pixel of the pictures is wide where the people are.


@pytest.fixture(scope="module")
def dressed(known_scene: KnownScene) -> DressedPeople:
    return dress(known_scene)


@pytest.fixture(scope="module")
def looks(dressed: DressedPeople) -> AppearanceModel:
    known, config = dressed.scene, AppearanceConfig(num_gaussians=4000, fit_steps=80)
    pictures, present = dressed.views[::3], torch.ones(12, 2)
    return fit_appearance(pictures, known.motion, present, known.body, config, 0, CPU, lambda _: None)


def true_variables(known: KnownScene) -> MotionParameters:
    return from_motion(load_landmark_body(known.body), known.motion, CPU)


def follow(looks: AppearanceModel, known: KnownScene, variables: MotionParameters) -> MotionParameters:
    subject = FitModel(load_landmark_body(known.body), load_pose_prior())
    evidence = make_evidence(known.observations, known.clip.times, known.camera, CPU)
    return align_to_views(looks, variables, subject, evidence, ((0, 1),), 30, lambda _: None, COLOUR_ALONE)


def wrists(known: KnownScene, variables: MotionParameters) -> Tensor:
    """[T, P, 2, 3] metres against the pelvis."""
    joints = pose_parameters(load_landmark_body(known.body), variables).joints
    return joints[:, :, [JOINT_INDEX["left_wrist"], JOINT_INDEX["right_wrist"]]] - joints[:, :, :1]


def test_a_wrong_arm_goes_where_the_pictures_show_it(looks: AppearanceModel, dressed: DressedPeople) -> None:
    known = dressed.scene
    true = true_variables(known)
    pose = true.body_pose.clone()
    pose[:, 0, SHOULDER - 1, 2] -= 0.2  # Raised by a bit more than its thickness, across the view.
    wrong = true.with_tensors(body_pose=pose)
    off = lambda found: (wrists(known, found) - wrists(known, true))[:, 0, 1].norm(dim=-1).mean()  # noqa: E731
    assert off(follow(looks, known, wrong)) < 0.6 * off(wrong)


def test_a_right_motion_stays(looks: AppearanceModel, dressed: DressedPeople) -> None:
    true = true_variables(dressed.scene)
    found = follow(looks, dressed.scene, true)
    assert (wrists(dressed.scene, found) - wrists(dressed.scene, true)).norm(dim=-1).mean() < PIXEL
    assert (found.pelvis() - true.pelvis())[..., :2].norm(dim=-1).max() < PIXEL


def test_pictures_do_not_move_people_from_each_other(looks: AppearanceModel, dressed: DressedPeople) -> None:
    true = true_variables(dressed.scene)
    farther = true.with_tensors(log_depth=true.log_depth + torch.tensor([0.05, 0.0]))
    found = follow(looks, dressed.scene, farther)
    ratio = (found.log_depth[:, 0] - found.log_depth[:, 1]) - (farther.log_depth[:, 0] - farther.log_depth[:, 1])
    assert ratio.abs().max() < 1e-6


def test_the_pull_is_the_gradient_of_all_pictures(looks: AppearanceModel, dressed: DressedPeople) -> None:
    frames = torch.tensor([one.frame for one in looks.pictures])
    vertices = looks.vertices(true_variables(dressed.scene).frames(frames)).detach().requires_grad_()
    with torch.no_grad():
        gaussians = looks.cast.gaussians([True, True])
    (told,) = torch.autograd.grad(_pull(looks, gaussians, vertices, 0.0, COLOUR_ALONE), vertices)
    losses = [
        photometric_loss(
            render_avatars(looks.cast, gaussians, skin, one.viewport), target_image(one, 2, CPU), 0.0, COLOUR_ALONE
        )
        for skin, one in zip(vertices, looks.pictures, strict=True)
    ]
    (expected,) = torch.autograd.grad(torch.stack(losses).sum(), vertices)
    assert expected.abs().max() > 0
    torch.testing.assert_close(told, expected, rtol=1e-4, atol=1e-6)


def test_tied_people_share_what_moves_them_and_others_keep_their_distance() -> None:
    change = torch.tensor([[0.1, 0.3, 0.9, 0.5]])
    everybody = torch.ones(1, 4)
    torch.testing.assert_close(shared(change, everybody, ((0, 1),)), torch.tensor([[0.2, 0.2, 0.0, 0.0]]))
    torch.testing.assert_close(shared(change, everybody, ((0, 1), (1, 3))), torch.tensor([[0.3, 0.3, 0.0, 0.3]]))
    without = torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    assert float(shared(change, without, ((0, 1),))[0, 0]) == pytest.approx(0.1)


def test_a_change_is_carried_to_the_frames_around_its_picture() -> None:
    times = torch.arange(60) / 30
    share = carried(times, times[[10, 12]], torch.tensor([[1.0, 0.0], [1.0, 0.0]]))  # [P, T, N]
    assert share.shape == (2, 60, 2)
    assert 0.9 < float(share[0, 11].sum()) < 1
    assert float(share[0, 11, 0]) == pytest.approx(float(share[0, 11, 1]))
    far = int(np.ceil(12 + 5 * NEAR * 30))
    assert share[0, far:].sum(-1).max() < 1e-3, "nobody knows what goes on there"
    assert not share[1].any(), "who is not there is not moved"
