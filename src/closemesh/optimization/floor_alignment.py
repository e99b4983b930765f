"""Shapes and depths changed so that all standing feet share one floor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.motion import MotionParameters, change_people, pose_parameters
from closemesh.core.progress import Advance
from closemesh.fitting.floor import (
    HEIGHT_SIGMA,
    NUM_OBSERVATIONS,
    NUM_UNALIGNED_OBSERVATIONS,
    Ground,
    body_axis,
    fit_floor,
    floor_offsets,
    floor_support,
    foot_contact,
    standing_loss,
)
from closemesh.fitting.keypoint_tracks import KeypointTracks, best_observed_frames
from closemesh.fitting.objective import POSE_PARAMETERS, FitModel, single_person_loss
from closemesh.fitting.optimizer import FLOOR_ALIGNMENT, minimize
from closemesh.losses.physics import height_above
from closemesh.temporal import split_windows

ALIGNMENT_FRAMES = 32  # Frames, evenly over the clip, that shapes and depths are fitted to.
REFIT_EVERY = 5  # Steps after which the floor is fitted to the feet again.
AGREEMENT = 0.15  # Meters; feet that share a floor to within this leave shapes as they are: no view is more precise.
UNALIGNED_TOLERANCE = 0.8  # Meters that feet may be off their common floor before alignment.
_CHUNK = 64  # Frames skinned at a time.


@dataclass(frozen=True)
class FloorAlignment:
    """Motion and floor that agree."""

    parameters: MotionParameters
    ground: Ground
    floor_found: bool


@dataclass(frozen=True)
class FloorEvidence:
    """What the floor is found from."""

    model: FitModel
    tracks: KeypointTracks
    unpaired: Tensor  # [P] bool; only these people may change in size and depth
    up: Tensor | None  # [3] vertical of the camera; without it, the usual axis of the bodies

    def vertical(self, joints: Tensor, detected: Tensor) -> Tensor:
        """The expected normal [3] of the floor; joints [T, P, 55, 3], detected [T, P] bool."""
        return body_axis(joints, detected) if self.up is None else self.up


def align_to_floor(
    evidence: FloorEvidence, parameters: MotionParameters, iterations: int, advance: Advance
) -> FloorAlignment:
    """Shapes and depths changed so that all standing feet share a plane, and that plane; 0 iterations only fit it.

    A single view leaves size and distance of each person undetermined together; a common floor couples them. People in
    contact do not move: their relative position is more reliable than their feet.
    """
    ground, soles = _fit_ground(evidence, parameters, NUM_UNALIGNED_OBSERVATIONS)
    agree = (floor_offsets(soles, ground.standing, ground.floor)[evidence.unpaired].abs() < AGREEMENT).all()
    supported = iterations > 0 and floor_support(soles, ground.standing, ground.floor, UNALIGNED_TOLERANCE)
    if supported and not agree:
        parameters = _align(evidence, parameters, ground, iterations, advance)
    else:
        advance(iterations)
    ground, soles = _fit_ground(evidence, parameters, NUM_OBSERVATIONS)
    return FloorAlignment(parameters, ground, floor_support(soles, ground.standing, ground.floor))


def _fit_ground(evidence: FloorEvidence, parameters: MotionParameters, observations: float) -> tuple[Ground, Tensor]:
    """The floor and the foot contact of the motion, and the soles [T, P, 2, S, 3]."""
    tracks = evidence.tracks
    with torch.no_grad():
        chunks = split_windows(len(tracks.times), _CHUNK, 0)
        posed = [pose_parameters(evidence.model.body, parameters.frames(chunk)) for chunk in chunks]
    joints = torch.cat([p.joints for p in posed])
    soles = torch.cat([p.soles for p in posed])
    standing = foot_contact(soles, tracks)
    up = evidence.vertical(joints, tracks.detected)
    return Ground(fit_floor(soles, standing, up, observations), standing), soles


def _align(
    evidence: FloorEvidence, parameters: MotionParameters, ground: Ground, iterations: int, advance: Advance
) -> MotionParameters:
    """Shapes and depths from some frames, with the floor fitted to the feet; all frames take the median change."""
    model, tracks, unpaired = evidence.model, evidence.tracks, evidence.unpaired
    index = best_observed_frames(tracks, ALIGNMENT_FRAMES)
    start, part = parameters.frames(index), tracks.frames(index)
    ground = replace(ground.frames(index), sigma=HEIGHT_SIGMA, airborne=UNALIGNED_TOLERANCE)
    (phase,) = FLOOR_ALIGNMENT
    weights = replace(phase.weights, shape=0.0)  # Distance from the known shape, not from the mean one.

    def loss(p: MotionParameters, step: int) -> Tensor:
        nonlocal ground
        p = change_people(unpaired, p, start)
        posed = pose_parameters(model.body, p)
        if step % REFIT_EVERY == 0:
            up = evidence.vertical(posed.joints.detach(), part.detected)
            floor = fit_floor(posed.soles.detach(), ground.standing, up, NUM_UNALIGNED_OBSERVATIONS)
            ground = replace(ground, floor=floor)
        # Heights are relative to a person's size, or else all people would shrink to make them small.
        scale = (p.log_depth - start.log_depth).mean(0).exp()[:, None]  # [P, 1]
        height = height_above(posed.soles, ground.floor).amin(-1) / scale
        own = single_person_loss(model, p, posed, part, weights)
        own = own + phase.weights.shape * (p.betas - start.betas).square().sum()
        return own + phase.weights.floor * standing_loss(height, ground).sum()

    after = minimize(
        start,
        loss,
        iterations=iterations,
        learning_rate=phase.learning_rate,
        free=(*POSE_PARAMETERS, "betas"),
        advance=advance,
    )
    after = change_people(unpaired, after, start)
    change = (after.log_depth - start.log_depth).median(0).values  # [P]
    return parameters.with_tensors(betas=after.betas, log_depth=parameters.log_depth + change)
