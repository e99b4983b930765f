"""Exact checks of pairs and windows.

The exact measure of a pair: do they touch where they should, how deep, within joint limits, on the floor.

What a window is worth, measured exactly in every frame: contact, crossings, joints, motion and feet.
"""

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
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.lab.synthesis.body_regions import faces_within, find_regions
from closemesh.lab.synthesis.pair_motion import PairMotion
from closemesh.lab.synthesis.templates.schema import InteractionTemplate
from closemesh.lab.synthesis.timing import FPS
from closemesh.losses.joint_limits import joint_limit_excess
from closemesh.losses.physics import penetration_depth
from closemesh.structures import NUM_BODY_JOINTS

CONTACT, DEPTH, LIMIT, FLOOR = 0.01, 0.01, 0.07, 0.02
"""The most that an accepted pair may have: metres, metres, radians, metres."""
_CHECK_CHUNK = 32  # Frames skinned at once.


@dataclass(frozen=True)
class PairErrors:
    """Of N frames of two people."""

    contact: Tensor  # [N, K] metres between the two regions of each touch
    firm: Tensor  # [K] bool: the touch has to be met
    depth: Tensor  # [N] metres of the deepest vertex of either inside the other
    limit: Tensor  # [N] radians beyond a joint's range, the worst of both
    sinking: Tensor  # [N] metres of the lowest vertex of both below the floor
    floating: (
        Tensor  # [N] metres from the floor to the lowest vertex, of the person farther from it; b only if not carried
    )

    @property
    def accepted(self) -> Tensor:
        """[N] bool: every error is small enough."""
        floor = torch.maximum(self.sinking, self.floating)
        within = (self.depth <= DEPTH) & (self.limit <= LIMIT) & (floor <= FLOOR)
        return within & ((self.contact <= CONTACT) | ~self.firm).all(-1)


def check_pairs(
    recipe: InteractionTemplate, fine: BodyModel, betas: Tensor, rotations: Tensor, pelvis: Tensor
) -> PairErrors:
    """Measures pairs, or the frames of one pair, on the fine query body.

    betas [N, 2, B] (or [2, B] for all), rotations [N, 2, 55, 3, 3], pelvis [N, 2, 3] position of the pelvis joint;
    world frame, y up, floor y = 0, metres.
    """
    transl = transl_of(fine, betas, pelvis)
    betas = betas.expand(len(rotations), 2, -1)
    regions = find_regions(fine)
    touches = [_TouchMeter(fine, regions[touch.a], regions[touch.b]) for touch in recipe.touches]
    contact, depth, lowest = [], [], []
    for index in torch.arange(len(rotations)).split(_CHECK_CHUNK):
        vertices = skin(fine, betas[index], rotations[index], transl[index])[0].detach()  # [n, 2, V, 3]
        depth.append(deepest_depth(vertices, fine.faces))
        lowest.append(vertices[..., 1].amin(-1))
        contact += [[touch.distance(*pair) for touch in touches] for pair in vertices.cpu().double().numpy()]
    low = torch.cat(lowest)  # [N, 2]
    borne = low[:, :1] if recipe.carried else low
    limits = joint_limit_excess(matrix_to_axis_angle(rotations[:, :, 1:22]))
    return PairErrors(
        contact=torch.tensor(contact).to(pelvis).reshape(len(rotations), len(touches)),
        firm=torch.tensor([touch.firm for touch in recipe.touches], device=pelvis.device),
        depth=torch.cat(depth),
        limit=limits.amax((-1, -2, -3)),
        sinking=(-low.amin(-1)).clamp(min=0),
        floating=borne.amax(-1).clamp(min=0),
    )


def deepest_depth(vertices: Tensor, faces: Tensor) -> Tensor:
    """[N] metres of the deepest vertex of either of two meshes [N, 2, V, 3] inside the other."""
    a, b = vertices[:, 0], vertices[:, 1]
    found = find_penetrations(a, b, faces)
    depth = penetration_depth(a, b, faces, found)
    return a.new_zeros(len(a)).scatter_reduce(0, found.frame, depth, "amax")


