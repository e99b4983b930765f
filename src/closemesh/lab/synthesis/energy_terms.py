"""One-person and pair terms, balance.

Where the weight of a body is.

What makes the pose of one person believable: limits, likelihood, nearness to the source, floor, balance.

What brings two people into contact and keeps them out of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.contact.vertex_contacts import Penetrations, find_penetrations
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.posed_bodies import BodyShapes, PosedBodies, PoseVariables, joint_freedom
from closemesh.lab.synthesis.surface_points import Marks
from closemesh.lab.synthesis.templates.schema import Posture
from closemesh.losses.joint_limits import joint_limit_excess
from closemesh.losses.physics import penetration_depth
from closemesh.losses.pose_prior import PosePrior, pose_prior_nll

# Mass of a segment as a share of the body's, and where its centre lies from the first joint to the second
# (de Leva 1996, mean of women and men).
_TRUNK: tuple[tuple[str, str, float, float], ...] = (
    ("pelvis", "neck", 0.43, 0.47),
    ("neck", "head", 0.07, 1.8),
)
_LIMBS: tuple[tuple[str, str, float, float], ...] = (
    ("shoulder", "elbow", 0.026, 0.58),
    ("elbow", "wrist", 0.015, 0.46),
    ("wrist", "middle1", 0.006, 0.8),
    ("hip", "knee", 0.145, 0.39),
    ("knee", "ankle", 0.0455, 0.44),
    ("ankle", "foot", 0.0125, 0.5),
)
_SEGMENTS = (
    *_TRUNK,
    *((f"{side}_{a}", f"{side}_{b}", mass, at) for side in ("left", "right") for a, b, mass, at in _LIMBS),
)


def centre_of_mass(joints: Tensor) -> Tensor:
    """[..., 3] of joints [..., 55, 3]."""
    start = joints[..., [JOINT_INDEX[a] for a, *_ in _SEGMENTS], :]
    end = joints[..., [JOINT_INDEX[b] for _, b, *_ in _SEGMENTS], :]
    at = torch.tensor([at for *_, at in _SEGMENTS]).to(joints)
    mass = torch.tensor([mass for _, _, mass, _ in _SEGMENTS]).to(joints)
    centres = start + at[:, None] * (end - start)
    return (centres * (mass / mass.sum())[:, None]).sum(-2)


@dataclass(frozen=True)
class PersonSigmas:
    """Standard deviations that the residuals of one person are divided by."""

    limit: float = 0.03
    """Radians beyond a joint's range."""
    floor: float = 0.01
    """Metres of a support above or below the floor, and of anything else below it."""
    balance: float = 0.03
    """Metres of the centre of mass beyond the feet."""
    reach_of_feet: float = 0.07
    """Metres that the feet reach around the line between their middles."""
    self_depth: float = 0.01
    """Metres of an arm inside the own trunk."""
    clearance: float = 0.008
    """Metres that an arm keeps from it."""
    root: float = 0.15
    """Radians of the trunk away from its start."""
    bend: float = 0.35
    """Radians that a finger gives."""
    uneven: float = 0.2
    """Radians between neighbouring fingers."""
    wrist: tuple[float, float, float] = (0.6, 0.2, 0.4)
    """Comfortable radians of twist, of bending sideways and of flexion of a wrist."""


SIGMAS = PersonSigmas()
PRIOR_WEIGHT = 0.03
_FINGER_ROW = [0, 1, 3, 2]  # Index, middle, ring and little finger among the bends of a hand.
_NEIGHBOUR = 0.12  # Metres within which the nearest point of the trunk tells inside from outside.


@dataclass(frozen=True)
class Person:
    """N bodies that play the same role."""

    shapes: BodyShapes
    betas: Tensor  # [N, B]
    start: PoseVariables
    posture: Posture
    supports: tuple[Tensor, ...]
    """Vertex ids of each region that is on the floor."""
    seat: Tensor | None
    """[N] metres from the floor to the seat."""
    seat_vertices: Tensor | None


def person_energy(
    person: Person, posed: PosedBodies, variables: PoseVariables, marks: Marks, prior: PosePrior
) -> Tensor:
    """[N] energy of each body by itself."""
    energy = pose_energy(person, variables, prior)
    energy = energy + floor_energy(person, posed, marks)
    return energy + self_energy(posed, marks)


