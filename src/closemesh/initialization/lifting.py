"""From observations to the lifter's distribution over a whole clip, in overlapping windows."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.landmarks import LandmarkBody
from closemesh.body.motion import MotionParameters
from closemesh.fitting.keypoint_tracks import KeypointTracks, PoseReference
from closemesh.geometry.rotations import matrix_to_6d, matrix_to_axis_angle, rotation_6d_to_matrix
from closemesh.initialization.lifting_network import NUM_POINTS, Lifter, PoseDistribution, Sightings, lift
from closemesh.temporal import split_windows

WINDOW, OVERLAP = 48, 16  # Frames.


@torch.no_grad()
def lift_clip(lifter: Lifter, seen: Sightings) -> PoseDistribution:
    """The distribution for everybody over all frames; windows fade into each other."""
    total, weights = None, seen.times.new_zeros(seen.times.shape)
    betas = []
    for window in split_windows(seen.times.shape[1], WINDOW, OVERLAP):
        part = lift(lifter, seen.frames(window))
        fade = _fade(window, seen.times.shape[1]).to(weights)
        pieces = _linear(part)
        total = total or {name: value.new_zeros(*weights.shape, *value.shape[2:]) for name, value in pieces.items()}
        for name, value in pieces.items():
            total[name][:, window] += value * fade.reshape(1, -1, *([1] * (value.ndim - 2)))
        weights[:, window] += fade
        betas.append((part.betas, part.betas_spread, seen.visible[:, window].sum(1, keepdim=True) + 1e-6))
    assert total is not None
    mean = {name: value / weights.reshape(*weights.shape, *([1] * (value.ndim - 2))) for name, value in total.items()}
    share = torch.stack([count for *_, count in betas])
    share = share / share.sum(0)
    return _distribution(
        mean,
        (torch.stack([b for b, *_ in betas]) * share).sum(0),
        (torch.stack([s for _, s, _ in betas]) * share).sum(0),
    )


def sightings(evidence: KeypointTracks, cue_points: Tensor) -> Sightings:
    """What the lifter looks at; cue_points [T, P, 23, 4] of the observations."""

    def each(tensor: Tensor) -> Tensor:
        return tensor.transpose(0, 1)  # [P, T, ...]

    people = evidence.seen.shape[1]
    return Sightings(
        points=each(evidence.points[..., :NUM_POINTS, :]),
        inverse_sigmas=each(evidence.inverse_sigmas[..., :NUM_POINTS]),
        cue_points=each(cue_points),
        visible=each(evidence.seen > 0),
        times=evidence.times.expand(people, -1),
        focal=evidence.times.new_full((people,), evidence.focal),
        centre=evidence.times.new_tensor(evidence.centre).expand(people, 2),
    )


def lifted_variables(body: LandmarkBody, lifted: PoseDistribution) -> MotionParameters:
    """The mean as the variables of a fit, with relaxed hands."""

    def each(tensor: Tensor) -> Tensor:
        return tensor.transpose(0, 1).contiguous()

    frames, people = lifted.log_depth.shape[1], lifted.log_depth.shape[0]
    return MotionParameters(
        root=matrix_to_6d(each(lifted.root)),
        body_pose=matrix_to_axis_angle(each(lifted.body_pose)),
        jaw=torch.zeros(frames, people, 3, device=lifted.log_depth.device),
        hand_pose=body.hand_mean.flatten(0, 1).expand(frames, people, 30, 3),
        pelvis_ray=each(lifted.ray),
        log_depth=each(lifted.log_depth),
        betas=lifted.betas,
    )


def anchor_of(lifted: PoseDistribution) -> PoseReference:
    """What the fit that follows stays near."""

    def each(tensor: Tensor) -> Tensor:
        return tensor.transpose(0, 1).contiguous()

    return PoseReference(
        rotations=torch.cat([each(lifted.root)[:, :, None], each(lifted.body_pose)], dim=2),
        rotation_spread=each(lifted.rotation_spread),
        log_depth=each(lifted.log_depth),
        log_depth_spread=each(lifted.place_spread[..., 2]),
    )


def _linear(lifted: PoseDistribution) -> dict[str, Tensor]:
    """Everything that there is for each frame, as numbers that may be averaged."""
    return {
        "rotations": matrix_to_6d(torch.cat([lifted.root[:, :, None], lifted.body_pose], dim=2)),
        **{name: getattr(lifted, name) for name in ("ray", "log_depth", "rotation_spread", "place_spread")},
    }


def _distribution(mean: dict[str, Tensor], betas: Tensor, betas_spread: Tensor) -> PoseDistribution:
    rotations = rotation_6d_to_matrix(mean.pop("rotations"))
    return PoseDistribution(
        root=rotations[:, :, 0], body_pose=rotations[:, :, 1:], betas=betas, betas_spread=betas_spread, **mean
    )


def _fade(window: slice, length: int) -> Tensor:
    """[t] weight of each frame of a window: rising over the overlap with the one before, falling with the next."""
    count = window.stop - window.start
    ramp = torch.arange(1, count + 1) / (OVERLAP + 1)
    rise = ramp.clamp(max=1) if window.start > 0 else torch.ones(count)
    fall = ramp.flip(0).clamp(max=1) if window.stop < length else torch.ones(count)
    return torch.minimum(rise, fall)
