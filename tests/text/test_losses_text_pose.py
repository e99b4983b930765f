"""Distance of texts and poses: by confidence, time and people, with gradients against finite differences."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.text.alignment import PoseEncoderConfig, PoseTextModel, TextEncoderConfig, create_alignment
from closemesh.text.losses import encode_statements, text_pose_distance
from closemesh.text.statements import ArmHeight, DepthOrder, JointAngle, TimedStatement, Touch
from closemesh.text.text_encoder import TextTransformerConfig, load_tokenizer

TIMES = torch.arange(4) / 10
STATEMENTS = (
    TimedStatement(JointAngle(1, "left_knee", "bent")),
    TimedStatement(ArmHeight(1, "left", "down"), confidence=0.5),
    TimedStatement(Touch(0, "left_hand", 1, "head"), start=0.2),
    TimedStatement(DepthOrder(0, 1)),
)


@pytest.fixture(scope="module")
def alignment() -> PoseTextModel:
    torch.manual_seed(0)
    tokenizer = load_tokenizer()
    text = TextEncoderConfig(TextTransformerConfig(len(tokenizer), width=24, layers=1, heads=2, hidden=32), space=16)
    model = create_alignment(PoseEncoderConfig(hidden=32, space=16), text, tokenizer).eval().requires_grad_(False)
    for weights in model.pose_encoder.parameters():
        weights.mul_(2)  # So steep that differences can be measured in single precision.
    return model


def state() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    rotations = axis_angle_to_matrix(0.3 * torch.randn(4, 2, 22, 3, generator=generator))
    up = torch.tensor([0.0, -1.0, 0.0]).expand(4, 3)
    return rotations, torch.randn(4, 2, 3, generator=generator), up


def test_only_people_and_frames_of_statements_count(alignment: PoseTextModel) -> None:
    rotations, pelvis, up = state()
    targets = encode_statements(alignment, STATEMENTS)
    assert [target.people for target in targets] == [(0, 1), (1,)], "depth order is no property of poses"
    for target, silent in zip(targets, ((0, 1), ()), strict=True):
        cost = text_pose_distance([target], alignment.pose_encoder, rotations, pelvis, up, TIMES)
        assert all((cost[frame] == 0) == (frame in silent) for frame in range(4))
    moved = pelvis.clone()
    moved[:, 0] += 1
    single, pair = targets[1:], targets[:1]
    costs = [
        text_pose_distance(s, alignment.pose_encoder, rotations, p, up, TIMES)
        for s in (single, pair)
        for p in (pelvis, moved)
    ]
    torch.testing.assert_close(costs[0], costs[1])
    assert (costs[2][2:] - costs[3][2:]).abs().min() > 1e-4


def test_half_the_weight_gives_half_the_loss(alignment: PoseTextModel) -> None:
    rotations, pelvis, up = state()
    timed = [TimedStatement(STATEMENTS[0].statement, confidence=c) for c in (1.0, 0.75)]  # Weights 1 and 0.5.
    full, half = (
        text_pose_distance(encode_statements(alignment, [s]), alignment.pose_encoder, rotations, pelvis, up, TIMES)
        for s in timed
    )
    torch.testing.assert_close(half, full / 2)


def test_gradients_equal_finite_differences(alignment: PoseTextModel) -> None:
    rotations, pelvis, up = state()
    pelvis.requires_grad_()
    turn = torch.zeros(4, 2, 22, 3, requires_grad=True)
    targets = encode_statements(alignment, STATEMENTS)

    def cost(turn: Tensor, pelvis: Tensor) -> Tensor:
        turned = rotations @ axis_angle_to_matrix(turn)
        return text_pose_distance(targets, alignment.pose_encoder, turned, pelvis, up, TIMES).sum()

    slopes = torch.autograd.grad(cost(turn, pelvis), (turn, pelvis))
    for kind, frame, person in ((0, 1, 1), (0, 3, 0), (1, 3, 0)):
        slope = slopes[kind][frame, person]
        step = [torch.zeros_like(turn), torch.zeros_like(pelvis)]
        step[kind][frame, person] = 3e-3 * torch.sign(slope)
        up_hill, down_hill = (cost(turn + s * step[0], pelvis + s * step[1]) for s in (1, -1))
        expected = float(slope.abs().sum())
        assert expected > 1e-3
        assert float((up_hill - down_hill).detach()) / 6e-3 == pytest.approx(expected, rel=0.05)
