"""Statement loss, text-pose distance.

Statements as energies and as the list of parts that are said to touch: what guides the refinement of a pair.

How far people are from what is said of them in the common space of texts and poses: the alignment as an energy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.capsules import CAPSULE_PARTS
from closemesh.text.alignment import PoseEncoder, PoseTextModel, place_features, pose_features
from closemesh.text.grammar import render_statement
from closemesh.text.predicates import PoseFeatures, violation
from closemesh.text.statements import DepthOrder, Statement, TimedStatement, Touch, renumbered

LIKELY = 0.5  # From this confidence on a touch is told to the network, which knows no half ones.


def statement_loss(told: Sequence[TimedStatement], figures: PoseFeatures, times: Tensor) -> Tensor:
    """How far the people are from what is said of them [...], unweighted: 0 where all of it holds.

    figures of frames [...] at times [...] seconds. Robust squares in sigmas, each by how hard its statement pulls; what
    is said twice of a frame counts once.
    """
    pulls = torch.tensor([one.weight for one in told]).to(times).reshape(-1, *([1] * times.ndim))
    pulls = pulls * active_mask(told, times)  # [S, ...]
    total = times.new_zeros(times.shape)
    for statement, numbers in _by_statement(told).items():
        total = total + violation(statement, figures) * pulls[numbers].amax(0)
    return total


def _by_statement(told: Sequence[TimedStatement]) -> dict[Statement, list[int]]:
    """Where each different statement that pulls stands among those told."""
    found: dict[Statement, list[int]] = {}
    for number, one in enumerate(told):
        if one.weight > 0:
            found.setdefault(one.statement, []).append(number)
    return found


def active_mask(told: Sequence[TimedStatement], times: Tensor) -> Tensor:
    """Whether each statement speaks of each frame, 0 or 1 [S, ...]; times [..., T] seconds.

    A span reaches half a frame beyond its borders, so that one frame alone can be spoken of.
    """
    steps = times.diff(dim=-1)
    # Windows may repeat their last frame: steps of no time say nothing of the rate.
    half = float(steps[steps > 0].median()) / 2 if bool((steps > 0).any()) else 0.0
    return torch.stack([(times >= one.start - half) & (times <= one.end + half) for one in told]).to(times.dtype)


def contact_mask(told: Sequence[TimedStatement], times: Tensor) -> Tensor | None:
    """Parts of person 0 and of person 1 that are said to touch [..., 17, 17] bool at times [...]; None: nothing is."""
    touches = [one for one in told if isinstance(one.statement, Touch) and one.confidence >= LIKELY]
    if not touches:
        return None
    said = torch.zeros(*times.shape, len(CAPSULE_PARTS), len(CAPSULE_PARTS), dtype=torch.bool, device=times.device)
    for one, spoken in zip(touches, active_mask(touches, times).bool(), strict=True):
        assert isinstance(one.statement, Touch)
        said[..., CAPSULE_PARTS.index(one.statement.part_a), CAPSULE_PARTS.index(one.statement.part_b)] |= spoken
    return said if bool(said.any()) else None


@dataclass(frozen=True)
class TextTarget:
    """What is said of the same one or two people, read once."""

    people: tuple[int, ...]
    told: tuple[TimedStatement, ...]
    vectors: Tensor  # [S, space]


def read_sayings(alignment: PoseTextModel, told: Sequence[TimedStatement]) -> tuple[TextTarget, ...]:
    """Statements by whom they are about; who is nearer to the camera is left out, no pose shows it."""
    of_poses = [one for one in told if not isinstance(one.statement, DepthOrder)]
    groups = sorted({one.statement.people for one in of_poses})
    return tuple(_saying(alignment, people, [o for o in of_poses if o.statement.people == people]) for people in groups)


def _saying(alignment: PoseTextModel, people: tuple[int, ...], told: Sequence[TimedStatement]) -> TextTarget:
    number = {person: place for place, person in enumerate(people)}
    vectors = alignment.read_sentences([f"{render_statement(renumbered(one.statement, number))}." for one in told])
    return TextTarget(people, tuple(told), vectors)


def text_pose_distance(
    sayings: Sequence[TextTarget], poses: PoseEncoder, rotations: Tensor, pelvis: Tensor, up: Tensor, times: Tensor
) -> Tensor:
    """One minus the cosine between what is said and how people are, by how hard it pulls, summed over sayings [...].

    rotations [..., P, 22, 3, 3], pelvis [..., P, 3] metres and up [..., 3], unit vectors against gravity, in one frame;
    times [..., T] seconds. 0 in frames of which nothing is said. Vectors of statements add up, each by its pull.
    """
    total = times.new_zeros(times.shape)
    seen = pose_features(rotations, up[..., None, :].expand(*rotations.shape[:-3], 3))
    for one in sayings:
        people = list(one.people)
        place = place_features(rotations[..., people, 0, :, :], pelvis[..., people, :]) if len(people) == 2 else None
        pose = seen[..., people, :].flatten(0, -3)
        found = poses.soft(pose, None if place is None else place.flatten(0, -3)).unflatten(0, times.shape)
        spoken = active_mask(one.told, times)  # [S, ...]
        sure = times.new_tensor([t.weight for t in one.told]).reshape(-1, *([1] * times.ndim)) * spoken
        text = F.normalize(sure.flatten(1).T @ one.vectors.to(times), dim=-1).unflatten(0, times.shape)
        mean_sure = sure.sum(0) / spoken.sum(0).clamp(min=1)
        total = total + mean_sure * (1 - (text * found).sum(-1))
    return total
