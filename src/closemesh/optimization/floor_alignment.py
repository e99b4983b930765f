"""Everybody settles on one floor: sizes and distances that agree with where the feet stand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.core.progress import Advance
from closemesh.fitting.keypoint_tracks import KeypointTracks, best_seen_frames
from closemesh.fitting.objective import POSE_VARIABLES, FitModel, single_person_loss
from closemesh.fitting.optimizer import FLOOR_ALIGNMENT, minimize
from closemesh.losses.physics import height_above
from closemesh.optimization.floor import (
    HEIGHT_SIGMA,
    SIGHTINGS,
    UNSETTLED_SIGHTINGS,
    Ground,
    body_axis,
    fit_floor,
    floor_offsets,
    floor_support,
    standing_energy,
    standing_feet,
)
from closemesh.temporal import split_windows

SETTLE_FRAMES = 32  # Frames, spread over the clip, that sizes and distances are settled on.
REFIT_EVERY = 5  # Steps after which the floor follows the feet.
AGREED = 0.15  # Metres; feet that share a floor to within this leave sizes as they are: no view tells them better.
LOOSE = 0.8  # Metres; before sizes are settled feet may miss their common floor by this much.
_CHUNK = 64  # Frames skinned at a time.


@dataclass(frozen=True)
class FloorAlignment:
    """Motion and floor that agree."""

    variables: MotionParameters
    ground: Ground
    floor_found: bool


def align_to_floor(
    subject: FitModel,
    variables: MotionParameters,
    evidence: KeypointTracks,
    lone: Tensor,
    iterations: int,
    advance: Advance,
) -> FloorAlignment:
    """Shapes and depths changed so that all standing feet share a plane, and that plane; 0 iterations only look.

    A single view leaves everybody's size and distance open together; a floor that all stand on ties them. Only `lone`
    people [P] bool move: how people who are near each other stand together tells more than where their feet are.
    """
    ground, soles = _look(subject, variables, evidence, UNSETTLED_SIGHTINGS)
    agreed = (floor_offsets(soles, ground.standing, ground.floor)[lone].abs() < AGREED).all()
    if iterations > 0 and not agreed and floor_support(soles, ground.standing, ground.floor, LOOSE):
        variables = _agree(subject, variables, evidence, ground, lone, iterations, advance)
    else:
        advance(iterations)
    ground, soles = _look(subject, variables, evidence, SIGHTINGS)
    return FloorAlignment(variables, ground, floor_support(soles, ground.standing, ground.floor))


def _look(
    subject: FitModel, variables: MotionParameters, evidence: KeypointTracks, sightings: float
) -> tuple[Ground, Tensor]:
    """The floor under the motion as it is, which feet stand, and the soles [T, P, 2, S, 3]."""
    with torch.no_grad():
        chunks = split_windows(len(evidence.times), _CHUNK, 0)
        posed = [pose_parameters(subject.body, variables.frames(chunk)) for chunk in chunks]
    joints = torch.cat([p.joints for p in posed])
    soles = torch.cat([p.soles for p in posed])
    standing = standing_feet(soles, evidence)
    return Ground(fit_floor(soles, standing, body_axis(joints, evidence.seen), sightings), standing), soles


def _agree(
    subject: FitModel,
    variables: MotionParameters,
    evidence: KeypointTracks,
    ground: Ground,
    lone: Tensor,
    iterations: int,
    advance: Advance,
) -> MotionParameters:
    """Shapes from some frames, with the floor following the feet; all frames move away or near with them."""
    index = best_seen_frames(evidence, SETTLE_FRAMES)
    some, part = variables.frames(index), evidence.frames(index)
    grounded = replace(ground.frames(index), sigma=HEIGHT_SIGMA, airborne=LOOSE)
    (phase,) = FLOOR_ALIGNMENT

    def loss(v: MotionParameters, step: int) -> Tensor:
        nonlocal grounded
        v = _only(lone, v, some)
        posed = pose_parameters(subject.body, v)
        if step % REFIT_EVERY == 0:
            up = body_axis(posed.joints.detach(), part.seen)
            grounded = replace(
                grounded, floor=fit_floor(posed.soles.detach(), grounded.standing, up, UNSETTLED_SIGHTINGS)
            )
        # Heights are taken against a person's size, or else everybody would shrink to make them small.
        grown = (v.log_depth - some.log_depth).mean(0).exp()[:, None]  # [P, 1]
        height = height_above(posed.soles, grounded.floor).amin(-1) / grown
        own = single_person_loss(subject, v, posed, part, phase.weights)
        return own + phase.weights.floor * standing_energy(height, grounded).sum()

    after = minimize(
        some,
        loss,
        iterations=iterations,
        learning_rate=phase.learning_rate,
        free=(*POSE_VARIABLES, "betas"),
        advance=advance,
    )
    after = _only(lone, after, some)
    moved = (after.log_depth - some.log_depth).median(0).values  # [P]
    return variables.with_tensors(betas=after.betas, log_depth=variables.log_depth + moved)


def _only(chosen: Tensor, after: MotionParameters, before: MotionParameters) -> MotionParameters:
    """The variables after a change of some people, `chosen` [P] bool, and those before it of all others."""
    changes = {}
    for name, value in after.tensors().items():
        of_person = chosen if name == "betas" else chosen[None]
        of_person = of_person.reshape(*of_person.shape, *([1] * (value.ndim - of_person.ndim)))
        changes[name] = torch.where(of_person, value, getattr(before, name))
    return after.with_tensors(**changes)
