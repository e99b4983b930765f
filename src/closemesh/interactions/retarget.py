"""Captured motion of two people on bodies of other shapes, with what touched touching again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints
from closemesh.contact.query_body import query_body
from closemesh.errors import InputError
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.interactions.blended import interpolate
from closemesh.interactions.clips import leg_length, standing_frames
from closemesh.interactions.closing import StandingFeet, second_differences
from closemesh.interactions.correct import correct
from closemesh.interactions.ground import settle_on_floor, sole_body
from closemesh.interactions.levers import Points, PosedPairs
from closemesh.interactions.newton import Rows
from closemesh.interactions.pair_motion import PairMotion
from closemesh.interactions.residuals import crossing_rows, floor_rows, limit_rows, touch_rows
from closemesh.interactions.search import NearSearch
from closemesh.interactions.stiffness import parameter_sigmas
from closemesh.interactions.touching_frames import TouchFinder, TouchingPoints
from closemesh.motion_data.sequence import MotionSequence
from closemesh.scene import NUM_BODY_JOINTS, Floats

_WINDOW, _OVERLAP = 90, 30  # Frames that are solved together, and that two windows share.
_STEP = 1  # Frames between two that are looked at: points slide, so that those between would not meet.
_STEPS = 30
_MEETING, _CROSSING, _STANDING = 0.002, 0.004, 0.01  # Metres, standard deviations.
_ALLOWED_DEPTH = 0.004
_SHIFT = 0.20  # Metres that a pelvis may move.
_BENDING = 0.08
_SHAPE_RIDGE = 3e-3  # Square metres; a skeleton tells little about some shape directions.


@dataclass(frozen=True)
class _Retargeting:
    """The motion on the new shapes, and what it has to keep."""

    motion: PairMotion
    standing: Tensor  # [T, 2, 2]
    touching: TouchingPoints


def retarget(sequence: MotionSequence, body: BodyModel, betas: Floats) -> MotionSequence:
    """The motion of two people on `body` with shapes betas [2, B], metres, world frame, floor y = 0.

    What touched on the bodies of the sequence (or on bodies fitted to its skeleton) touches again, crosses no deeper
    than before, and feet that stood stand. Solved in overlapping windows on the coarse query body; pose correctives of
    a licensed body are left out meanwhile. Raises InputError unless there are two people of known size.
    """
    if sequence.num_people != 2:
        raise InputError(f"{sequence.name} has {sequence.num_people} people; contact is kept between two")
    mesh = query_body(body, "coarse")
    own = source_shapes(sequence, mesh)
    source = _as_pair(sequence, own, mesh)
    shapes = torch.as_tensor(betas, dtype=torch.float32)
    standing = torch.stack([standing_frames(j, sequence.fps) for j in source.skin(mesh)[1].unbind(1)], dim=1)
    target = settle_on_floor(_resized(source, shapes, mesh), standing, sole_body(mesh))
    task = _Retargeting(target, standing, TouchFinder(mesh).find(source))
    turns, shift = _solve_windows(task, mesh)
    moved = target.moved(turns, shift)
    rotations = sequence.rotations.copy()
    rotations[:, :, :NUM_BODY_JOINTS] = moved.rotations.numpy()
    return replace(
        sequence,
        rotations=rotations,
        pelvis=moved.pelvis.numpy(),
        betas=shapes.numpy(),
        body_model=body.name,
        rest_joints=None,
        joints=None,
        synthetic=True,
    )


def source_shapes(sequence: MotionSequence, body: BodyModel) -> Tensor:
    """Betas [P, B] of the people as they are: the file's own, or those whose joints lie nearest to its skeleton."""
    if sequence.betas is not None:
        return torch.as_tensor(sequence.betas, dtype=torch.float32)
    if sequence.rest_joints is None:
        raise InputError(f"{sequence.name} has neither shapes nor a skeleton; give a file with betas or offsets")
    count = body.num_betas
    directions = body.joint_shape_dirs[1:NUM_BODY_JOINTS, :, :count] - body.joint_shape_dirs[:1, :, :count]
    directions = directions.flatten(0, 1).double()  # [63, B]
    joints = torch.as_tensor(sequence.rest_joints, dtype=torch.float64)  # [P, 22, 3]
    template = body.joint_template[1:NUM_BODY_JOINTS] - body.joint_template[:1]
    missing = (joints[:, 1:] - joints[:, :1] - template.double()).flatten(1)  # [P, 63]
    system = directions.T @ directions + _SHAPE_RIDGE * torch.eye(count, dtype=torch.float64)
    return torch.linalg.solve(system, directions.T @ missing.T).T.float()


