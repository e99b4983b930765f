"""The bundled denoiser generates an unobserved person from the motion of the other one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.capsules import CAPSULE_PARTS, part_distances
from closemesh.body.skinning import rest_joints
from closemesh.config.schema import Config
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.interaction_prior.diffusion import sample
from closemesh.interaction_prior.refine import Prior, load_prior
from closemesh.interaction_prior.state import PairState, PairUncertainty
from closemesh.interaction_prior.windows import (
    PairWindows,
    cut_windows,
    pair_clip,
    pose_pair,
    unfold_windows,
    window_layout,
)
from closemesh.lab.training.denoiser_examples import TrainingExample, mask_frames


@pytest.fixture(scope="module")
def prior(known_scene: KnownScene) -> Prior:
    return load_prior(known_scene.body, Config(), torch.device("cpu"))


@pytest.fixture(scope="module")
def example(known_scene: KnownScene) -> TrainingExample:
    """The truth of the scene, which is the first motion too."""
    motion, body = known_scene.motion, known_scene.body
    betas = torch.as_tensor(motion.betas)
    frames = len(motion.transl)
    pelvis = torch.as_tensor(motion.transl) + rest_joints(body, betas)[:, 0]
    rotations = torch.as_tensor(motion.rotations[:, :, :22], dtype=torch.float32)
    state = PairState(rotations[None], betas.expand(1, frames, -1, -1), pelvis[None].float())
    std = PairUncertainty(*(torch.full_like(v, 0.1) for v in (rotations[None, ..., 0, 0], state.betas, state.pelvis)))
    scene = known_scene
    tracks = KeypointTracks.from_observations(scene.observations, scene.clip.times, scene.camera, "cpu")
    windows = cut_windows(pair_clip(tracks, (0, 1), state, std), window_layout(frames, "cpu"))
    return TrainingExample(windows, windows.mean, torch.ones(1, 2, 22, dtype=torch.bool))


def test_an_unobserved_person_is_generated_near_the_other(prior: Prior, example: TrainingExample):
    masked = torch.zeros_like(example.windows.masked)
    masked[:, :, 1] = True
    generated = sample(prior.sampler, mask_frames(example, masked).windows, [])
    distance = (generated.pelvis[:, :, 0] - generated.pelvis[:, :, 1]).norm(dim=-1)
    assert ((distance > 0.1) & (distance < 3.0)).all()
    down = generated.rotations[0, :, 1, 0] @ torch.tensor([0.0, 1.0, 0.0])
    assert (down[:, 1] < -0.5).all()  # Upright in a view whose y points down.
    moved = (generated.pelvis[:, :, 0] - example.truth.pelvis[:, :, 0]).norm(dim=-1)
    assert moved.max() < 0.15  # The observed person stays.


def test_stated_contacts_move_parts_closer(prior: Prior, example: TrainingExample):
    """Of people whose places are uncertain."""
    std = example.windows.std
    uncertain = replace(example.windows, std=replace(std, pelvis_std=torch.full_like(std.pelvis_std, 0.3)))
    hand, trunk = CAPSULE_PARTS.index("right_hand"), CAPSULE_PARTS.index("upper_trunk")
    parts = len(CAPSULE_PARTS)
    contacts = torch.zeros(*uncertain.tracks.times.shape, parts, parts, dtype=torch.bool)
    contacts[..., hand, trunk] = True

    def distance(windows: PairWindows) -> float:
        people = unfold_windows(pose_pair(prior.sampler.body, sample(prior.sampler, windows, [])).keypoints)
        distances = part_distances(people[:, :, 0], people[:, :, 1], prior.sampler.body.capsules)
        return float(distances[..., hand, trunk].mean())

    assert distance(replace(uncertain, contacts=contacts)) < distance(uncertain) - 0.005
