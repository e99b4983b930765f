"""The pose prior is learned from files of motion, and mirrors are taken right."""

from __future__ import annotations

import numpy as np
import pytest

from closemesh.energy.pose_prior import load_pose_prior, pose_surprise
from closemesh.errors import InputError
from closemesh.progress import Silent
from closemesh.training.pose_prior import mirror_pose, train_pose_prior


def test_mirroring_twice_is_nothing_and_once_swaps_sides():
    pose = np.random.default_rng(0).normal(size=(4, 21, 3))
    assert np.allclose(mirror_pose(mirror_pose(pose)), pose)
    assert np.allclose(mirror_pose(pose)[:, 0], pose[:, 1] * [1, -1, -1])  # Left hip from right hip.


def test_learned_prior_prefers_what_it_has_seen(tmp_path, monkeypatch):
    import torch

    rng = np.random.default_rng(0)
    usual = 0.3 * rng.normal(size=(1, 22, 3))
    poses = usual + 0.05 * rng.normal(size=(200, 22, 3))
    np.savez(tmp_path / "clip.npz", poses=poses.astype(np.float16), valid=np.ones(200, bool))
    np.savez(tmp_path / "other.npz", something=np.zeros(3))
    train_pose_prior(tmp_path, tmp_path / "models" / "pose_prior" / "pose_prior.npz", Silent(), components=2, steps=10)
    monkeypatch.setenv("CLOSEMESH_MODELS", str(tmp_path / "models"))
    prior = load_pose_prior()
    seen = torch.as_tensor(usual[:, 1:], dtype=torch.float32)
    assert pose_surprise(prior, seen) + 20 < pose_surprise(prior, -seen)


def test_a_folder_without_motion_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no motion found below"):
        train_pose_prior(tmp_path, tmp_path / "prior.npz", Silent())
