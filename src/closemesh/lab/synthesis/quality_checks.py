"""Exact measures of pairs and windows: contact, penetration, joint limits, motion, feet."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.motion import transl_of
from closemesh.body.skinning import skin
from closemesh.contact.aabb_tree import build_aabb_tree, smallest_distance
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.contact.vertex_contacts import boxes_within, find_penetrations
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.lab.synthesis.body_regions import faces_within, find_regions
from closemesh.lab.synthesis.pair_motion import RESTING_HEIGHT, PairMotion
from closemesh.lab.synthesis.templates.schema import POSTURES, InteractionTemplate
from closemesh.lab.synthesis.timing import FPS
from closemesh.losses.joint_limits import joint_limit_excess
from closemesh.losses.physics import penetration_depth
from closemesh.structures import NUM_BODY_JOINTS

MAX_CONTACT_ERROR, MAX_DEPTH, MAX_LIMIT_EXCESS, MAX_FLOOR_ERROR = 0.01, 0.01, 0.07, 0.02
"""Limits of an accepted pair: meters, meters, radians, meters."""
_PAIRS_PER_CHUNK = 32  # Frames skinned at once.


@dataclass(frozen=True)
class PairErrors:
    """Errors of N frames of two people."""

    contact: Tensor  # [N, K] meters between the two regions of each contact
    required: Tensor  # [K] bool: the contact must be closed
    depth: Tensor  # [N] meters of the deepest vertex of either inside the other
    limit: Tensor  # [N] radians beyond a joint's range, maximum of both
    sinking: Tensor  # [N] meters of the lowest vertex of both below the floor
    floating: Tensor  # [N] meters from the floor to the lowest vertex of the higher person; not carried, not in bed

    @property
    def accepted(self) -> Tensor:
        """[N] bool: every error is within its limit."""
        floor = torch.maximum(self.sinking, self.floating)
        within = (self.depth <= MAX_DEPTH) & (self.limit <= MAX_LIMIT_EXCESS) & (floor <= MAX_FLOOR_ERROR)
        return within & ((self.contact <= MAX_CONTACT_ERROR) | ~self.required).all(-1)


def measure_pairs(
    template: InteractionTemplate, fine: BodyModel, betas: Tensor, rotations: Tensor, pelvis: Tensor
) -> PairErrors:
    """Errors of pairs, or of the frames of one pair, on the fine watertight body.

    betas [N, 2, B] (or [2, B] for all), rotations [N, 2, 55, 3, 3], pelvis [N, 2, 3] position of the pelvis joint;
    world frame, y up, floor y = 0, meters.
    """
    transl = transl_of(fine, betas, pelvis)
    betas = betas.expand(len(rotations), 2, -1)
    regions = find_regions(fine)
    contacts = [_RegionDistance(fine, regions[contact.a], regions[contact.b]) for contact in template.contacts]
    distances, depth, lowest = [], [], []
    for index in torch.arange(len(rotations)).split(_PAIRS_PER_CHUNK):
        vertices = skin(fine, betas[index], rotations[index], transl[index])[0].detach()  # [n, 2, V, 3]
        depth.append(max_depth(vertices, fine.faces))
        lowest.append(vertices[..., 1].amin(-1))
        distances += [[contact.measure(a, b) for contact in contacts] for a, b in vertices.cpu().double().numpy()]
    low = torch.cat(lowest)  # [N, 2]
    supported = low[:, [bool(POSTURES[person.posture].supports) for person in (template.a, template.b)]]
    limits = joint_limit_excess(matrix_to_axis_angle(rotations[:, :, 1:22]))
    return PairErrors(
        contact=torch.tensor(distances).to(pelvis).reshape(len(rotations), len(contacts)),
        required=torch.tensor([contact.required for contact in template.contacts], device=pelvis.device),
        depth=torch.cat(depth),
        limit=limits.amax((-1, -2, -3)),
        sinking=(-low.amin(-1)).clamp(min=0),
        floating=supported.amax(-1).clamp(min=0),
    )


def max_depth(vertices: Tensor, faces: Tensor) -> Tensor:
    """[N] meters of the deepest vertex of either body inside the other; 0 without penetration.

    vertices [N, 2, V, 3] meters, faces [F, 3] of a closed mesh.
    """
    a, b = vertices[:, 0], vertices[:, 1]
    found = find_penetrations(a, b, faces)
    depth = penetration_depth(a, b, faces, found)
    return a.new_zeros(len(a)).scatter_reduce(0, found.frame, depth, "amax")


class _RegionDistance:
    """Distance between a region of one body and a region of another."""

    def __init__(self, body: BodyModel, region_a: Tensor, region_b: Tensor) -> None:
        """region_a, region_b [N] vertex ids."""
        self._sides = [(region.cpu().numpy(), faces_within(body, region)) for region in (region_a, region_b)]

    def measure(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        """Meters between the regions on vertices a and b [V, 3], from vertices of either to faces of the other."""
        (ids_a, faces_a), (ids_b, faces_b) = self._sides
        return min(_distance(a[ids_a], b, faces_b), _distance(b[ids_b], a, faces_a))


def _distance(points: NDArray[np.float64], vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    """Smallest distance from points [N, 3] to the faces [F, 3] of vertices [V, 3]."""
    tree = build_aabb_tree(vertices, faces)
    return float(smallest_distance(points, tree.boxes, tree.starts, tree.corners, np.inf))


_FRAMES_PER_CHUNK = 16  # Skinned at once.


@dataclass(frozen=True)
class Tolerances:
    """Limits for every frame of a window; that of `sliding` is for the mean over the window."""

    contact_error: float = 0.010
    """Meters between the regions of a required contact while it is held."""
    depth: float = 0.010
    """Meters of a vertex of either inside the other."""
    limit_excess: float = 0.15
    """Radians beyond the range of a joint."""
    speed: float = 10.0
    """m/s of a joint."""
    acceleration: float = 150.0
    """m/s^2 of a joint."""
    sinking: float = 0.04
    """Meters of a sole below the floor."""
    sliding: float = 0.10
    """m/s of the points of standing feet that rest on the floor."""


DEFAULT_TOLERANCES = Tolerances()


@dataclass(frozen=True)
class FrameErrors(TensorDataclass):
    """Errors of every frame of a window, in the units of Tolerances."""

    contact_error: Tensor  # [T] maximum over the contacts; 0 where none is held
    depth: Tensor  # [T]
    limit_excess: Tensor  # [T]
    speed: Tensor  # [T] since the previous frame
    acceleration: Tensor  # [T]
    sinking: Tensor  # [T]

    def within(self, tolerances: Tolerances) -> Tensor:
        """[T] bool: no error exceeds its tolerance."""
        within = [getattr(self, f.name) <= getattr(tolerances, f.name) for f in fields(self)]
        return torch.stack(within).all(0)

    def faults(self, tolerances: Tolerances) -> tuple[str, ...]:
        """Names of the errors that exceed their tolerance in some frame."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name).max() > getattr(tolerances, f.name))


