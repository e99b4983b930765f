"""Energy terms of key poses: plausibility of one person, contact and penetration of a pair."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.contact.vertex_contacts import Penetrations, find_penetrations
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.posed_bodies import BodyShapes, PosedBodies, PoseVariables, joint_sigmas
from closemesh.lab.synthesis.surface_points import SurfacePoints
from closemesh.lab.synthesis.templates.schema import Posture
from closemesh.losses.joint_limits import joint_limit_excess
from closemesh.losses.physics import penetration_depth
from closemesh.losses.pose_prior import PosePrior, pose_prior_nll

# Mass of a segment as a fraction of the body's, and its center from the first joint (0) to the second (1):
# de Leva 1996, mean of women and men.
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


def center_of_mass(joints: Tensor) -> Tensor:
    """Center of mass [..., 3] of joints [..., 55, 3]."""
    start = joints[..., [JOINT_INDEX[a] for a, *_ in _SEGMENTS], :]
    end = joints[..., [JOINT_INDEX[b] for _, b, *_ in _SEGMENTS], :]
    at = torch.tensor([at for *_, at in _SEGMENTS]).to(joints)
    mass = torch.tensor([mass for _, _, mass, _ in _SEGMENTS]).to(joints)
    centers = start + at[:, None] * (end - start)
    return (centers * (mass / mass.sum())[:, None]).sum(-2)


@dataclass(frozen=True)
class PersonSigmas:
    """Standard deviations of the residuals of one person."""

    limit: float = 0.03
    """Radians beyond a joint's range."""
    floor: float = 0.01
    """Meters of a support above or below the floor, and of any other vertex below it."""
    resting: float = 0.005
    """The same of a person who sits, kneels or lies: large parts of the body rest on the floor."""
    balance: float = 0.03
    """Meters of the center of mass outside the feet."""
    foot_radius: float = 0.07
    """Meters around the line between the middles of the feet that still support the body."""
    self_depth: float = 0.01
    """Meters of an arm inside the person's own trunk."""
    clearance: float = 0.008
    """Meters between an arm and the trunk."""
    root: float = 0.15
    """Radians of the trunk away from its initial orientation."""
    finger_bend: float = 0.35
    """Radians of a finger away from its initial bend."""
    uneven: float = 0.2
    """Radians between neighboring fingers."""
    wrist: tuple[float, float, float] = (0.6, 0.2, 0.4)
    """Radians of twist, of deviation and of flexion of a wrist."""


SIGMAS = PersonSigmas()
PRIOR_WEIGHT = 0.03
_FINGER_ORDER = [0, 1, 3, 2]  # Index, middle, ring and little finger among the bends of a hand.
_MAX_TRUNK_DISTANCE = 0.12  # Meters within which the nearest trunk vertex decides between inside and outside.


@dataclass(frozen=True)
class PersonBatch:
    """N bodies with the same posture."""

    shapes: BodyShapes
    betas: Tensor  # [N, B]
    start: PoseVariables
    posture: Posture
    supports: tuple[Tensor, ...]
    """Vertex ids of each region that is on the floor."""
    seat: Tensor | None
    """[N] meters from the floor to the seat."""
    seat_supports: tuple[Tensor, ...] = ()
    """Vertex ids of each region that is on the seat."""


def person_energy(
    person: PersonBatch, posed: PosedBodies, variables: PoseVariables, points: SurfacePoints, prior: PosePrior
) -> Tensor:
    """[N] sum of all terms of each body by itself."""
    energy = pose_energy(person, variables, prior)
    energy = energy + floor_energy(person, posed, points)
    return energy + self_penetration_energy(posed, points)


def pose_energy(person: PersonBatch, variables: PoseVariables, prior: PosePrior) -> Tensor:
    """[N] terms of the rotations: joint limits, pose prior, wrists and fingers, distance from the initial pose."""
    pose = variables.body_pose
    limits = (joint_limit_excess(pose) / SIGMAS.limit).square().sum((-1, -2))
    change = ((pose - person.start.body_pose) / joint_sigmas(pose)).square().sum((-1, -2))
    turned = (axis_angle_to_matrix(variables.root) - axis_angle_to_matrix(person.start.root)).square().sum((-1, -2))
    wrists = pose[:, [JOINT_INDEX["left_wrist"] - 1, JOINT_INDEX["right_wrist"] - 1]]
    comfort = (wrists / torch.tensor(SIGMAS.wrist).to(pose)).square().sum((-1, -2))
    fingers = (variables.finger_bend / SIGMAS.finger_bend).square().sum((-1, -2)) + _uneven_fingers(
        variables.finger_bend
    )
    return (
        limits + PRIOR_WEIGHT * pose_prior_nll(prior, pose) + change + turned / (2 * SIGMAS.root**2) + comfort + fingers
    )


