"""What brings two people into contact and keeps them out of each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.contact.crossings import Crossings, find_crossings
from closemesh.energy.penetration import penetration_depth
from closemesh.interactions.person_energy import Person
from closemesh.interactions.posed_bodies import PosedBodies, PoseVariables

_MOST_CROSSINGS = 64  # Of each body of a pair; the deepest count.
PENETRATION_SLACK = 0.004  # Metres that skin gives way at no cost.
TOUCH_SLACK = 0.004  # Metres between two anchors at no cost.
_AGAINST = 0.3  # Of the normals of two surfaces that touch: cost of standing across instead of against each other.


@dataclass(frozen=True)
class Pairs:
    """N pairs of the same recipe."""

    a: Person
    b: Person
    anchors: Tensor  # [N, K, 2] vertex of a and of b that meet in touch k


@dataclass(frozen=True)
class DeepPoints:
    """The deepest crossing vertices of each pair, padded: vertices of one body and their partners on the other."""

    vertex: Tensor  # [N, P]
    corners: Tensor  # [N, P, 3] vertices of the other body's face
    barycentric: Tensor  # [N, P, 3]
    outward: Tensor  # [N, P, 3]
    counts: Tensor  # [N, P] 1 where there is one, else 0

    def depth(self, own: PosedBodies, other: PosedBodies) -> Tensor:
        """[N, P] metres; 0 where there is none."""
        points = own.points(self.vertex)
        corners = other.points(self.corners.flatten(1)).unflatten(1, (-1, 3))
        surface = (self.barycentric[..., None] * corners).sum(-2)
        return F.relu(((surface - points) * self.outward).sum(-1)) * self.counts


def touch_energy(pairs: Pairs, a: PosedBodies, b: PosedBodies, sigma: Tensor) -> Tensor:
    """[N] anchors apart, in units of sigma metres [K], and surfaces that do not face each other there."""
    point_a, normal_a = a.points_and_normals(pairs.anchors[..., 0])
    point_b, normal_b = b.points_and_normals(pairs.anchors[..., 1])
    distance = (point_a - point_b).square().sum(-1).clamp(min=1e-8).sqrt()  # [N, K]
    apart = (F.relu(distance - TOUCH_SLACK) / sigma).square()
    against = (1 + (normal_a * normal_b).sum(-1)) / _AGAINST
    return (apart + against.square()).sum(-1)


def placement_energy(pairs: Pairs, bodies: tuple[PoseVariables, PoseVariables], sigma: float) -> Tensor:
    """[N] pelvises that left their places, together (cheap) or from one another, in units of sigma metres."""
    moved = [body.pelvis - person.start.pelvis for body, person in zip(bodies, (pairs.a, pairs.b), strict=True)]
    apart = (moved[1] - moved[0])[:, [0, 2]].square().sum(-1)
    together = (moved[1] + moved[0])[:, [0, 2]].square().sum(-1)
    return (apart + 0.1 * together) / sigma**2


def crossing_energy(deep: tuple[DeepPoints, DeepPoints], a: PosedBodies, b: PosedBodies, sigma: float) -> Tensor:
    """[N] depth of the vertices that were inside the other body at the last search, in units of sigma metres."""
    depths = torch.cat([deep[0].depth(a, b), deep[1].depth(b, a)], dim=1)
    return (F.relu(depths - PENETRATION_SLACK) / sigma).square().sum(-1)


@dataclass(frozen=True)
class SearchMesh:
    """A closed mesh on some of the vertices of the bodies."""

    ids: Tensor  # [V]
    faces: Tensor  # [F, 3] rows of ids


def search_crossings(a: PosedBodies, b: PosedBodies, mesh: SearchMesh) -> tuple[DeepPoints, DeepPoints]:
    """What of a is inside b and what of b is inside a, now."""
    with torch.no_grad():
        vertices_a, vertices_b = a.points(mesh.ids), b.points(mesh.ids)
        found = find_crossings(vertices_a, vertices_b, mesh.faces)
        depth = penetration_depth(vertices_a, vertices_b, mesh.faces, found)
    both = (_deepest(found, depth, mesh, len(vertices_a), from_a) for from_a in (True, False))
    return next(both), next(both)


def _deepest(found: Crossings, depth: Tensor, mesh: SearchMesh, count: int, from_a: bool) -> DeepPoints:
    """The deepest of one direction, in rows by pair."""
    chosen = (found.from_a == from_a).nonzero()[:, 0]
    order = chosen[depth[chosen].argsort(descending=True)]
    order = order[found.frame[order].argsort(stable=True)]
    frame = found.frame[order]
    first = torch.searchsorted(frame, torch.arange(count, device=frame.device))
    rank = torch.arange(len(frame), device=frame.device) - first[frame]
    kept = rank < _MOST_CROSSINGS
    order, frame, rank = order[kept], frame[kept], rank[kept]
    width = int(rank.max()) + 1 if len(rank) else 1

    def rows(values: Tensor) -> Tensor:
        table = values.new_zeros(count, width, *values.shape[1:])
        table[frame, rank] = values
        return table

    return DeepPoints(
        vertex=rows(mesh.ids[found.vertex[order]]),
        corners=rows(mesh.ids[mesh.faces[found.face[order]]]),
        barycentric=rows(found.barycentric[order]),
        outward=rows(found.outward[order]),
        counts=rows(torch.ones_like(depth[order])),
    )