def measure_frames(
    motion: PairMotion, contact: Tensor, fine: BodyModel, soles: BodyModel, template: InteractionTemplate | None = None
) -> FrameErrors:
    """Errors of all frames of one or two people on the fine watertight body.

    contact [T] bool: the contacts of the template are held. soles: see `pair_motion.sole_body`.
    """
    held = contact.nonzero()[:, 0]
    error, depth = torch.zeros(len(motion)), torch.zeros(len(motion))
    if template and len(held):
        part = motion.frames(held)
        errors = measure_pairs(template, fine, part.betas, part.all_rotations(), part.pelvis)
        error[held], depth[held] = errors.contact[:, errors.required].amax(-1), errors.depth
    if motion.pelvis.shape[1] > 1:
        for frames in (~contact).nonzero()[:, 0].split(_FRAMES_PER_CHUNK):
            depth[frames] = max_depth(motion.frames(frames).skin(fine)[0], fine.faces)
    vertices, joints = motion.skin(soles)
    speed, acceleration = joint_motion(joints[..., :NUM_BODY_JOINTS, :])
    return FrameErrors(
        contact_error=error,
        depth=depth,
        limit_excess=joint_limit_excess(matrix_to_axis_angle(motion.rotations[:, :, 1:])).amax((1, 2, 3)),
        speed=torch.cat([torch.zeros(1), speed.amax((1, 2))]),
        acceleration=torch.cat([torch.zeros(1), acceleration.amax((1, 2)), torch.zeros(1)]),
        sinking=(-vertices[..., 1]).amax((1, 2)).clamp(min=0),
    )


def true_run(mask: Tensor, frame: int) -> slice:
    """The run of True in a mask [T] that contains `frame`; empty when the mask is False there."""
    false = (~mask).nonzero()[:, 0]
    before, after = false[false <= frame], false[false >= frame]
    return slice(int(before[-1]) + 1 if len(before) else 0, int(after[0]) if len(after) else len(mask))


def min_distance(motion: PairMotion, fine: BodyModel, max_distance: float) -> float:
    """Smallest distance in meters between the two surfaces over all frames.

    0 when they penetrate, inf when it is larger than `max_distance` meters.
    """
    surface = WatertightMesh(fine.faces.numpy())
    smallest = float("inf")
    for frames in torch.arange(len(motion)).split(_FRAMES_PER_CHUNK):
        vertices, _ = motion.frames(frames).skin(fine)
        if max_depth(vertices, fine.faces).max() > 0:
            return 0.0
        pairs = vertices.double().numpy()
        for a, b in pairs[boxes_within(pairs[:, 0], pairs[:, 1], max_distance)]:
            smallest = min(smallest, surface.distance(a, b, max_distance), surface.distance(b, a, max_distance))
    return smallest


def joint_motion(joints: Tensor) -> tuple[Tensor, Tensor]:
    """Speed [T - 1, ...] in m/s and acceleration [T - 2, ...] in m/s^2 of joints [T, ..., 3] in meters at FPS."""
    velocity = (joints[1:] - joints[:-1]) * FPS
    return velocity.norm(dim=-1), (velocity[1:] - velocity[:-1]).norm(dim=-1) * FPS


def foot_skating_speed(soles: Tensor, foot_contact: Tensor) -> float:
    """Mean horizontal speed in m/s of resting sole points; soles [T, P, 24, 3] meters, foot_contact [T, P, 2] bool."""
    feet = soles.unflatten(2, (2, -1))  # [T, P, 2, 12, 3]
    rests = (feet[..., 1] < RESTING_HEIGHT) & foot_contact[..., None]
    both = rests[1:] & rests[:-1]
    speed = (feet[1:, ..., [0, 2]] - feet[:-1, ..., [0, 2]]).norm(dim=-1) * FPS
    return float((speed * both).sum() / both.sum().clamp(min=1))