def _as_pair(sequence: MotionSequence, betas: Tensor, body: BodyModel) -> PairMotion:
    rotations = torch.as_tensor(sequence.rotations, dtype=torch.float32)
    known = torch.as_tensor(sequence.known[:, 25:])[..., None]  # [2, 30, 1]
    hands = torch.where(known, matrix_to_axis_angle(rotations[:, :, 25:]), body.hand_mean.flatten(0, 1))
    return PairMotion(
        betas=betas.expand(len(sequence), -1, -1),
        rotations=rotations[:, :, :NUM_BODY_JOINTS],
        hand_pose=hands,
        pelvis=torch.as_tensor(sequence.pelvis, dtype=torch.float32),
    )


def _resized(source: PairMotion, betas: Tensor, body: BodyModel) -> PairMotion:
    """The motion on other shapes: heights go with each one's legs, ways over the floor with both their legs."""
    before, after = (leg_length(rest_joints(body, shape)) for shape in (source.betas[0], betas))  # [2]
    ratio = after / before
    scale = torch.stack([ratio.mean().expand(2), ratio, ratio.mean().expand(2)], dim=-1)
    return replace(source, betas=betas.expand(len(source), -1, -1), pelvis=source.pelvis * scale)


def _solve_windows(task: _Retargeting, body: BodyModel) -> tuple[Tensor, Tensor]:
    """Turns [T, 2, 22, 3] and shift [T, 2, 3]; each window fades into the next over the frames that they share."""
    length = len(task.motion)
    turns, shift = torch.zeros(length, 2, 22, 3), torch.zeros(length, 2, 3)
    search = NearSearch(body)
    for start in range(0, max(length - _OVERLAP, 1), _WINDOW - _OVERLAP):
        span = slice(start, min(start + _WINDOW, length))
        part = _solve_window(task, span, body, search)
        fade = torch.ones(span.stop - start)
        if start > 0:
            fade[:_OVERLAP] = torch.linspace(0, 1, _OVERLAP + 2)[1:-1]
        for whole, new in zip((turns, shift), part, strict=True):
            share = fade.view(-1, *[1] * (new.ndim - 1))
            whole[span] = share * new + (1 - share) * whole[span]
    return turns, shift


def _solve_window(task: _Retargeting, span: slice, body: BodyModel, search: NearSearch) -> tuple[Tensor, Tensor]:
    motion, length = task.motion.frames(span), span.stop - span.start
    looks = torch.cat([torch.arange(0, length, _STEP), torch.tensor([length - 1])]).unique()
    looked = motion.frames(looks)
    touching = _in_window(task.touching, span.start + looks)
    allowed = touching.depth.clamp(min=_ALLOWED_DEPTH)
    feet = StandingFeet(motion, task.standing[span], body, looks)

    def residuals(posed: PosedPairs, moved: PairMotion) -> Rows:
        parts = [
            touch_rows(posed, touching.one, touching.other, touching.gap, touching.weight / _MEETING),
            crossing_rows(posed, search, body.faces, allowed, _CROSSING),
            floor_rows(posed, feet.points, feet.targets, feet.held, _STANDING),
            limit_rows(moved),
        ]
        return Rows.join(parts)

    nothing = torch.zeros(0, 2, dtype=torch.int64)
    inverse = 1 / parameter_sigmas(nothing, body, shift=_SHIFT).expand(len(looks), -1)
    turns, shift = correct(looked, body, residuals, inverse, second_differences(looks) / _BENDING, _STEPS)
    return interpolate(looks, turns, length), interpolate(looks, shift, length)


def _in_window(touching: TouchingPoints, frames: Tensor) -> TouchingPoints:
    """Those of some frames [F] of the motion, counted among these."""
    place = torch.full((len(touching.depth),), -1, dtype=torch.int64)
    place[frames] = torch.arange(len(frames))
    chosen = place[touching.one.frame] >= 0

    def some(points: Points) -> Points:
        kept = place[points.frame[chosen]]
        return Points(kept, points.person[chosen], points.vertices[chosen], points.shares[chosen])

    return TouchingPoints(
        one=some(touching.one),
        other=some(touching.other),
        gap=touching.gap[chosen],
        weight=touching.weight[chosen],
        depth=touching.depth[frames],
    )
