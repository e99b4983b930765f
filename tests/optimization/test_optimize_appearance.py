"""Silhouettes move people to their place before avatars are fitted."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from dressed_people import DressedPeople, dress
from known_scenes import KnownScene
from torch import Tensor

from closemesh.avatars.fit import mean_psnr
from closemesh.body.loading import load_landmark_body
from closemesh.body.motion import MotionParameters
from closemesh.config.schema import AppearanceConfig
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel, from_motion, to_motion
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.optimization.appearance import AppearanceViews, fit_appearance
from closemesh.optimization.optimize import AppearanceResult, count_appearance_steps, optimize_appearance

CPU = torch.device("cpu")
CONFIG = AppearanceConfig(num_gaussians=4000, fit_steps=60, pose_steps=40, silhouette_alignment=True)
PAIRS = ((0, 1),)
BESIDE = 0.06  # Meters: half of an upper arm's thickness.


@pytest.fixture(scope="module")
def dressed(known_scene: KnownScene) -> DressedPeople:
    return dress(known_scene)


@pytest.fixture(scope="module")
def beside(dressed: DressedPeople) -> tuple[MotionParameters, AppearanceResult, int]:
    """A person beside the own silhouette, the result of the appearance steps, and their number."""
    known = dressed.scene
    model = FitModel(load_landmark_body(known.body), load_pose_prior())
    tracks = KeypointTracks.from_observations(known.observations, known.clip.times, known.camera, CPU)
    true = from_motion(model.body, known.motion, CPU)
    ray = true.pelvis_ray.clone()
    ray[:, 0, 0] += BESIDE / true.log_depth.exp()[:, 0]
    wrong, steps = true.with_tensors(pelvis_ray=ray), []
    views = AppearanceViews(dressed.views[::3])
    result = optimize_appearance(views, model, known.body, wrong, tracks, PAIRS, CONFIG, steps.append)
    return wrong, result, sum(steps)


def off(dressed: DressedPeople, parameters: MotionParameters) -> Tensor:
    """[T, P] meters across the view that pelvises are off; silhouettes of few pixels are too fat."""
    true = from_motion(load_landmark_body(dressed.scene.body), dressed.scene.motion, CPU)
    return (parameters.pelvis_ray - true.pelvis_ray).norm(dim=-1) * true.log_depth.exp()


def test_a_person_beside_the_own_silhouette_is_moved_into_it(dressed: DressedPeople, beside) -> None:
    wrong, result, _ = beside
    assert float(off(dressed, result.parameters)[:, 0].mean()) < 0.5 * float(off(dressed, wrong)[:, 0].mean())
    assert float(off(dressed, result.parameters)[:, 1].mean()) < 0.02, "a person in the right place stays"


def test_avatars_are_fitted_where_people_are(dressed: DressedPeople, beside) -> None:
    wrong, result, _ = beside
    known, views = dressed.scene, dressed.views[::3]
    tracks = KeypointTracks.from_observations(known.observations, known.clip.times, known.camera, CPU)
    motions = [to_motion(known.body, load_landmark_body(known.body), one, tracks) for one in (wrong, result.parameters)]
    plain = fit_appearance(AppearanceViews(views), motions[0], tracks.present, known.body, CONFIG, lambda _: None)
    assert result.appearance is not None
    assert mean_psnr(result.appearance.avatars, motions[1], views) > mean_psnr(plain.avatars, motions[0], views) + 1.0


def test_steps_are_those_that_are_announced(dressed: DressedPeople, beside) -> None:
    times = torch.as_tensor(dressed.scene.clip.times)
    assert beside[2] == count_appearance_steps(dressed.views[::3], PAIRS, times, CONFIG)


def test_without_views_nothing_changes(dressed: DressedPeople, beside) -> None:
    wrong, known = beside[0], dressed.scene
    model = FitModel(load_landmark_body(known.body), load_pose_prior())
    tracks = KeypointTracks.from_observations(known.observations, known.clip.times, known.camera, CPU)
    result = optimize_appearance(AppearanceViews(), model, known.body, wrong, tracks, PAIRS, CONFIG, lambda _: None)
    assert result.parameters is wrong
    assert result.appearance is None
    assert result.depth_orders == ()
    assert count_appearance_steps((), PAIRS, tracks.times, CONFIG) == 0


def test_lpips_changes_the_avatars(dressed: DressedPeople) -> None:
    known, config = dressed.scene, replace(CONFIG, fit_steps=30, lpips=True)
    present, views = torch.ones(12, 2, dtype=torch.bool), AppearanceViews(dressed.views[::6])
    result = fit_appearance(views, known.motion, present, known.body, config, lambda _: None)
    without = fit_appearance(views, known.motion, present, known.body, replace(config, lpips=False), lambda _: None)
    assert mean_psnr(result.avatars, known.motion, dressed.views) > 14
    assert not torch.equal(result.avatars.avatars[0].latent, without.avatars.avatars[0].latent)
