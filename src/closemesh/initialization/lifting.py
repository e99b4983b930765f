"""The lifter over a whole clip in overlapping windows, and its distribution as parameters and reference of a fit."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.landmarks import LandmarkBody
from closemesh.body.motion import MotionParameters
from closemesh.fitting.keypoint_tracks import KeypointTracks, PoseReference
from closemesh.geometry.rotations import matrix_to_6d, matrix_to_axis_angle, rotation_6d_to_matrix
from closemesh.initialization.lifted_smoothing import smooth_lifted
from closemesh.initialization.lifting_network import Lifter, PoseDistribution, lift
from closemesh.temporal import split_windows

WINDOW, OVERLAP = 48, 16  # Frames.


@torch.no_grad()
def lift_clip(lifter: Lifter, tracks: KeypointTracks) -> PoseDistribution:
    """The distribution of all P people over the T frames of a clip, smoothed over time; windows are crossfaded."""
    people = tracks.body_keypoints().per_person()
    total, weights = None, people.times.new_zeros(people.times.shape)
    betas, betas_std, counts = [], [], []
    for window in split_windows(people.times.shape[1], WINDOW, OVERLAP):
        part = lift(lifter, people.frames(window))
        fade = _fade(window, people.times.shape[1]).to(weights)
        values = _linear(part)
        total = total or {name: value.new_zeros(*weights.shape, *value.shape[2:]) for name, value in values.items()}
        for name, value in values.items():
            total[name][:, window] += value * fade.reshape(1, -1, *([1] * (value.ndim - 2)))
        weights[:, window] += fade
        betas.append(part.betas)
        betas_std.append(part.betas_std)
        counts.append(people.detected[:, window].sum(1, keepdim=True) + 1e-6)
    assert total is not None
    mean = {name: value / weights.reshape(*weights.shape, *([1] * (value.ndim - 2))) for name, value in total.items()}
    fraction = torch.stack(counts)
    fraction = fraction / fraction.sum(0)
    lifted = _distribution(mean, (torch.stack(betas) * fraction).sum(0), (torch.stack(betas_std) * fraction).sum(0))
    return smooth_lifted(lifted, people.times, people.detected)


def lifted_parameters(body: LandmarkBody, lifted: PoseDistribution) -> MotionParameters:
    """The mean as the parameters of a fit, with relaxed hands."""
    frames, people = lifted.log_depth.shape[1], lifted.log_depth.shape[0]
    return MotionParameters(
        root=matrix_to_6d(_frames_first(lifted.root)),
        body_pose=matrix_to_axis_angle(_frames_first(lifted.body_pose)),
        jaw=torch.zeros(frames, people, 3, device=lifted.log_depth.device),
        hand_pose=body.hand_mean.flatten(0, 1).expand(frames, people, 30, 3),
        pelvis_ray=_frames_first(lifted.ray),
        log_depth=_frames_first(lifted.log_depth),
        betas=lifted.betas,
    )


def lifted_reference(lifted: PoseDistribution) -> PoseReference:
    """The mean and standard deviations as the reference of a fit."""
    root, body_pose = _frames_first(lifted.root), _frames_first(lifted.body_pose)
    return PoseReference(
        rotations=torch.cat([root[:, :, None], body_pose], dim=2),
        rotation_std=_frames_first(lifted.rotation_std),
        log_depth=_frames_first(lifted.log_depth),
        log_depth_std=_frames_first(lifted.place_std[..., 2]),
    )


def _frames_first(tensor: Tensor) -> Tensor:
    """[T, P, ...] of [P, T, ...]."""
    return tensor.transpose(0, 1).contiguous()


def _linear(lifted: PoseDistribution) -> dict[str, Tensor]:
    """All values per frame, as numbers that may be averaged."""
    return {
        "rotations": matrix_to_6d(torch.cat([lifted.root[:, :, None], lifted.body_pose], dim=2)),
        **{name: getattr(lifted, name) for name in ("ray", "log_depth", "rotation_std", "place_std")},
    }


def _distribution(mean: dict[str, Tensor], betas: Tensor, betas_std: Tensor) -> PoseDistribution:
    rotations = rotation_6d_to_matrix(mean.pop("rotations"))
    return PoseDistribution(
        root=rotations[:, :, 0], body_pose=rotations[:, :, 1:], betas=betas, betas_std=betas_std, **mean
    )


def _fade(window: slice, length: int) -> Tensor:
    """[t] weight of each frame of a window: it rises over the overlap with the one before and falls with the next."""
    count = window.stop - window.start
    ramp = torch.arange(1, count + 1) / (OVERLAP + 1)
    rise = ramp.clamp(max=1) if window.start > 0 else torch.ones(count)
    fall = ramp.flip(0).clamp(max=1) if window.stop < length else torch.ones(count)
    return torch.minimum(rise, fall)
