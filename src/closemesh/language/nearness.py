"""How far people are from what is said of them in the common space of texts and poses: the alignment as an energy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from closemesh.language.alignment import Alignment, PoseReader
from closemesh.language.energies import spoken_of
from closemesh.language.pose_tokens import place_features, pose_features
from closemesh.language.say import say
from closemesh.language.statements import DepthOrder, renumbered
from closemesh.language.told import Told


@dataclass(frozen=True)
class Saying:
    """What is said of the same one or two people, read once."""

    people: tuple[int, ...]
    told: tuple[Told, ...]
    vectors: Tensor  # [S, space]


def read_sayings(alignment: Alignment, told: Sequence[Told]) -> tuple[Saying, ...]:
    """Statements by whom they are about; who is nearer to the camera is left out, no pose shows it."""
    of_poses = [one for one in told if not isinstance(one.statement, DepthOrder)]
    groups = sorted({one.statement.people for one in of_poses})
    return tuple(_saying(alignment, people, [o for o in of_poses if o.statement.people == people]) for people in groups)


def _saying(alignment: Alignment, people: tuple[int, ...], told: Sequence[Told]) -> Saying:
    number = {person: place for place, person in enumerate(people)}
    vectors = alignment.read_sentences([f"{say(renumbered(one.statement, number))}." for one in told])
    return Saying(people, tuple(told), vectors)


def farness(
    sayings: Sequence[Saying], poses: PoseReader, rotations: Tensor, pelvis: Tensor, up: Tensor, times: Tensor
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
        found = poses.smooth(pose, None if place is None else place.flatten(0, -3)).unflatten(0, times.shape)
        spoken = spoken_of(one.told, times)  # [S, ...]
        sure = times.new_tensor([t.pull for t in one.told]).reshape(-1, *([1] * times.ndim)) * spoken
        text = F.normalize(sure.flatten(1).T @ one.vectors.to(times), dim=-1).unflatten(0, times.shape)
        mean_sure = sure.sum(0) / spoken.sum(0).clamp(min=1)
        total = total + mean_sure * (1 - (text * found).sum(-1))
    return total
