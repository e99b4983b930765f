"""Joint limits: both sides mirror each other, and the excess is measured in radians."""

from __future__ import annotations

import math

import torch
from torch.autograd import gradcheck

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.losses.joint_limits import joint_limit_excess

DOUBLE = torch.float64


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def test_limits_mirror_and_measure_the_excess():
    pose = torch.zeros(21, 3, dtype=DOUBLE)
    assert joint_limit_excess(pose).sum() == 0
    knee = JOINT_INDEX["left_knee"] - 1
    pose[knee, 0] = math.radians(-13)  # Bent forwards by ten degrees more than the range allows.
    assert torch.allclose(joint_limit_excess(pose).sum(), torch.tensor(math.radians(10), dtype=DOUBLE))
    left, right = torch.zeros(21, 3, dtype=DOUBLE), torch.zeros(21, 3, dtype=DOUBLE)
    left[JOINT_INDEX["left_elbow"] - 1] = torch.tensor([0.0, 0.5, 1.8], dtype=DOUBLE)
    right[JOINT_INDEX["right_elbow"] - 1] = torch.tensor([0.0, -0.5, -1.8], dtype=DOUBLE)
    assert torch.allclose(joint_limit_excess(left).sum(), joint_limit_excess(right).sum())
    assert joint_limit_excess(left).sum() > 0
    assert gradcheck(joint_limit_excess, _random(21, 3))
