"""The bundled denoiser makes up a person of whom nothing is known from what the other one does."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.capsules import CAPSULE_PARTS, part_distances
from closemesh.body.skinning import rest_joints
from closemesh.config.schema import RefineConfig
from closemesh.fitting.keypoint_tracks import make_evidence
from closemesh.interaction_prior.diffusion import sample
from closemesh.interaction_prior.refine import Prior, load_prior
from closemesh.interaction_prior.state import PairSpread, PairState
from closemesh.interaction_prior.windows import (
    NUM_POINTS,
    PairClip,
    PairWindows,
    by_window,
    pose_pair,
    window_layout,
    windows_of,
)
from closemesh.lab.training.denoiser_examples import TrainingExample, mask_frames


@pytest.fixture(scope="module")
def prior(known_scene: KnownScene) -> Prior:
    return load_prior(known_scene.body, RefineConfig(), torch.device("cpu"))


@pytest.fixture(scope="module")
def lesson(known_scene: KnownScene) -> TrainingExample:
    """The truth of the scene, told as the first motion too."""
    motion, body = known_scene.motion, known_scene.body
    betas = torch.as_tensor(motion.betas)
    frames = len(motion.transl)
    pelvis = torch.as_tensor(motion.transl) + rest_joints(body, betas)[:, 0]
    rotations = torch.as_tensor(motion.rotations[:, :, :22], dtype=torch.float32)
    state = PairState(rotations[None], betas.expand(1, frames, -1, -1), pelvis[None].float())
    spread = PairSpread(*(torch.full_like(v, 0.1) for v in (rotations[None, ..., 0, 0], state.betas, state.pelvis)))
    evidence = make_evidence(known_scene.observations, known_scene.clip.times, known_scene.camera, "cpu")
    clip = PairClip(
        state=state,
        spread=spread,
        points=evidence.points[..., :NUM_POINTS, :],
        inverse_sigmas=evidence.inverse_sigmas[..., :NUM_POINTS],
        limbs=torch.cat([evidence.limb_directions, evidence.limb_weights[..., None]], dim=-1),
        times=evidence.times,
        hidden=torch.zeros(frames, 2, dtype=torch.bool),
        focal=evidence.focal,
        centre=evidence.centre,
    )
    windows = windows_of(clip, window_layout(frames, "cpu"))
    return TrainingExample(windows, windows.mean, torch.ones(1, 2, 22, dtype=torch.bool))


def test_a_person_of_whom_nothing_is_known_is_made_up_near_the_other(prior: Prior, lesson: TrainingExample):
    hidden = torch.zeros_like(lesson.windows.hidden)
    hidden[:, :, 1] = True
    told = mask_frames(lesson, hidden)
    made_up = sample(prior.sampler, told.windows, [])
    apart = (made_up.pelvis[:, :, 0] - made_up.pelvis[:, :, 1]).norm(dim=-1)
    assert ((apart > 0.1) & (apart < 3.0)).all()
    down = made_up.rotations[0, :, 1, 0] @ torch.tensor([0.0, 1.0, 0.0])
    assert (down[:, 1] < -0.5).all()  # Upright in a view whose y points down.
    moved = (made_up.pelvis[:, :, 0] - lesson.truth.pelvis[:, :, 0]).norm(dim=-1)
    assert moved.max() < 0.15  # Whom one sees stays.


def test_parts_that_are_said_to_touch_come_nearer(prior: Prior, lesson: TrainingExample):
    """Of people whose places are not sure."""
    spread = lesson.windows.spread
    unsure = replace(lesson.windows, spread=replace(spread, pelvis=torch.full_like(spread.pelvis, 0.3)))
    hand, trunk = CAPSULE_PARTS.index("right_hand"), CAPSULE_PARTS.index("upper_trunk")
    said = torch.zeros(*unsure.times.shape, len(CAPSULE_PARTS), len(CAPSULE_PARTS), dtype=torch.bool)
    said[..., hand, trunk] = True

    def gap(windows: PairWindows) -> float:
        people = by_window(pose_pair(prior.sampler.body, sample(prior.sampler, windows, [])).keypoints)
        gaps = part_distances(people[:, :, 0], people[:, :, 1], prior.sampler.body.capsules)
        return float(gaps[..., hand, trunk].mean())

    told, silent = gap(replace(unsure, touching=said)), gap(unsure)
    assert told < silent - 0.005
