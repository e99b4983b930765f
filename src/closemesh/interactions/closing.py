"""Blended motion of two people with its contact closed: held while it lasts, not crossed at any time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.interpolate import CubicSpline
from torch import Tensor

from closemesh.body.feet import sole_vertices
from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.interactions.levers import FREE_JOINTS, NUM_PARAMETERS, Points, PosedPairs, vertex_points
from closemesh.interactions.newton import Rows, newton_step
from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.residuals import crossing_rows, floor_rows, limit_rows, meeting_rows, parting_rows
from closemesh.interactions.timing import Timing

_STEPS = 7
_FIRST_DAMPING = 0.3  # In units of the weight that keeps parameters small.
_SPACING = 2  # Frames between two that are looked at; those between are interpolated.

# Standard deviations that the residuals are divided by.
_MEETING = 0.003  # Metres.
_CROSSING, _ALLOWED_DEPTH = 0.004, 0.004
_STANDING = 0.01
_ARM, _TRUNK, _LEG, _HEAD, _ROOT = 0.30, 0.12, 0.10, 0.15, 0.06  # Radians.
_SHIFT = 0.03  # Metres.
_BENDING = 0.15  # Of those that a frame may stand out from its neighbours.
_LOW = 0.02  # Metres; points of a standing foot lower than this rest on the floor.

# Of the poses that are about to touch.
_APART = 0.06  # Metres between points that are to meet.
_MARGIN = 0.02  # Metres between the surfaces.


@dataclass(frozen=True)
class Blended:
    """A window on its way: motion as blended, and what is to be held."""

    timing: Timing
    motion: PairMotion
    standing: Tensor  # [T, 2, 2] bool, person and foot
    anchors: Tensor  # [K, 2] int64, vertices of a and of b that meet
    gaps: Tensor  # [K, 3] metres, from the one of b to the one of a in the key pose


def about_to_touch(blended: Blended, key: PairMotion, body: BodyModel) -> Tensor:
    """Turns [2, 2, 22, 3] that take the two apart just before contact and just after it: moment, person, joint.

    key: one frame, the key pose. The turns come on top of the motion in the frames `timing.about_to_touch()`.
    """
    last = len(blended.motion) - 1
    motion = blended.motion.frames(torch.tensor(blended.timing.about_to_touch()).clamp(0, last))
    frames = torch.arange(2)
    way = _way_apart(key, blended.anchors, body).expand(2, -1, -1)

    def rows(posed: PosedPairs, moved: PairMotion) -> Rows:
        parts = [
            parting_rows(posed, frames, blended.anchors, way, _APART, 0.01),
            crossing_rows(posed, body.faces, -_MARGIN, 0.01),
            limit_rows(moved, motion),
        ]
        return Rows.join(parts)

    inverse = 1 / parameter_sigmas(blended.anchors, body, rooted=True).expand(2, -1)
    return _solve(motion, body, rows, inverse, torch.zeros(0, 2))[0]


def close_contact(blended: Blended, body: BodyModel) -> PairMotion:
    """The motion of a window, corrected in every second frame and smoothly between them."""
    looks = _frames_to_look_at(blended.timing)
    motion = blended.motion.frames(looks)
    held = blended.timing.contact()[looks].nonzero()[:, 0]
    feet = StandingFeet(blended, body, looks)

    def rows(posed: PosedPairs, moved: PairMotion) -> Rows:
        parts = [
            meeting_rows(posed, held, blended.anchors, blended.gaps, _MEETING),
            crossing_rows(posed, body.faces, _ALLOWED_DEPTH, _CROSSING),
            floor_rows(posed, feet.points, feet.targets, feet.held, _STANDING),
            limit_rows(moved, motion),
        ]
        return Rows.join(parts)

    inverse = 1 / parameter_sigmas(blended.anchors, body).expand(len(looks), -1)
    turns, shift = _solve(motion, body, rows, inverse, _bends(looks) / _BENDING)
    frames = torch.arange(len(blended.motion))
    return blended.motion.moved(_interpolated(looks, turns, frames), _interpolated(looks, shift, frames))


def touching_legs(body: BodyModel, anchors: Tensor) -> tuple[tuple[bool, bool], tuple[bool, bool]]:
    """Whether the left and the right leg hold an anchor, of a and of b; anchors [K, 2] vertex ids."""
    moved_by = body.skin_weights.argmax(-1)[anchors]  # [K, 2]
    legs = [[JOINT_INDEX[f"{side}_{name}"] for name in ("knee", "ankle", "foot")] for side in ("left", "right")]
    a, b = (tuple(bool(torch.isin(moved_by[:, p], torch.tensor(leg)).any()) for leg in legs) for p in (0, 1))
    return a, b  # type: ignore[return-value]


def parameter_sigmas(anchors: Tensor, body: BodyModel, rooted: bool = False) -> Tensor:
    """How far [2 * NUM_PARAMETERS] each parameter may go; a leg that touches as far as an arm.

    rooted: pelvis and standing legs hardly move.
    """
    people = []
    for legs in touching_legs(body, anchors):
        sigmas = [_joint_sigma(JOINT_NAMES[joint], legs, rooted) for joint in FREE_JOINTS]
        turns = torch.tensor(sigmas).repeat_interleave(3)
        people.append(torch.cat([turns, torch.full((3,), 1e-3 if rooted else _SHIFT)]))
    return torch.cat(people)


class StandingFeet:
    """Where the points of standing feet rest: each at the mean of where it is while it rests."""

    def __init__(self, blended: Blended, body: BodyModel, looks: Tensor) -> None:
        soles = sole_vertices(body)[:, [0, 3, 8, 11]]  # [2, 4] heel to toe of each foot
        vertices = blended.motion.skin(body.subset(soles.flatten()))[0].unflatten(2, (2, 4))  # [T, 2, 2, 4, 3]
        rests = blended.standing[..., None] & (vertices[..., 1] < _LOW)
        shape = vertices.shape[:-1]
        where = _mean_of_runs(vertices.flatten(1, 3), rests.flatten(1)).view(*shape, 3)
        where[..., 1] = vertices[..., 1].clamp(0, _LOW / 4)
        length, columns = len(looks), soles.numel() * 2
        frame = torch.arange(length).repeat_interleave(columns)
        person = torch.arange(2).repeat_interleave(soles.numel()).repeat(length)
        self.points: Points = vertex_points(frame, person, soles.flatten().repeat(2 * length))
        self.targets = where[looks].flatten(0, 3)
        self.held = rests[looks].flatten()


def _solve(
    motion: PairMotion,
    body: BodyModel,
    rows: Callable[[PosedPairs, PairMotion], Rows],
    inverse_sigmas: Tensor,
    bends: Tensor,
) -> tuple[Tensor, Tensor]:
    """Turns [F, 2, 22, 3] and shift [F, 2, 3] after a few Levenberg-Marquardt steps; only those that help are taken."""
    best = _Trial(motion, body, rows, torch.zeros(len(motion), 2, 22, 3), torch.zeros(len(motion), 2, 3))
    lowest = best.cost(inverse_sigmas, bends)
    damping = _FIRST_DAMPING
    for _ in range(_STEPS):
        step = newton_step(best.rows, best.total, inverse_sigmas, bends, damping).unflatten(1, (2, NUM_PARAMETERS))
        trial = _Trial(motion, body, rows, *best.stepped(step))
        cost = trial.cost(inverse_sigmas, bends)
        if cost < lowest:
            best, lowest, damping = trial, cost, damping / 4
        else:
            damping *= 6
    return best.turns, best.shift


class _Trial:
    """A correction, and how far the motion with it is from what is wanted."""

    def __init__(
        self,
        motion: PairMotion,
        body: BodyModel,
        rows: Callable[[PosedPairs, PairMotion], Rows],
        turns: Tensor,
        shift: Tensor,
    ) -> None:
        self.turns, self.shift = turns, shift
        moved = motion.moved(turns, shift)
        self.rows = rows(PosedPairs(body, moved), moved)
        self.total = torch.cat([turns[:, :, FREE_JOINTS].flatten(2), shift], dim=-1).flatten(1)  # [F, D]

    def cost(self, inverse_sigmas: Tensor, bends: Tensor) -> float:
        """What `newton_step` makes small."""
        size = (self.total * inverse_sigmas).square().sum()
        bent = ((bends @ self.total).square() * inverse_sigmas.square().mean(0)).sum()
        return float(self.rows.values.square().sum() + size + bent)

    def stepped(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """Turns and shift after a step [F, 2, NUM_PARAMETERS]."""
        turns = self.turns.clone()
        further = axis_angle_to_matrix(step[..., :-3].unflatten(-1, (-1, 3)))
        turns[:, :, FREE_JOINTS] = matrix_to_axis_angle(axis_angle_to_matrix(turns[:, :, FREE_JOINTS]) @ further)
        return turns, self.shift + step[..., -3:]


def _frames_to_look_at(timing: Timing) -> Tensor:
    frames = torch.arange(0, timing.length, _SPACING)
    return torch.cat([frames, torch.tensor([timing.first, timing.last, timing.length - 1])]).unique()


def _bends(frames: Tensor) -> Tensor:
    """How far [M, F] each frame but the first and last stands out from the line between its neighbours."""
    bends = torch.zeros(max(len(frames) - 2, 0), len(frames))
    for row in range(len(bends)):
        before, here, after = frames[row : row + 3].tolist()
        share = (here - before) / (after - before)
        bends[row, row : row + 3] = torch.tensor([share - 1, 1.0, -share])
    return bends


def _interpolated(known: Tensor, values: Tensor, frames: Tensor) -> Tensor:
    spline = CubicSpline(known.numpy(), values.double().numpy(), axis=0, bc_type="natural")
    return torch.as_tensor(spline(frames.numpy()), dtype=values.dtype)


def _mean_of_runs(positions: Tensor, rests: Tensor) -> Tensor:
    """Positions [T, N, 3] with each run of frames in which a point rests [T, N] replaced by the run's mean."""
    starts = rests & ~torch.cat([torch.zeros_like(rests[:1]), rests[:-1]])
    run = starts.int().cumsum(0) * rests  # 0 where it does not rest
    result = positions.clone()
    for number in range(1, int(run.max()) + 1):
        here = (run == number)[..., None]
        mean = (positions * here).sum(0) / here.sum(0).clamp(min=1)
        result = torch.where(here, mean, result)
    return result


def _way_apart(key: PairMotion, anchors: Tensor, body: BodyModel) -> Tensor:
    """Unit vectors [K, 3] from the surface of b to that of a where they meet, in the one frame of `key`."""
    normals = vertex_normals(key.skin(body)[0][0], body.faces)  # [2, V, 3]
    return F.normalize(normals[1, anchors[:, 1]] - normals[0, anchors[:, 0]], dim=-1)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals [..., V, 3] of meshes [..., V, 3]."""
    corners = vertices[..., faces, :]  # [..., F, 3, 3]
    across = torch.linalg.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
    sums = torch.zeros_like(vertices)
    for corner in range(3):
        sums.index_add_(-2, faces[:, corner], across)
    return F.normalize(sums, dim=-1)


def _joint_sigma(name: str, touching: tuple[bool, bool], rooted: bool) -> float:
    side, _, part = name.rpartition("_")
    if part in ("hip", "knee", "ankle"):
        return _ARM if touching[side == "right"] else 1e-3 if rooted else _LEG
    if part == "pelvis":
        return 1e-3 if rooted else _ROOT
    if part in ("neck", "head"):
        return _HEAD
    return _TRUNK if part.startswith("spine") or part == "collar" else _ARM