def _uneven_fingers(finger_bend: Tensor) -> Tensor:
    """[N] differences between neighboring fingers, which tendons couple; finger_bend [N, 2, 6]."""
    in_order = finger_bend[..., _FINGER_ORDER]
    return ((in_order[..., 1:] - in_order[..., :-1]) / SIGMAS.uneven).square().sum((-1, -2))


def floor_energy(person: PersonBatch, posed: PosedBodies, points: SurfacePoints) -> Tensor:
    """[N] distances of supports from floor and seat, depth of vertices below the floor, balance."""
    lowest = [posed.points(ids)[..., 1].amin(-1) for ids in person.supports]
    surface = posed.points(points.surface)[..., 1]
    if person.seat is not None:
        lowest += [posed.points(ids)[..., 1].amin(-1) - person.seat for ids in person.seat_supports]
        if not person.supports:  # A bed carries the whole body.
            surface = surface - person.seat[:, None]
    sigma = SIGMAS.floor if person.posture.balanced else SIGMAS.resting
    energy = (F.relu(-surface) / sigma).square().sum(-1)
    for height in lowest:
        energy = energy + (height / sigma).square()
    if person.posture.balanced:
        energy = energy + balance_energy(person, posed, points, center_of_mass(posed.joints))
    return energy


def balance_energy(person: PersonBatch, posed: PosedBodies, points: SurfacePoints, center: Tensor) -> Tensor:
    """[N] horizontal distance of a center of mass [N, 3] from the feet that `person` stands on."""
    feet = [posed.points(ids).mean(1)[:, [0, 2]] for ids in points.soles]  # Twice [N, 2]
    if not any(name.startswith("right") for name in person.posture.supports):
        feet[1] = feet[0]
    along = feet[1] - feet[0]
    fraction = ((center[:, [0, 2]] - feet[0]) * along).sum(-1) / along.square().sum(-1).clamp(min=1e-6)
    nearest = feet[0] + fraction.clamp(0, 1)[:, None] * along
    distance = (center[:, [0, 2]] - nearest).square().sum(-1).clamp(min=1e-8).sqrt()
    return (F.relu(distance - SIGMAS.foot_radius) / SIGMAS.balance).square()


def self_penetration_energy(posed: PosedBodies, points: SurfacePoints) -> Tensor:
    """[N] depth of forearms and hands inside the own trunk, relative to the nearest sampled trunk vertex."""
    arms = posed.points(points.arms)
    trunk, normals = posed.points_and_normals(points.trunk)
    with torch.no_grad():
        distance, nearest = torch.cdist(arms, trunk).min(-1)  # [N, arms]
    index = nearest[..., None].expand(-1, -1, 3)
    outside = ((arms - trunk.gather(1, index)) * normals.gather(1, index)).sum(-1)
    depth = F.relu(SIGMAS.clearance - outside) * (distance < _MAX_TRUNK_DISTANCE)
    return (depth / SIGMAS.self_depth).square().sum(-1) / 4


def support_errors(person: PersonBatch, solved: PoseVariables) -> Tensor:
    """[N] distance in meters of the support that is farthest from the floor; 0 without supports."""
    posed = person.shapes.pose(solved)
    heights = [posed.points(ids)[..., 1].amin(-1).abs() for ids in person.supports]
    return torch.stack([torch.zeros_like(solved.pelvis[:, 0]), *heights]).amax(0)


_MAX_PENETRATING = 64  # Deepest vertices of each body of a pair that count.
FREE_DEPTH = 0.004  # Meters of penetration without cost, as skin is soft.
FREE_DISTANCE = 0.004  # Meters between two anchors without cost.
_NORMAL_SIGMA = 0.3  # Standard deviation of 1 + cosine between the normals of two surfaces in contact.


@dataclass(frozen=True)
class PairBatch:
    """N pairs of the same template."""

    a: PersonBatch
    b: PersonBatch
    anchors: Tensor  # [N, K, 2] vertex of a and of b that touch in contact k


