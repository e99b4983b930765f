"""Everybody settles on one floor: sizes and distances that agree with where the feet stand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.variables import MotionVariables, pose_bodies
from closemesh.fitting.evidence import Evidence, best_seen_frames
from closemesh.fitting.minimise import minimise
from closemesh.fitting.objective import Subject, single_person_loss
from closemesh.fitting.run import POSE_VARIABLES
from closemesh.fitting.schedule import SETTLE
from closemesh.optimise.feet import standing_feet
from closemesh.optimise.floor import HEIGHT_SIGMA, body_axis, fit_floor, floor_support
from closemesh.optimise.ground import Ground, ground_loss
from closemesh.progress import Advance

SETTLE_FRAMES = 32  # Frames, spread over the clip, that sizes and distances are settled on.
REFIT_EVERY = 5  # Steps after which the floor follows the feet.
LOOSE = 0.8  # Metres; before sizes are settled feet may miss their common floor by this much.
_CHUNK = 64  # Frames skinned at a time.


@dataclass(frozen=True)
class Settled:
    """Motion and floor that agree."""

    variables: MotionVariables
    ground: Ground
    floor_found: bool


def settle(
    subject: Subject, variables: MotionVariables, evidence: Evidence, soles: Tensor, iterations: int, advance: Advance
) -> Settled:
    """Shapes and depths changed so that all standing feet share a plane, and that plane; 0 iterations only look.

    soles [2, N] vertex ids of the subject's body. A single view leaves everybody's size and distance open together;
    a floor that both stand on ties them.
    """
    ground = _look(subject, variables, evidence, soles)
    on_floor = floor_support(_soles(subject, variables, soles), ground.standing, ground.floor, LOOSE)
    if iterations > 0 and on_floor:
        variables = _agree(subject, variables, evidence, ground, iterations, advance)
        ground = _look(subject, variables, evidence, soles)
    found = floor_support(_soles(subject, variables, soles), ground.standing, ground.floor)
    return Settled(variables, ground, found)


def _look(subject: Subject, variables: MotionVariables, evidence: Evidence, soles: Tensor) -> Ground:
    """The floor under the motion as it is, and which feet stand."""
    with torch.no_grad():
        posed = [pose_bodies(subject.body, variables.frames(chunk)) for chunk in _chunks(len(evidence.times))]
    joints = torch.cat([p.joints for p in posed])
    points = torch.cat([p.vertices[..., soles, :] for p in posed])  # [T, P, 2, N, 3]
    standing = standing_feet(points, evidence)
    floor = fit_floor(points, standing, body_axis(joints, evidence.seen))
    return Ground(floor, standing, soles)


def _agree(
    subject: Subject,
    variables: MotionVariables,
    evidence: Evidence,
    ground: Ground,
    iterations: int,
    advance: Advance,
) -> MotionVariables:
    """Shapes from some frames, with the floor following the feet; all frames move away or near with them."""
    index = best_seen_frames(evidence, SETTLE_FRAMES)
    some, part = variables.frames(index), evidence.frames(index)
    grounded = replace(ground.frames(index), sigma=HEIGHT_SIGMA, airborne=LOOSE)
    (phase,) = SETTLE

    def loss(v: MotionVariables, step: int) -> Tensor:
        nonlocal grounded
        posed = pose_bodies(subject.body, v)
        if step % REFIT_EVERY == 0:
            points = posed.vertices[..., grounded.soles, :].detach()
            up = body_axis(posed.joints.detach(), part.seen)
            grounded = replace(grounded, floor=fit_floor(points, grounded.standing, up))
        own = single_person_loss(subject, v, posed, part, phase.weights)
        return own + ground_loss(posed, grounded, part, phase.weights)

    after = minimise(
        some,
        loss,
        iterations=iterations,
        learning_rate=phase.learning_rate,
        free=(*POSE_VARIABLES, "betas"),
        advance=advance,
    )
    moved = (after.log_depth - some.log_depth).median(0).values  # [P]
    return variables.with_tensors(betas=after.betas, log_depth=variables.log_depth + moved)


def _soles(subject: Subject, variables: MotionVariables, soles: Tensor) -> Tensor:
    """Sole points [T, P, 2, N, 3] of the whole clip."""
    with torch.no_grad():
        chunks = _chunks(len(variables.log_depth))
        return torch.cat([pose_bodies(subject.body, variables.frames(c)).vertices[..., soles, :] for c in chunks])


def _chunks(length: int) -> list[slice]:
    return [slice(start, min(start + _CHUNK, length)) for start in range(0, length, _CHUNK)]
