"""Silhouettes move people to where they stand before their looks are learned."""

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
from closemesh.fitting.keypoint_tracks import make_evidence
from closemesh.fitting.objective import FitModel, from_motion, to_motion
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.optimization.appearance import fit_appearance
from closemesh.optimization.optimize import Seen, count_steps, optimize_appearance

CPU = torch.device("cpu")
CONFIG = AppearanceConfig(num_gaussians=4000, fit_steps=60, pose_steps=40, silhouette_alignment=True)
PAIRS = ((0, 1),)
BESIDE = 0.06  # Metres: half of an upper arm's thickness.


@pytest.fixture(scope="module")
def dressed(known_scene: KnownScene) -> DressedPeople:
    return dress(known_scene)


@pytest.fixture(scope="module")
def beside(dressed: DressedPeople) -> tuple[MotionParameters, Seen, int]:
    """Somebody who stands beside his silhouette, what the pictures made of it, and in how many steps."""
    known = dressed.scene
    subject = FitModel(load_landmark_body(known.body), load_pose_prior())
    evidence = make_evidence(known.observations, known.clip.times, known.camera, CPU)
    true = from_motion(subject.body, known.motion, CPU)
    ray = true.pelvis_ray.clone()
    ray[:, 0, 0] += BESIDE / true.log_depth.exp()[:, 0]
    wrong, steps = true.with_tensors(pelvis_ray=ray), []
    given = (evidence, PAIRS, CONFIG, 0, CPU, steps.append)
    return wrong, optimize_appearance(dressed.views[::3], subject, known.body, wrong, *given), sum(steps)


def off(dressed: DressedPeople, variables: MotionParameters) -> Tensor:
    """[T, P] metres across the view that pelvises are seen off; silhouettes of few pixels are too fat."""
    true = from_motion(load_landmark_body(dressed.scene.body), dressed.scene.motion, CPU)
    return (variables.pelvis_ray - true.pelvis_ray).norm(dim=-1) * true.log_depth.exp()


def test_who_stands_beside_his_silhouette_is_moved_into_it(dressed: DressedPeople, beside) -> None:
    wrong, seen, _ = beside
    assert float(off(dressed, seen.variables)[:, 0].mean()) < 0.5 * float(off(dressed, wrong)[:, 0].mean())
    assert float(off(dressed, seen.variables)[:, 1].mean()) < 0.02, "who stands right stays"


def test_looks_are_learned_where_people_are_seen(dressed: DressedPeople, beside) -> None:
    wrong, seen, _ = beside
    known, pictures = dressed.scene, dressed.views[::3]
    evidence = make_evidence(known.observations, known.clip.times, known.camera, CPU)
    motions = [to_motion(known.body, load_landmark_body(known.body), one, evidence) for one in (wrong, seen.variables)]
    plain = fit_appearance(pictures, motions[0], evidence.present, known.body, CONFIG, 0, CPU, lambda _: None)
    assert seen.looks is not None
    assert mean_psnr(seen.looks.cast, motions[1], pictures) > mean_psnr(plain.cast, motions[0], pictures) + 1.0


def test_steps_are_those_that_are_announced(dressed: DressedPeople, beside) -> None:
    times = torch.as_tensor(dressed.scene.clip.times)
    assert beside[2] == count_steps(dressed.views[::3], PAIRS, times, CONFIG)


def test_without_pictures_nothing_is_told(dressed: DressedPeople, beside) -> None:
    wrong, known = beside[0], dressed.scene
    subject = FitModel(load_landmark_body(known.body), load_pose_prior())
    evidence = make_evidence(known.observations, known.clip.times, known.camera, CPU)
    seen = optimize_appearance((), subject, known.body, wrong, evidence, PAIRS, CONFIG, 0, CPU, lambda _: None)
    assert seen.variables is wrong
    assert seen.looks is None
    assert seen.orders == ()
    assert count_steps((), PAIRS, evidence.times, CONFIG) == 0


def test_looks_are_learned_by_what_a_network_sees_too(dressed: DressedPeople) -> None:
    known, config = dressed.scene, replace(CONFIG, fit_steps=30, lpips=True)
    present = torch.ones(12, 2)
    given = dressed.views[::6], known.motion, present, known.body
    seen = fit_appearance(*given, config, 0, CPU, lambda _: None)
    unseen = fit_appearance(*given, replace(config, lpips=False), 0, CPU, lambda _: None)
    assert mean_psnr(seen.cast, known.motion, dressed.views) > 14
    assert not torch.equal(seen.cast.avatars[0].latent, unseen.cast.avatars[0].latent)