class _TouchMeter:
    """Distance of two regions."""

    def __init__(self, body: BodyModel, region_a: Tensor, region_b: Tensor) -> None:
        self._sides = [(region.cpu().numpy(), faces_within(body, region)) for region in (region_a, region_b)]

    def distance(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        """Metres between the regions on vertices a and b [V, 3], from vertices of either to faces of the other."""
        (ids_a, faces_a), (ids_b, faces_b) = self._sides
        return min(_distance(a[ids_a], b, faces_b), _distance(b[ids_b], a, faces_a))


def _distance(points: NDArray[np.float64], vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> float:
    tree = build_aabb_tree(vertices, faces)
    return float(smallest_distance(points, tree.boxes, tree.starts, tree.corners, np.inf))


_CHUNK = 16  # Frames skinned at a time.
_LOW = 0.02  # Metres; points of a standing foot lower than this rest on the floor.


@dataclass(frozen=True)
class Tolerances:
    """The most that a frame of a window may have; `sliding` is a mean over the window."""

    contact_error: float = 0.010
    """Metres between the regions of a firm touch while it is held."""
    depth: float = 0.010
    """Metres that a vertex of either is inside the other."""
    limit_excess: float = 0.15
    """Radians beyond the range of a joint."""
    speed: float = 10.0
    """m/s of a joint."""
    acceleration: float = 150.0
    """m/s^2 of a joint."""
    sinking: float = 0.04
    """Metres of a sole below the floor."""
    sliding: float = 0.10
    """m/s of the points of standing feet that rest on the floor."""


DEFAULT_TOLERANCES = Tolerances()


@dataclass(frozen=True)
class FrameErrors:
    """Every frame of a window, in the units of Tolerances."""

    contact_error: Tensor  # [T] the worst touch; 0 where nothing is held
    depth: Tensor  # [T]
    limit_excess: Tensor  # [T]
    speed: Tensor  # [T] from the frame before
    acceleration: Tensor  # [T]
    sinking: Tensor  # [T]

    def frames(self, span: slice) -> FrameErrors:
        """Some of the frames."""
        return FrameErrors(**{f.name: getattr(self, f.name)[span] for f in fields(self)})

    def good(self, tolerances: Tolerances) -> Tensor:
        """[T] bool: within the tolerances."""
        within = [getattr(self, f.name) <= getattr(tolerances, f.name) for f in fields(self)]
        return torch.stack(within).all(0)

    def faults(self, tolerances: Tolerances) -> tuple[str, ...]:
        """Names of what is out of range in some frame."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name).max() > getattr(tolerances, f.name))


def measure_frames(
    motion: PairMotion, contact: Tensor, fine: BodyModel, soles: BodyModel, recipe: InteractionTemplate | None = None
) -> FrameErrors:
    """All frames on the fine query body; contact [T] bool, where the touches of the recipe are held.

    `soles` as `ground.sole_body` makes them.
    """
    held = contact.nonzero()[:, 0]
    error, depth = torch.zeros(len(motion)), torch.zeros(len(motion))
    if recipe and len(held):
        part = motion.frames(held)
        errors = check_pairs(recipe, fine, part.betas, part.all_rotations(), part.pelvis)
        error[held], depth[held] = errors.contact[:, errors.firm].amax(-1), errors.depth
    if motion.pelvis.shape[1] > 1:
        for frames in (~contact).nonzero()[:, 0].split(_CHUNK):
            depth[frames] = deepest_depth(motion.frames(frames).skin(fine)[0], fine.faces)
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


def longest_good(good: Tensor, around: int) -> slice:
    """The uninterrupted good frames [T] that hold the frame `around`; empty when that one is bad."""
    bad = (~good).nonzero()[:, 0]
    before, after = bad[bad <= around], bad[bad >= around]
    return slice(int(before[-1]) + 1 if len(before) else 0, int(after[0]) if len(after) else len(good))


def closest(motion: PairMotion, fine: BodyModel, reach: float) -> float:
    """Smallest distance in metres between the two surfaces over all frames; inf beyond `reach`, 0 when they cross."""
    surface = WatertightMesh(fine.faces.numpy())
    smallest = float("inf")
    for frames in torch.arange(len(motion)).split(_CHUNK):
        vertices, _ = motion.frames(frames).skin(fine)
        if deepest_depth(vertices, fine.faces).max() > 0:
            return 0.0
        pairs = vertices.double().numpy()
        for a, b in pairs[boxes_within(pairs[:, 0], pairs[:, 1], reach)]:
            smallest = min(smallest, surface.distance(a, b, reach), surface.distance(b, a, reach))
    return smallest


def joint_motion(joints: Tensor) -> tuple[Tensor, Tensor]:
    """Speed [T - 1, ...] in m/s and acceleration [T - 2, ...] in m/s^2 of joints [T, ..., 3] at FPS."""
    velocity = (joints[1:] - joints[:-1]) * FPS
    return velocity.norm(dim=-1), (velocity[1:] - velocity[:-1]).norm(dim=-1) * FPS


def sliding_speed(soles: Tensor, standing: Tensor) -> float:
    """Mean horizontal speed in m/s of sole points that rest; soles [T, P, 24, 3], standing [T, P, 2]."""
    feet = soles.unflatten(2, (2, -1))  # [T, P, 2, 12, 3]
    rests = (feet[..., 1] < _LOW) & standing[..., None]
    both = rests[1:] & rests[:-1]
    speed = (feet[1:, ..., [0, 2]] - feet[:-1, ..., [0, 2]]).norm(dim=-1) * FPS
    return float((speed * both).sum() / both.sum().clamp(min=1))
