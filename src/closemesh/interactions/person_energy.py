"""What makes the pose of one person believable: limits, likelihood, nearness to the source, floor, balance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.skeleton import JOINT_INDEX
from closemesh.energy.limits import beyond_limits
from closemesh.energy.pose_prior import PosePrior, pose_surprise
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.interactions.freedom import joint_freedom
from closemesh.interactions.marks import Marks
from closemesh.interactions.mass import centre_of_mass
from closemesh.interactions.posed_bodies import BodyShapes, PosedBodies, PoseVariables
from closemesh.interactions.posture import Posture


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
    limits = (beyond_limits(pose) / SIGMAS.limit).square().sum((-1, -2))
    moved = ((pose - person.start.body_pose) / joint_freedom(pose)).square().sum((-1, -2))
    turned = (axis_angle_to_matrix(variables.root) - axis_angle_to_matrix(person.start.root)).square().sum((-1, -2))
    wrists = pose[:, [JOINT_INDEX["left_wrist"] - 1, JOINT_INDEX["right_wrist"] - 1]]
    comfort = (wrists / torch.tensor(SIGMAS.wrist).to(pose)).square().sum((-1, -2))
    fingers = (variables.bend / SIGMAS.bend).square().sum((-1, -2)) + _uneven_fingers(variables.bend)
    return (
        limits + PRIOR_WEIGHT * pose_surprise(prior, pose) + moved + turned / (2 * SIGMAS.root**2) + comfort + fingers
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
