"""The writer: from 3D motion to statements, by rules with soft borders; what is unsure is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch

from closemesh.body.capsules import CAPSULE_PARTS, NUM_POINTS, capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.core.arrays import Bools, Floats
from closemesh.structures import BodyMotion
from closemesh.temporal import find_runs
from closemesh.text.predicates import confidence, pose_features
from closemesh.text.statements import (
    ARM_HEIGHTS,
    BENDING_JOINTS,
    BENDS,
    FACINGS,
    LIMBS,
    POSTURES,
    SPACINGS,
    ArmHeight,
    DepthOrder,
    Facing,
    JointAngle,
    Placement,
    Posture,
    Spacing,
    Statement,
    Support,
    TimedStatement,
    Touch,
)

_SIDES = ("left", "right")


@dataclass(frozen=True)
class RuleConfig:
    """When a rule speaks."""

    min_confidence: float = 0.75
    """Frames with less confidence say nothing."""
    shortest: float = 0.15
    """Seconds; what holds for less is not worth a sentence, unless it holds over the whole clip."""
    bridge: float = 0.1
    """Seconds without it that do not end a span."""


def caption_motion(
    motion: BodyMotion, body: BodyModel, times: Floats, up_cam: Floats, config: RuleConfig | None = None
) -> tuple[TimedStatement, ...]:
    """Everything of the vocabulary that holds in a motion, with its seconds; in order of start.

    motion: camera frame; times [T] seconds; up_cam [T, 3] unit vectors against gravity, camera frame. Frames in which
    somebody is not valid say nothing of him; the confidence of his pose is counted in.
    """
    config = config or RuleConfig()
    said = list(candidates(motion.num_people))
    held = confidences(said, motion, body, up_cam)  # [S, T]
    valid = np.stack([motion.valid[:, list(s.people)].all(1) for s in said])
    trust = np.stack([motion.confidence[:, list(s.people)].min(1) for s in said])
    told = [
        TimedStatement(
            statement, float(times[first]), float(times[last]), float((sure * weight)[first : last + 1].mean())
        )
        for statement, sure, weight in zip(said, np.where(valid, held, 0.0), trust, strict=True)
        for first, last in spans(sure >= config.min_confidence, times, config)
    ]
    return tuple(sorted(told, key=lambda one: (one.start, one.end)))


def spans(holds: Bools, times: Floats, config: RuleConfig) -> Iterator[tuple[int, int]]:
    """First and last frame of each run of frames [T] that lasts; short gaps are bridged."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    for run in find_runs(holds, config.bridge + 1.5 * step, times):
        first, last = run.start, run.stop - 1
        if times[last] - times[first] + step >= config.shortest or holds.all():
            yield first, last


def candidates(num_people: int) -> Iterator[Statement]:
    """Every statement that the rules try: each way of seeing a thing once."""
    for person in range(num_people):
        yield from _of_one(person)
    for a, b in combinations(range(num_people), 2):
        yield from _of_two(a, b)


def _of_one(person: int) -> Iterator[Statement]:
    for joint in BENDING_JOINTS:
        yield from (JointAngle(person, joint, bend) for bend in BENDS)
    for side in _SIDES:
        yield from (ArmHeight(person, side, height) for height in ARM_HEIGHTS)
    for limbs in LIMBS:
        yield from (Spacing(person, limbs, apart) for apart in SPACINGS)
    yield from (Posture(person, posture) for posture in POSTURES)
    yield from _placements(person)


def _placements(person: int) -> Iterator[Statement]:
    """Hands, elbows, knees and feet; only what is not so in everybody who stands at ease."""

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


def _of_two(a: int, b: int) -> Iterator[Statement]:
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


def confidences(said: Sequence[Statement], motion: BodyMotion, body: BodyModel, up_cam: Floats) -> Floats:
    """How surely each statement holds in each frame [S, T]; motion: camera frame; up_cam [T, 3]."""
    points, capsules = load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)
    parts = []
    with torch.inference_mode():
        for figures in pose_features(motion, points, capsules, up_cam):
            parts.append(torch.stack([confidence(statement, figures) for statement in said]))
    return torch.cat(parts, dim=1).numpy()
