"""The pose prior is fitted to motion files, and poses are mirrored correctly."""

from __future__ import annotations

import numpy as np
import pytest

from closemesh.body.loading import load_bundled_body
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.lab.datasets.bvh import write_bvh
from closemesh.lab.datasets.recording import read_pose_file
from closemesh.lab.training.pose_prior import mirror_pose, train_pose_prior
from closemesh.losses.pose_prior import load_pose_prior, pose_prior_nll


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
    train_pose_prior(
        tmp_path, tmp_path / "models" / "pose_prior" / "pose_prior.npz", NullProgress(), components=2, steps=10
    )
    monkeypatch.setenv("CLOSEMESH_MODELS", str(tmp_path / "models"))
    prior = load_pose_prior()
    seen = torch.as_tensor(usual[:, 1:], dtype=torch.float32)
    assert pose_prior_nll(prior, seen) + 20 < pose_prior_nll(prior, -seen)


def test_files_of_other_tools_teach_the_same(tmp_path):
    body = load_bundled_body("light")
    poses = 0.3 * np.random.default_rng(0).normal(size=(120, 22, 3))
    np.savez(tmp_path / "clip.npz", poses=poses, trans=np.zeros((120, 3)))
    write_bvh(tmp_path / "bvh" / "clip.bvh", read_pose_file(tmp_path / "clip.npz"), body)
    learned = []
    (tmp_path / "npz").mkdir()
    (tmp_path / "clip.npz").rename(tmp_path / "npz" / "clip.npz")
    for folder in (tmp_path / "npz", tmp_path / "bvh"):
        train_pose_prior(folder, tmp_path / "prior", NullProgress(), components=1, steps=2)
        with np.load(tmp_path / "prior") as file:
            learned.append(file["means"])
    np.testing.assert_allclose(learned[0], learned[1], atol=1e-4)


def test_a_folder_without_motion_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="no motion found below"):
        train_pose_prior(tmp_path, tmp_path / "prior.npz", NullProgress())