def pose_energy(person: Person, variables: PoseVariables, prior: PosePrior) -> Tensor:
    """[N] of rotations alone: limits, likelihood, comfort of wrists and hands, nearness to the start."""
    pose = variables.body_pose
    limits = (joint_limit_excess(pose) / SIGMAS.limit).square().sum((-1, -2))
    moved = ((pose - person.start.body_pose) / joint_freedom(pose)).square().sum((-1, -2))
    turned = (axis_angle_to_matrix(variables.root) - axis_angle_to_matrix(person.start.root)).square().sum((-1, -2))
    wrists = pose[:, [JOINT_INDEX["left_wrist"] - 1, JOINT_INDEX["right_wrist"] - 1]]
    comfort = (wrists / torch.tensor(SIGMAS.wrist).to(pose)).square().sum((-1, -2))
    fingers = (variables.bend / SIGMAS.bend).square().sum((-1, -2)) + _uneven_fingers(variables.bend)
    return (
        limits + PRIOR_WEIGHT * pose_prior_nll(prior, pose) + moved + turned / (2 * SIGMAS.root**2) + comfort + fingers
    )


def _uneven_fingers(bend: Tensor) -> Tensor:
    """[N] of neighbouring fingers that give differently: tendons tie them; bend [N, 2, 6]."""
    in_a_row = bend[..., _FINGER_ROW]
    return ((in_a_row[..., 1:] - in_a_row[..., :-1]) / SIGMAS.uneven).square().sum((-1, -2))


def floor_energy(person: Person, posed: PosedBodies, marks: Marks) -> Tensor:
    """[N] supports on the floor, nothing below it, weight over the feet."""
    lowest = [posed.points(ids)[..., 1].amin(-1) for ids in person.supports]
    sinking = F.relu(-posed.points(marks.anywhere)[..., 1])
    energy = (sinking / SIGMAS.floor).square().sum(-1)
    for height in lowest:
        energy = energy + (height / SIGMAS.floor).square()
    if person.seat is not None and person.seat_vertices is not None:
        height = posed.points(person.seat_vertices)[..., 1].amin(-1) - person.seat
        energy = energy + (height / SIGMAS.floor).square()
    if person.posture.balanced:
        energy = energy + balance_energy(person, posed, marks, centre_of_mass(posed.joints))
    return energy


def balance_energy(person: Person, posed: PosedBodies, marks: Marks, centre: Tensor) -> Tensor:
    """[N] of a centre of mass [N, 3] over the feet that `person` stands on."""
    feet = [posed.points(ids).mean(1)[:, [0, 2]] for ids in marks.soles]  # Twice [N, 2]
    if not any(name.startswith("right") for name in person.posture.supports):
        feet[1] = feet[0]
    along = feet[1] - feet[0]
    share = ((centre[:, [0, 2]] - feet[0]) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-6)
    nearest = feet[0] + share.clamp(0, 1)[:, None] * along
    away = (centre[:, [0, 2]] - nearest).square().sum(-1).clamp(min=1e-8).sqrt()
    return (F.relu(away - SIGMAS.reach_of_feet) / SIGMAS.balance).square()


def self_energy(posed: PosedBodies, marks: Marks) -> Tensor:
    """[N] of forearms and hands inside the own trunk, told by the nearest of a few points of it."""
    arms = posed.points(marks.arms)
    trunk, normals = posed.points_and_normals(marks.trunk)
    with torch.no_grad():
        distance, nearest = torch.cdist(arms, trunk).min(-1)  # [N, arms]
    index = nearest[..., None].expand(-1, -1, 3)
    outside = ((arms - trunk.gather(1, index)) * normals.gather(1, index)).sum(-1)
    depth = F.relu(SIGMAS.clearance - outside) * (distance < _NEIGHBOUR)
    return (depth / SIGMAS.self_depth).square().sum(-1) / 4


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
    normal: Tensor  # [N, P, 3]
    counts: Tensor  # [N, P] 1 where there is one, else 0

    def depth(self, own: PosedBodies, other: PosedBodies) -> Tensor:
        """[N, P] metres; 0 where there is none."""
        points = own.points(self.vertex)
        corners = other.points(self.corners.flatten(1)).unflatten(1, (-1, 3))
        surface = (self.barycentric[..., None] * corners).sum(-2)
        return F.relu(((surface - points) * self.normal).sum(-1)) * self.counts


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
        found = find_penetrations(vertices_a, vertices_b, mesh.faces)
        depth = penetration_depth(vertices_a, vertices_b, mesh.faces, found)
    both = (_deepest(found, depth, mesh, len(vertices_a), from_a) for from_a in (True, False))
    return next(both), next(both)


def _deepest(found: Penetrations, depth: Tensor, mesh: SearchMesh, count: int, from_a: bool) -> DeepPoints:
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
        normal=rows(found.normal[order]),
        counts=rows(torch.ones_like(depth[order])),
    )
