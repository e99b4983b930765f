"""Losses of statements: violation of their conditions, distance between texts and poses, and the contact mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.capsules import CAPSULE_PARTS
from closemesh.text.alignment import PoseEncoder, PoseTextModel, place_input, pose_input
from closemesh.text.grammar import render_statement
from closemesh.text.pose_features import PoseFeatures
from closemesh.text.predicates import violation
from closemesh.text.statements import ALIGNED_KINDS, Statement, TimedStatement, Touch, renumber

MIN_CONTACT_CONFIDENCE = 0.5  # Confidence of touches in the contact mask, which has no values between 0 and 1.


def statement_loss(statements: Sequence[TimedStatement], features: PoseFeatures, times: Tensor) -> Tensor:
    """Violation [...] of statements, unreduced: squared robust sigmas times weight, 0 where all statements hold.

    features: of frames [...]; times: [...] seconds of these frames. A statement that is repeated for one frame counts
    once, with its largest weight.
    """
    weights = torch.tensor([one.weight for one in statements]).to(times).reshape(-1, *([1] * times.ndim))
    weights = weights * active_mask(statements, times)  # [S, ...]
    total = times.new_zeros(times.shape)
    for statement, numbers in _by_statement(statements).items():
        total = total + violation(statement, features) * weights[numbers].amax(0)
    return total


def active_mask(statements: Sequence[TimedStatement], times: Tensor) -> Tensor:
    """Whether each statement covers each frame, 0 or 1 [S, ...]; times: [..., T] seconds.

    An interval is extended by half a frame at both ends, so that it covers at least the nearest frame.
    """
    steps = times.diff(dim=-1)
    # Windows may repeat their last frame; its step of 0 s has no part in the frame rate.
    half = float(steps[steps > 0].median()) / 2 if bool((steps > 0).any()) else 0.0
    return torch.stack([(times >= one.start - half) & (times <= one.end + half) for one in statements]).to(times.dtype)


def contact_mask(statements: Sequence[TimedStatement], times: Tensor) -> Tensor | None:
    """Parts of person 0 and of person 1 in stated contact, bool [..., 17, 17]; None if there are none.

    times: [...] seconds.
    """
    touches = [
        one for one in statements if isinstance(one.statement, Touch) and one.confidence >= MIN_CONTACT_CONFIDENCE
    ]
    if not touches:
        return None
    mask = torch.zeros(*times.shape, len(CAPSULE_PARTS), len(CAPSULE_PARTS), dtype=torch.bool, device=times.device)
    for one, active in zip(touches, active_mask(touches, times).bool(), strict=True):
        assert isinstance(one.statement, Touch)
        mask[..., CAPSULE_PARTS.index(one.statement.part_a), CAPSULE_PARTS.index(one.statement.part_b)] |= active
    return mask if bool(mask.any()) else None


@dataclass(frozen=True)
class TextTarget:
    """Statements about the same one or two people, with their text vectors."""

    people: tuple[int, ...]
    statements: tuple[TimedStatement, ...]
    vectors: Tensor  # [S, space]


def encode_statements(model: PoseTextModel, statements: Sequence[TimedStatement]) -> tuple[TextTarget, ...]:
    """Text targets, grouped by people; kinds for which the common space has no labels are left out."""
    of_poses = [one for one in statements if isinstance(one.statement, ALIGNED_KINDS)]
    groups = sorted({one.statement.people for one in of_poses})
    return tuple(
        _target(model, people, [one for one in of_poses if one.statement.people == people]) for people in groups
    )


def text_pose_distance(
    targets: Sequence[TextTarget], encoder: PoseEncoder, rotations: Tensor, pelvis: Tensor, up: Tensor, times: Tensor
) -> Tensor:
    """Weighted sum [...] over targets of one minus the cosine between text and pose; 0 in frames without statements.

    rotations: [..., P, 22, 3, 3]; pelvis: [..., P, 3] meters; up: [..., 3] unit vectors against gravity, all in one
    frame; times: [..., T] seconds. The text vector of a frame is the weighted sum of its statements' vectors.
    """
    total = times.new_zeros(times.shape)
    poses = pose_input(rotations, up[..., None, :].expand(*rotations.shape[:-3], 3))
    for target in targets:
        people = list(target.people)
        place = place_input(rotations[..., people, 0, :, :], pelvis[..., people, :]) if len(people) == 2 else None
        pose = poses[..., people, :].flatten(0, -3)
        encoded = encoder.soft(pose, None if place is None else place.flatten(0, -3)).unflatten(0, times.shape)
        active = active_mask(target.statements, times)  # [S, ...]
        weight = times.new_tensor([one.weight for one in target.statements]).reshape(-1, *([1] * times.ndim)) * active
        text = F.normalize(weight.flatten(1).T @ target.vectors.to(times), dim=-1).unflatten(0, times.shape)
        mean_weight = weight.sum(0) / active.sum(0).clamp(min=1)
        total = total + mean_weight * (1 - (text * encoded).sum(-1))
    return total


def _by_statement(statements: Sequence[TimedStatement]) -> dict[Statement, list[int]]:
    """Indices of the entries with a weight, for each different statement."""
    found: dict[Statement, list[int]] = {}
    for number, one in enumerate(statements):
        if one.weight > 0:
            found.setdefault(one.statement, []).append(number)
    return found


def _target(model: PoseTextModel, people: tuple[int, ...], statements: Sequence[TimedStatement]) -> TextTarget:
    number = {person: place for place, person in enumerate(people)}
    texts = [f"{render_statement(renumber(one.statement, number))}." for one in statements]
    return TextTarget(people, tuple(statements), model.encode_sentences(texts))