@dataclass(frozen=True)
class PenetratingPoints:
    """Deepest penetrating vertices of one body of each of N pairs, padded to P, and their points on the other body."""

    vertex: Tensor  # [N, P]
    corners: Tensor  # [N, P, 3] vertices of the other body's face
    barycentric: Tensor  # [N, P, 3]
    normal: Tensor  # [N, P, 3]
    mask: Tensor  # [N, P] 1 for a vertex, 0 for padding

    def depth(self, own: PosedBodies, other: PosedBodies) -> Tensor:
        """[N, P] meters; 0 for padding and for vertices that left the other body."""
        points = own.points(self.vertex)
        corners = other.points(self.corners.flatten(1)).unflatten(1, (-1, 3))
        surface = (self.barycentric[..., None] * corners).sum(-2)
        return F.relu(((surface - points) * self.normal).sum(-1)) * self.mask


def contact_energy(pairs: PairBatch, a: PosedBodies, b: PosedBodies, sigma: Tensor) -> Tensor:
    """[N] distances of anchors in units of sigma meters [K], and normals that are not opposite there."""
    point_a, normal_a = a.points_and_normals(pairs.anchors[..., 0])
    point_b, normal_b = b.points_and_normals(pairs.anchors[..., 1])
    distance = (point_a - point_b).square().sum(-1).clamp(min=1e-8).sqrt()  # [N, K]
    position = (F.relu(distance - FREE_DISTANCE) / sigma).square()
    orientation = (1 + (normal_a * normal_b).sum(-1)) / _NORMAL_SIGMA
    return (position + orientation.square()).sum(-1)


def placement_energy(pairs: PairBatch, bodies: tuple[PoseVariables, PoseVariables], sigma: float) -> Tensor:
    """[N] change of the pelvises relative to each other, and at a tenth of the cost together; sigma in meters."""
    change = [body.pelvis - person.start.pelvis for body, person in zip(bodies, (pairs.a, pairs.b), strict=True)]
    relative = (change[1] - change[0])[:, [0, 2]].square().sum(-1)
    together = (change[1] + change[0])[:, [0, 2]].square().sum(-1)
    return (relative + 0.1 * together) / sigma**2


def penetration_energy(
    penetrating: tuple[PenetratingPoints, PenetratingPoints], a: PosedBodies, b: PosedBodies, sigma: float
) -> Tensor:
    """[N] depth of the vertices that the last search found inside the other body, in units of sigma meters."""
    depths = torch.cat([penetrating[0].depth(a, b), penetrating[1].depth(b, a)], dim=1)
    return (F.relu(depths - FREE_DEPTH) / sigma).square().sum(-1)


@dataclass(frozen=True)
class SearchMesh:
    """A closed mesh on some of the vertices of the bodies."""

    ids: Tensor  # [V]
    faces: Tensor  # [F, 3] indices into ids


def search_penetrations(
    a: PosedBodies, b: PosedBodies, mesh: SearchMesh
) -> tuple[PenetratingPoints, PenetratingPoints]:
    """Vertices of a inside b, and of b inside a, in the current pose; without gradient."""
    with torch.no_grad():
        vertices_a, vertices_b = a.points(mesh.ids), b.points(mesh.ids)
        found = find_penetrations(vertices_a, vertices_b, mesh.faces)
        depth = penetration_depth(vertices_a, vertices_b, mesh.faces, found)
    return (
        _deepest(found, depth, mesh, len(vertices_a), from_a=True),
        _deepest(found, depth, mesh, len(vertices_a), from_a=False),
    )


def _deepest(found: Penetrations, depth: Tensor, mesh: SearchMesh, count: int, from_a: bool) -> PenetratingPoints:
    """The deepest vertices of one direction, for each of `count` pairs; depth [M] of the found vertices."""
    selected = (found.from_a == from_a).nonzero()[:, 0]
    order = selected[depth[selected].argsort(descending=True)]
    order = order[found.frame[order].argsort(stable=True)]
    frame = found.frame[order]
    first = torch.searchsorted(frame, torch.arange(count, device=frame.device))
    rank = torch.arange(len(frame), device=frame.device) - first[frame]
    within = rank < _MAX_PENETRATING
    order, frame, rank = order[within], frame[within], rank[within]
    width = int(rank.max()) + 1 if len(rank) else 1

    def table(values: Tensor) -> Tensor:
        result = values.new_zeros(count, width, *values.shape[1:])
        result[frame, rank] = values
        return result

    return PenetratingPoints(
        vertex=table(mesh.ids[found.vertex[order]]),
        corners=table(mesh.ids[mesh.faces[found.face[order]]]),
        barycentric=table(found.barycentric[order]),
        normal=table(found.normal[order]),
        mask=table(torch.ones_like(depth[order])),
    )
