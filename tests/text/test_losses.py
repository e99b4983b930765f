"""Loss of statements: gradients against finite differences, upper bound, confidence and time."""

from __future__ import annotations

import pytest
import torch
from known_scenes import KnownScene
from torch import Tensor
from torch.autograd import gradcheck

from closemesh.body.capsules import CAPSULE_PARTS, NUM_POINTS, CapsuleBody, capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.text.captioner import candidates
from closemesh.text.losses import active_mask, contact_mask, statement_loss
from closemesh.text.pose_features import PoseFeatures, pose_features
from closemesh.text.predicates import OUTLIER, confidence, violation
from closemesh.text.statements import (
    ArmHeight,
    DepthOrder,
    Facing,
    HeadContact,
    HeadPose,
    JointAngle,
    Placement,
    Posture,
    Spacing,
    Statement,
    Support,
    TimedStatement,
    Touch,
    TrunkPose,
    Turned,
)

DOUBLE = torch.float64
UP = torch.tensor([0.0, -1.0, 0.0], dtype=DOUBLE)
WRONG: tuple[Statement, ...] = (
    JointAngle(0, "left_elbow", "sharply_bent"),
    JointAngle(1, "right_knee", "slightly_bent"),
    ArmHeight(0, "right", "overhead"),
    Placement(0, "left_hand", "above", 0, "head"),
    Placement(1, "right_hand", "in_front_of", 1, "left_hip"),
    Placement(0, "right_foot", "left_of", 0, "left_foot"),
    Placement(0, "left_hand", "above", 1, "head"),
    Spacing(0, "hands", "close"),
    Posture(0, "leaning_forward"),
    Posture(1, "face_up"),
    Posture(1, "on_left_side"),
    Posture(1, "upside_down"),
    Facing(0, 1, "facing_each_other"),
    Facing(1, 0, "behind"),
    Facing(0, 1, "side_by_side"),
    Touch(0, "left_hand", 1, "right_hand"),
    Touch(0, "head", 1, "upper_trunk"),
    DepthOrder(1, 0),
    Support(0, 1),
    TrunkPose(0, "twisted_left"),
    TrunkPose(0, "leaning_right"),
    TrunkPose(1, "leaning_back_a_little"),
    TrunkPose(1, "left_shoulder_higher"),
    TrunkPose(0, "right_hip_higher"),
    TrunkPose(1, "hips_low"),
    HeadPose(0, "turned_left"),
    HeadPose(0, "tilted_right"),
    HeadPose(1, "bent_forward"),
    Turned(0, "hips", "right_side_toward", 1),
    Turned(1, "shoulders", "toward", 0),
    Turned(0, "head", "toward", 1),
    HeadContact(0, 1, "cheek_to_cheek"),
    HeadContact(0, 1, "foreheads_touching"),
    HeadContact(1, 0, "chin_over_left_shoulder"),
)
"""None of these holds in the known scene."""


@pytest.fixture(scope="module")
def capsules(known_scene: KnownScene) -> CapsuleBody:
    return capsule_body(known_scene.body)


@pytest.fixture(scope="module")
def features(known_scene: KnownScene, capsules: CapsuleBody) -> PoseFeatures:
    """The two people of the known scene in two of its frames, double precision."""
    scene = known_scene
    landmarks = load_landmark_body(scene.body).coarse(NUM_POINTS)
    [found] = pose_features(scene.motion, landmarks, capsules, scene.camera.T_cam_world[:, :3, 1])
    return PoseFeatures(found.keypoints[[0, 7]].to(DOUBLE), found.up[[0, 7]].to(DOUBLE), capsules)


def moved(features: PoseFeatures, keypoints: Tensor) -> PoseFeatures:
    return PoseFeatures(keypoints, features.up, features.capsules)


