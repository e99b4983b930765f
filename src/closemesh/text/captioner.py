"""Statements that hold in a 3D motion, by rules with soft borders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch

from closemesh.body.capsules import CAPSULE_PARTS, NUM_POINTS, capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.core.arrays import Bools, Floats
from closemesh.structures import BodyMotion
from closemesh.temporal import find_runs
from closemesh.text.pose_features import pose_features
from closemesh.text.predicates import confidence
from closemesh.text.statements import (
    ALWAYS,
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
from closemesh.text.vocabulary import (
    ARM_HEIGHTS,
    BENDING_JOINTS,
    BENDS,
    DIRECTIONS,
    FACINGS,
    HEAD_CONTACTS,
    LIMBS,
    POSTURES,
    SECTIONS,
    SPACINGS,
)

_SIDES = ("left", "right")


@dataclass(frozen=True)
class RuleConfig:
    """When a statement is written."""

    min_confidence: float = 0.75
    """Of a frame in which the statement holds."""
    shortest: float = 0.15
    """Seconds that a statement must hold, unless it holds over the whole clip."""
    bridge: float = 0.1
    """Seconds of interruption that do not end an interval."""


def caption_motion(
    motion: BodyMotion, body: BodyModel, times: Floats, up_cam: Floats, config: RuleConfig | None = None
) -> tuple[TimedStatement, ...]:
    """All statements that hold in a motion, with their seconds, in order of start.

    motion: camera frame; times: [T] seconds; up_cam: [T, 3] unit vectors against gravity, camera frame. Frames in which
    a person is not valid are left out; the confidence of the pose is a factor of that of the statement. With T = 1
    statements hold always.
    """
    config = config or RuleConfig()
    statements = list(candidates(motion.num_people))
    holds = statement_confidences(statements, motion, body, up_cam)  # [S, T]
    valid = np.stack([motion.valid[:, list(s.people)].all(1) for s in statements])
    pose_confidence = np.stack([motion.confidence[:, list(s.people)].min(1) for s in statements])
    found = [
        TimedStatement(
            statement, float(times[first]), float(times[last]), float((frames * weight)[first : last + 1].mean())
        )
        for statement, frames, weight in zip(statements, np.where(valid, holds, 0.0), pose_confidence, strict=True)
        for first, last in intervals_where(frames >= config.min_confidence, times, config)
    ]
    if len(times) == 1:
        return tuple(replace(one, start=ALWAYS[0], end=ALWAYS[1]) for one in found)
    return tuple(sorted(found, key=lambda one: (one.start, one.end)))


def intervals_where(holds: Bools, times: Floats, config: RuleConfig) -> Iterator[tuple[int, int]]:
    """First and last frame of each interval in which a statement holds for long enough.

    holds: [T] frames in which the confidence suffices; times: [T] seconds.
    """
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    for run in find_runs(holds, config.bridge + 1.5 * step, times):
        first, last = run.start, run.stop - 1
        if times[last] - times[first] + step >= config.shortest or holds.all():
            yield first, last


def candidates(num_people: int) -> Iterator[Statement]:
    """All statements that the rules evaluate; equivalent ones once."""
    for person in range(num_people):
        yield from _about_one(person)
    for a, b in combinations(range(num_people), 2):
        yield from _about_two(a, b)


def _about_one(person: int) -> Iterator[Statement]:
    for joint in BENDING_JOINTS:
        yield from (JointAngle(person, joint, bend) for bend in BENDS)
    for side in _SIDES:
        yield from (ArmHeight(person, side, height) for height in ARM_HEIGHTS)
    for limbs in LIMBS:
        yield from (Spacing(person, limbs, spacing) for spacing in SPACINGS)
    yield from (Posture(person, posture) for posture in POSTURES)
    yield from _placements(person)
    yield from (TrunkPose(person, word) for word in TrunkPose.choices["trunk"])
    yield from (HeadPose(person, word) for word in HeadPose.choices["pose"])


def _placements(person: int) -> Iterator[Statement]:
    """Placements of hands, elbows, knees and feet that a relaxed standing pose does not have."""

    def placed(point: str, relation: str, of_point: str) -> Placement:
        return Placement(person, point, relation, person, of_point)

    for side, other in (("left", "right"), ("right", "left")):
        yield placed(f"{side}_hand", "above", "head")
        yield placed(f"{side}_hand", "above", f"{side}_shoulder")
        yield placed(f"{side}_hand", "above", f"{side}_elbow")
        yield placed(f"{side}_hand", "above", f"{other}_hand")
        yield placed(f"{side}_hand", "in_front_of", f"{side}_hip")
        yield placed(f"{side}_hip", "in_front_of", f"{side}_hand")
        yield placed(f"{side}_elbow", "in_front_of", f"{side}_shoulder")
        yield placed(f"{side}_shoulder", "in_front_of", f"{side}_elbow")
        yield placed(f"{side}_knee", "above", f"{side}_hip")
        yield placed(f"{side}_knee", "above", f"{other}_knee")
        yield placed(f"{side}_foot", "above", f"{other}_foot")
        yield placed(f"{side}_foot", "in_front_of", f"{other}_foot")
    for limb in ("hand", "foot", "knee"):
        yield placed(f"right_{limb}", "left_of", f"left_{limb}")  # Crossed.


def _about_two(a: int, b: int) -> Iterator[Statement]:
    yield from (Facing(a, b, how) for how in FACINGS)
    for one, other in ((a, b), (b, a)):
        yield Support(one, other)
        yield DepthOrder(one, other)
        yield Placement(one, "head", "above", other, "head")
        for side in _SIDES:
            yield Placement(one, f"{side}_hand", "above", other, "head")
    yield Facing(b, a, "behind")
    for part_a in CAPSULE_PARTS:
        yield from (Touch(a, part_a, b, part_b) for part_b in CAPSULE_PARTS)
    for one, other in ((a, b), (b, a)):
        for section in SECTIONS:
            yield from (Turned(one, section, direction, other) for direction in DIRECTIONS)
    both_orders = (HeadContact(*people, how) for how in HEAD_CONTACTS for people in ((a, b), (b, a)))
    yield from dict.fromkeys(both_orders)  # Symmetric ones are equal.


def statement_confidences(
    statements: Sequence[Statement], motion: BodyMotion, body: BodyModel, up_cam: Floats
) -> Floats:
    """Confidence 0..1 [S, T] of each statement in each frame.

    motion: camera frame; up_cam: [T, 3] unit vectors against gravity.
    """
    landmarks, capsules = load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)
    parts = []
    with torch.inference_mode():
        for features in pose_features(motion, landmarks, capsules, up_cam):
            parts.append(torch.stack([confidence(statement, features) for statement in statements]))
    return torch.cat(parts, dim=1).numpy()
