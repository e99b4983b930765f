"""Fingers and wrists from hand keypoints, near the relaxed hand; the rest of the body is fixed."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.landmarks import PosedLandmarks
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.body.skeleton import JOINT_INDEX, KEYPOINT_INDEX
from closemesh.core.progress import Progress
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel
from closemesh.fitting.optimizer import HANDS, SIGMAS, Phase, minimize
from closemesh.geometry.camera import project
from closemesh.losses.joint_limits import finger_axes, hand_pose_penalty
from closemesh.losses.keypoints import reprojection
from closemesh.temporal import crossfade_window, split_windows

_MIN_KEYPOINTS = 8  # Number for a hand; the three that BlazePose gives do not determine the fingers.
_NUM_HAND_KEYPOINTS = 21
_FIRST = (KEYPOINT_INDEX["left_hand_wrist"], KEYPOINT_INDEX["right_hand_wrist"])
_PALM = (0, 5, 9, 13, 17)  # Wrist and knuckles.
_RELATIVE_ERROR = 0.2  # Keypoints of a hand share their error: relative to the palm this fraction of sigma is left.
_WRISTS = [JOINT_INDEX["left_wrist"] - 1, JOINT_INDEX["right_wrist"] - 1]  # Indices in the body pose.


def hands_visible(tracks: KeypointTracks) -> Tensor:
    """[T, P, 2] bool: the left and the right hand have enough keypoints to determine their fingers."""
    detected = [tracks.inv_sigma[..., first : first + _NUM_HAND_KEYPOINTS] > 0 for first in _FIRST]
    enough = [(hand.sum(-1) >= _MIN_KEYPOINTS) & hand[..., 0] for hand in detected]
    return torch.stack(enough, dim=-1) & tracks.detected[..., None]


def fit_hands(
    model: FitModel,
    parameters: MotionParameters,
    tracks: KeypointTracks,
    iterations: int,
    window: int,
    overlap: int,
    progress: Progress,
) -> MotionParameters:
    """The parameters with fingers and wrists fitted in overlapping windows, wherever hands are visible.

    Fingers stay near those of `parameters`. A hand that is not visible in a window is unchanged.
    """
    windows = split_windows(len(tracks.times), window, overlap)
    windows = [frames for frames in windows if hands_visible(tracks.frames(frames)).any()]
    if not windows:
        return parameters
    (phase,) = HANDS
    with progress.task("fingers", iterations * len(windows)) as advance:
        for frames in windows:
            part, start = tracks.frames(frames), parameters.frames(frames)
            fitted = minimize(
                start,
                lambda p, _, part=part, start=start: hand_loss(model, p, start, part, phase),
                iterations=iterations,
                learning_rate=phase.learning_rate,
                free=("body_pose", "hand_pose"),
                advance=advance,
            )
            blended = crossfade_window(parameters, fitted, frames, overlap)
            parameters = with_wrists(parameters, blended, hands_visible(part).any(0))
    return parameters


def with_wrists(parameters: MotionParameters, other: MotionParameters, hands: Tensor) -> MotionParameters:
    """`parameters` with the wrists and fingers of `other` for the hands [P, 2] bool."""
    chosen = hands[..., None]  # [P, 2, 1]
    pose = parameters.body_pose.clone()
    pose[..., _WRISTS, :] = torch.where(chosen, other.body_pose[..., _WRISTS, :], pose[..., _WRISTS, :])
    fingers = torch.where(chosen.repeat_interleave(15, dim=1), other.hand_pose, parameters.hand_pose)
    return parameters.with_tensors(body_pose=pose, hand_pose=fingers)


def hand_loss(
    model: FitModel, parameters: MotionParameters, start: MotionParameters, tracks: KeypointTracks, phase: Phase
) -> Tensor:
    """The loss [] of hand keypoints, of fingers and wrists relative to `start`, and of their angular velocity."""
    posed = pose_parameters(model.body, with_wrists(start, parameters, hands_visible(tracks).any(0)))
    axes = finger_axes(model.body.rest_joints(parameters.betas))
    wrists = parameters.body_pose[..., _WRISTS, :] - start.body_pose[..., _WRISTS, :]
    loss = phase.weights.reprojection * _palm_reprojection(posed, tracks).sum()
    loss = loss + hand_pose_penalty(parameters.hand_pose, start.hand_pose, axes).sum()
    loss = loss + (wrists / SIGMAS.wrist).square().sum()
    if len(tracks.times) > 1:
        for angles, sigma in ((parameters.hand_pose, SIGMAS.finger_rate), (wrists, SIGMAS.wrist_rate)):
            rate = angles.diff(dim=0) / tracks.times.diff()[:, None, None, None]
            loss = loss + (rate / sigma).square().sum()
    return loss


def _palm_reprojection(posed: PosedLandmarks, tracks: KeypointTracks) -> Tensor:
    """[T, P, 2, 21] robust squared reprojection error of each hand keypoint relative to the palm, in sigmas.

    Detectors and bodies place the wrist differently; the mean with the knuckles agrees.
    """
    projected = project(posed.keypoints, tracks.focal, tracks.principal_point)
    visible = hands_visible(tracks)
    errors = []
    detected = (tracks.inv_sigma > 0).to(projected)[..., None]
    for hand, first in enumerate(_FIRST):
        points = slice(first, first + _NUM_HAND_KEYPOINTS)
        palm = [first + k for k in _PALM]
        body, image = (x[..., points, :] - _mean(x, palm, detected) for x in (projected, tracks.points2d))
        inv_sigma = tracks.inv_sigma[..., points] / _RELATIVE_ERROR * visible[..., hand, None]
        errors.append(reprojection(body, image, inv_sigma))
    return torch.stack(errors, dim=-2)


def _mean(points: Tensor, chosen: list[int], detected: Tensor) -> Tensor:
    """[T, P, 1, 2] mean of the chosen points [T, P, 133, 2] that are detected [T, P, 133, 1]."""
    weights = detected[..., chosen, :]
    return (weights * points[..., chosen, :]).sum(-2, keepdim=True) / weights.sum(-2, keepdim=True).clamp(min=1)