@pytest.mark.parametrize("statement", WRONG, ids=str)
def test_gradients_are_those_of_finite_differences(features: PoseFeatures, statement: Statement):
    noise = 0.02 * torch.randn(features.keypoints.shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    points = (features.keypoints + noise).requires_grad_()
    assert gradcheck(lambda x: violation(statement, moved(features, x)), points)
    value = violation(statement, moved(features, points))
    assert (value > 0).all()
    (gradient,) = torch.autograd.grad(value.sum(), points)
    assert gradient.abs().max() > 1e-3
    lower = violation(statement, moved(features, points - 1e-3 * gradient / gradient.norm()))
    assert lower.sum() < value.sum()


def test_true_statements_cost_nothing_and_false_ones_a_limited_amount(features: PoseFeatures):
    with torch.no_grad():
        for statement in candidates(2):
            certainty, cost = confidence(statement, features), violation(statement, features)
            assert (cost[certainty == 1] == 0).all() and (cost[certainty < 0.5] > 0).all(), statement
            assert (cost < OUTLIER**2).all()


def test_gradients_are_finite_where_limbs_are_straight_and_people_coincide(capsules: CapsuleBody):
    line = torch.linspace(0, 1, NUM_POINTS, dtype=DOUBLE)[:, None] * torch.tensor([0.3, 1.0, 0.1], dtype=DOUBLE)
    points = line.expand(1, 2, -1, -1).clone().requires_grad_()
    for statement in candidates(2):
        value = violation(statement, PoseFeatures(points, UP.expand(1, 3), capsules)).sum()
        gradient = torch.autograd.grad(value, points, allow_unused=True)[0]
        assert gradient is None or torch.isfinite(gradient).all(), statement


def test_confidence_and_time_count_and_repetition_does_not(features: PoseFeatures):
    times = torch.tensor([1.0, 2.0], dtype=DOUBLE)
    wrong = Posture(1, "upside_down")
    alone = statement_loss([TimedStatement(wrong)], features, times)
    assert torch.allclose(alone, violation(wrong, features))
    assert torch.allclose(statement_loss([TimedStatement(wrong, confidence=0.75)], features, times), 0.5 * alone)
    assert not statement_loss([TimedStatement(wrong, confidence=0.5)], features, times).any(), (
        "as likely wrong as right"
    )
    assert torch.equal(
        statement_loss([TimedStatement(wrong, confidence=0.6), *[TimedStatement(wrong)] * 3], features, times), alone
    )
    early = statement_loss([TimedStatement(wrong, end=1.2)], features, times)
    assert early[0] == alone[0] and early[1] == 0


def test_intervals_cover_the_nearest_frame():
    times = (torch.arange(6) / 10).expand(2, -1)
    statements = [
        TimedStatement(Posture(0, "upright"), *span) for span in ((0.1, 0.2), (0.33, 0.33), (0.9, 1.0), (-1, 0))
    ]
    active = active_mask(statements, times)
    assert active.shape == (4, 2, 6)
    assert active[:, 0].tolist() == [[0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0] * 6, [1, 0, 0, 0, 0, 0]]
    repeated = torch.tensor([[0.0, 0.1, 0.2, 0.2, 0.2]])
    assert active_mask(statements[:1], repeated).tolist() == [[[0, 1, 1, 1, 1]]]


def test_touches_become_the_contact_mask():
    times = (torch.arange(4) / 10).expand(3, -1)
    statements = [
        TimedStatement(Touch(0, "left_hand", 1, "head"), 0.1, 0.2, 0.9),
        TimedStatement(Touch(0, "right_foot", 1, "right_foot"), confidence=0.4),
        TimedStatement(Posture(0, "upright")),
    ]
    mask = contact_mask(statements, times)
    assert mask is not None and mask.shape == (3, 4, 17, 17) and mask.dtype == torch.bool
    where = mask.nonzero().tolist()
    hand, head = CAPSULE_PARTS.index("left_hand"), CAPSULE_PARTS.index("head")
    assert where == [[window, frame, hand, head] for window in range(3) for frame in (1, 2)]
    assert contact_mask(statements[1:], times) is None
    assert contact_mask([TimedStatement(Touch(0, "head", 1, "head"), 5.0, 6.0)], times) is None
