"""The alignment as an energy: by confidence, by time, by whom it is about, and with the gradients of differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.text.alignment import PoseReaderConfig, PoseTextModel, TextReaderConfig, new_alignment
from closemesh.text.losses import read_sayings, text_pose_distance
from closemesh.text.statements import ArmHeight, DepthOrder, JointAngle, TimedStatement, Touch
from closemesh.text.text_encoder import TextEncoderConfig, load_pieces

TIMES = torch.arange(4) / 10
TOLD = (
    TimedStatement(JointAngle(1, "left_knee", "bent")),
    TimedStatement(ArmHeight(1, "left", "down"), confidence=0.5),
    TimedStatement(Touch(0, "left_hand", 1, "head"), start=0.2),
    TimedStatement(DepthOrder(0, 1)),
)


@pytest.fixture(scope="module")
def alignment() -> PoseTextModel:
    torch.manual_seed(0)
    pieces = load_pieces()
    text = TextReaderConfig(TextEncoderConfig(len(pieces), width=24, layers=1, heads=2, hidden=32), space=16)
    made = new_alignment(PoseReaderConfig(hidden=32, space=16), text, pieces).eval().requires_grad_(False)
    for weights in made.poses.parameters():
        weights.mul_(2)  # So steep that differences can be measured in single precision.
    return made


def state() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    rotations = axis_angle_to_matrix(0.3 * torch.randn(4, 2, 22, 3, generator=generator))
    up = torch.tensor([0.0, -1.0, 0.0]).expand(4, 3)
    return rotations, torch.randn(4, 2, 3, generator=generator), up


def test_only_those_who_are_spoken_of_and_only_then(alignment: PoseTextModel) -> None:
    rotations, pelvis, up = state()
    sayings = read_sayings(alignment, TOLD)
    assert [saying.people for saying in sayings] == [(0, 1), (1,)], "who is nearer to the camera is no pose"
    for saying, untold in zip(sayings, ((0, 1), ()), strict=True):
        cost = text_pose_distance([saying], alignment.poses, rotations, pelvis, up, TIMES)
        assert all((cost[frame] == 0) == (frame in untold) for frame in range(4))
    moved = pelvis.clone()
    moved[:, 0] += 1
    alone, pair = sayings[1:], sayings[:1]
    costs = [
        text_pose_distance(s, alignment.poses, rotations, p, up, TIMES) for s in (alone, pair) for p in (pelvis, moved)
    ]
    torch.testing.assert_close(costs[0], costs[1])
    assert (costs[2][2:] - costs[3][2:]).abs().min() > 1e-4


def test_half_as_sure_pulls_half_as_hard(alignment: PoseTextModel) -> None:
    rotations, pelvis, up = state()
    said = [TimedStatement(TOLD[0].statement, confidence=sure) for sure in (1.0, 0.75)]  # Half as far from even odds.
    sure, unsure = (
        text_pose_distance(read_sayings(alignment, [s]), alignment.poses, rotations, pelvis, up, TIMES) for s in said
    )
    torch.testing.assert_close(unsure, sure / 2)


def test_the_gradient_is_that_of_differences(alignment: PoseTextModel) -> None:
    rotations, pelvis, up = state()
    pelvis.requires_grad_()
    turn = torch.zeros(4, 2, 22, 3, requires_grad=True)
    sayings = read_sayings(alignment, TOLD)

    def cost(turn: Tensor, pelvis: Tensor) -> Tensor:
        turned = rotations @ axis_angle_to_matrix(turn)
        return text_pose_distance(sayings, alignment.poses, turned, pelvis, up, TIMES).sum()

    slopes = torch.autograd.grad(cost(turn, pelvis), (turn, pelvis))
    for kind, frame, person in ((0, 1, 1), (0, 3, 0), (1, 3, 0)):
        slope = slopes[kind][frame, person]
        step = [torch.zeros_like(turn), torch.zeros_like(pelvis)]
        step[kind][frame, person] = 3e-3 * torch.sign(slope)
        up_hill, down_hill = (cost(turn + s * step[0], pelvis + s * step[1]) for s in (1, -1))
        expected = float(slope.abs().sum())
        assert expected > 1e-3
        assert float((up_hill - down_hill).detach()) / 6e-3 == pytest.approx(expected, rel=0.05)
