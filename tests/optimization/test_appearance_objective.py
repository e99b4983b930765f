"""The photometric loss is a term of the joint fit: its gradient reaches parameters and weights of the denoiser."""

from __future__ import annotations

import pytest
import torch
from dressed_people import DressedPeople, dress
from known_scenes import KnownScene
from torch import Tensor

from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import MotionParameters
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.config.schema import AppearanceConfig
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel, from_motion
from closemesh.fitting.optimizer import Weights
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.optimization import appearance as module
from closemesh.optimization.appearance import AppearanceObjective, AppearanceViews, fit_appearance
from closemesh.optimization.joint_objective import JointObjective
from closemesh.optimization.network_finetuning import FinetunedMotion

CPU = torch.device("cpu")
PAIRS = ((0, 1),)
CUT = 0.2  # Faint edges of Gaussians are cut off: differences see them come and go, gradients do not.
ONLY_COLOR = Weights(reprojection=0.0, limbs=0.0, pose_prior=0.0, limits=0.0, shape=0.0, appearance=10.0)


@pytest.fixture(scope="module")
def dressed(known_scene: KnownScene) -> DressedPeople:
    return dress(known_scene)


@pytest.fixture(scope="module")
def objective(dressed: DressedPeople) -> JointObjective:
    known, config = dressed.scene, AppearanceConfig(num_gaussians=4000, fit_steps=60)
    views, present = AppearanceViews(dressed.views[::3]), torch.ones(12, 2, dtype=torch.bool)
    appearance = fit_appearance(views, known.motion, present, known.body, config, lambda _: None)
    tracks = KeypointTracks.from_observations(known.observations, known.clip.times, known.camera, CPU)
    model = FitModel(load_landmark_body(known.body), load_pose_prior())
    return JointObjective(model, tracks, None, None, appearance=AppearanceObjective(appearance, PAIRS))


@pytest.fixture(scope="module")
def wrong(dressed: DressedPeople) -> MotionParameters:
    """A raised arm and a person beside the own pixels."""
    true = from_motion(load_landmark_body(dressed.scene.body), dressed.scene.motion, CPU)
    pose, ray = true.body_pose.clone(), true.pelvis_ray.clone()
    pose[:, 0, JOINT_INDEX["right_shoulder"] - 1, 2] -= 0.2
    ray[:, 1, 0] += 0.01
    return true.with_tensors(body_pose=pose, pelvis_ray=ray)


@pytest.mark.parametrize(("name", "step"), [("body_pose", 5e-3), ("root", 3e-3), ("pelvis_ray", 3e-4)])
def test_the_gradient_reaches_the_parameters(
    objective: JointObjective, wrong: MotionParameters, name: str, step: float
) -> None:
    """The derivative along the gradient equals a finite difference."""
    leaf = getattr(wrong, name).clone().requires_grad_()
    loss = lambda values: objective(wrong.with_tensors(**{name: values}), ONLY_COLOR, 0)  # noqa: E731
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    assert gradient.norm() > 0
    along = step * gradient / gradient.norm()
    with torch.no_grad():
        difference = (loss(leaf + along) - loss(leaf - along)) / (2 * step)
    assert float(difference) == pytest.approx(float(gradient.norm()), rel=CUT)


def test_the_gradient_reaches_the_weights_of_the_denoiser(
    objective: JointObjective, dressed: DressedPeople, wrong: MotionParameters
) -> None:
    motion = FinetunedMotion(dressed.scene.body, PAIRS, wrong, objective.tracks)
    weights = [weight for weight in motion.denoiser.parameters() if weight.requires_grad]
    loss = lambda: objective(motion(), ONLY_COLOR, 0)  # noqa: E731
    given = torch.autograd.grad(loss(), weights, allow_unused=True)
    gradients = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, given, strict=True)]
    norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt()
    assert norm > 0
    step = 5e-3 / float(norm)

    @torch.no_grad()
    def moved(sign: float) -> Tensor:
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.add_(sign * step * gradient / norm)
        return loss()

    after, before = moved(1.0), moved(-2.0)
    assert float((after - before) / (2 * step)) == pytest.approx(float(norm), rel=CUT)


def test_depth_has_a_gradient_only_in_common(objective: JointObjective, wrong: MotionParameters) -> None:
    leaf = wrong.log_depth.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(wrong.with_tensors(log_depth=leaf), ONLY_COLOR, 0), leaf)
    assert gradient.abs().max() > 0
    torch.testing.assert_close(gradient[:, 0], gradient[:, 1])


def test_a_window_has_its_own_views(objective: JointObjective) -> None:
    assert objective.appearance is not None
    window = objective.appearance.frames(slice(5, 10))
    assert window is not None
    assert [view.frame for view in window.appearance.views] == [1, 4]
    assert window.appearance.present.shape == (5, 2)
    assert objective.appearance.frames(slice(10, 12)) is None


def test_each_step_renders_one_view_and_extrapolates_the_others(
    objective: JointObjective, wrong: MotionParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    term = objective.appearance
    assert term is not None
    rendered = []
    render = module.render_avatars
    monkeypatch.setattr(module, "render_avatars", lambda *given: rendered.append(1) or render(*given))
    near = wrong.with_tensors(pelvis_ray=wrong.pelvis_ray + 0.0005)
    with torch.no_grad():
        exact = float(term.loss(near, ONLY_COLOR, 0))
        assert len(rendered) == len(term.appearance.views)
        before = float(term.loss(wrong, ONLY_COLOR, 0))
        rendered.clear()
        extrapolated = float(term.loss(near, ONLY_COLOR, 1))
    assert len(rendered) == 1
    assert abs(extrapolated - exact) < 0.2 * abs(before - exact)
