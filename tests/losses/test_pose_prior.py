"""The pose prior against the Gaussians of torch, and its penalty for known poses."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import MultivariateNormal

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.core.errors import ModelFileError
from closemesh.losses.pose_prior import MODEL_FILE, PosePrior, load_pose_prior, pose_prior_nll
from closemesh.weights.locate import find_model


@pytest.fixture(scope="module")
def prior() -> PosePrior:
    return load_pose_prior().to("cpu", torch.float64)


def _standing() -> torch.Tensor:
    pose = torch.zeros(21, 3, dtype=torch.float64)
    pose[JOINT_INDEX["left_shoulder"] - 1, 2] = -1.2
    pose[JOINT_INDEX["right_shoulder"] - 1, 2] = 1.2
    return pose


def test_penalty_is_the_likelihood_of_the_best_component(prior: PosePrior):
    pose = 0.2 * torch.randn(5, 21, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    precision = prior.whitening.transpose(-1, -2) @ prior.whitening
    gaussians = MultivariateNormal(prior.means, precision_matrix=precision)
    log_determinant = prior.whitening.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_weights = prior.constants - log_determinant  # Logarithms, up to one constant for all.
    likelihood = gaussians.log_prob(pose[:, prior.joints].flatten(1)[:, None]) + log_weights
    offset = (-2 * likelihood.amax(-1)) - pose_prior_nll(prior, pose)
    assert torch.allclose(offset, offset[0].expand(5), atol=1e-6)


def test_standing_is_likelier_than_twisted_knees(prior: PosePrior):
    twisted = _standing()
    twisted[JOINT_INDEX["left_knee"] - 1] = torch.tensor([0.0, 1.2, 0.0], dtype=torch.float64)
    assert pose_prior_nll(prior, _standing()) + 100 < pose_prior_nll(prior, twisted)


def test_penalty_gradient(prior: PosePrior):
    assert gradcheck(lambda pose: pose_prior_nll(prior, pose), _standing().requires_grad_())


def test_damaged_prior_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "pose_prior").mkdir()
    (tmp_path / "pose_prior" / "pose_prior.npz").write_text("no zip")
    monkeypatch.setenv("CLOSEMESH_MODELS", str(tmp_path))
    with pytest.raises(ModelFileError, match=r"pose_prior\.npz is not a pose prior"):
        load_pose_prior()


def test_a_truncated_prior_is_one_clear_line(tmp_path, monkeypatch):
    whole = find_model(MODEL_FILE).read_bytes()
    (tmp_path / "pose_prior").mkdir()
    (tmp_path / "pose_prior" / "pose_prior.npz").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setenv("CLOSEMESH_MODELS", str(tmp_path))
    with pytest.raises(ModelFileError, match=r"pose_prior\.npz is not a pose prior") as caught:
        load_pose_prior()
    assert "\n" not in str(caught.value)
