"""What a window is worth, measured exactly: contact, crossings, joints and the steadiness of motion and feet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.contact.frames import boxes_within
from closemesh.contact.surface import ClosedSurface
from closemesh.energy.limits import beyond_limits
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.interactions.check import check_pairs, deepest_depth
from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.recipe import Recipe
from closemesh.interactions.timing import FPS
from closemesh.scene import NUM_BODY_JOINTS

_CHUNK = 16  # Frames skinned at a time.
_LOW = 0.02  # Metres; points of a standing foot lower than this rest on the floor.


@dataclass(frozen=True)
class WindowMeasure:
    """Metres, radians, seconds; the worst of all frames."""

    contact_error: float
    """Between the regions of a firm touch, in the frames in which it is held."""
    mean_contact_error: float
    """The same, the mean over those frames and touches."""
    depth: float
    """Deepest vertex of either inside the other."""
    limit_excess: float
    """Beyond the range of a joint."""
    speed: float
    """Of a joint."""
    acceleration: float
    """Of a joint."""
    sliding: float
    """Mean speed of the points of standing feet that rest on the floor."""
    sinking: float
    """Of a sole below the floor."""


@dataclass(frozen=True)
class Tolerances:
    """The most that an accepted window may have."""

    contact_error: float = 0.010
    depth: float = 0.010
    limit_excess: float = 0.15
    speed: float = 10.0
    acceleration: float = 150.0
    sliding: float = 0.10
    sinking: float = 0.04

    def faults(self, measure: WindowMeasure) -> tuple[str, ...]:
        """Names of what is out of range."""
        return tuple(name for name in self.__dataclass_fields__ if getattr(measure, name) > getattr(self, name))


def measure_window(
    motion: PairMotion,
    contact: Tensor,  # [T] bool
    standing: Tensor,  # [T, 2, 2] bool, person and foot
    recipe: Recipe,
    fine: BodyModel,
    soles: BodyModel,
) -> WindowMeasure:
    """Every frame of a window, on the fine query body; `soles` as `ground.sole_body` makes them."""
    held = motion.frames(contact)
    errors = check_pairs(recipe, fine, held.betas, held.all_rotations(), held.pelvis)
    gaps = errors.contact[:, errors.firm]
    apart = deepest(motion.frames(~contact), fine)
    return replace(
        measure_alone(motion, standing, soles),
        contact_error=float(gaps.max()),
        mean_contact_error=float(gaps.mean()),
        depth=max(float(errors.depth.max()), apart),
    )


def measure_alone(motion: PairMotion, standing: Tensor, soles: BodyModel) -> WindowMeasure:
    """The same of two people who do not touch: contact and depth are 0."""
    vertices, joints = motion.skin(soles)
    speed, acceleration = joint_motion(joints[..., :NUM_BODY_JOINTS, :])
    return WindowMeasure(
        contact_error=0.0,
        mean_contact_error=0.0,
        depth=0.0,
        limit_excess=float(beyond_limits(matrix_to_axis_angle(motion.rotations[:, :, 1:])).max()),
        speed=float(speed.max()),
        acceleration=float(acceleration.max()),
        sliding=sliding_speed(vertices, standing),
        sinking=float((-vertices[..., 1]).max().clamp(min=0)),
    )


def closest(motion: PairMotion, fine: BodyModel, reach: float) -> float:
    """Smallest distance in metres between the two surfaces over all frames; inf beyond `reach`, 0 when they cross."""
    surface = ClosedSurface(fine.faces.numpy())
    smallest = float("inf")
    for frames in torch.arange(len(motion)).split(_CHUNK):
        vertices = motion.frames(frames).skin(fine)[0].double().numpy()
        for a, b in vertices[boxes_within(vertices[:, 0], vertices[:, 1], reach)]:
            smallest = min(smallest, surface.distance(a, b, reach), surface.distance(b, a, reach))
    return 0.0 if smallest == 0 or deepest(motion, fine) > 0 else smallest


def deepest(motion: PairMotion, fine: BodyModel) -> float:
    """Depth in metres of the deepest vertex of either body inside the other, over all frames."""
    parts = torch.arange(len(motion)).split(_CHUNK)
    return max(
        [float(deepest_depth(motion.frames(p).skin(fine)[0], fine.faces).max()) for p in parts if len(p)], default=0
    )


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
