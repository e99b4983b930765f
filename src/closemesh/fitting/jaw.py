"""Jaw opening from lip keypoints, measured relative to the rest of the face; nothing else of the face moves."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.landmarks import PosedLandmarks
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.progress import Progress
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel
from closemesh.fitting.optimizer import HANDS, SIGMAS, Phase, minimize
from closemesh.geometry.camera import project
from closemesh.losses.keypoints import pseudo_huber
from closemesh.temporal import crossfade_window, split_windows

_FACE = KEYPOINT_INDEX["face_0"]
_RIGID = [*range(_FACE + 17, _FACE + 48)]  # Brows, nose and eyes, which no jaw moves.
_UPPER, _LOWER = [_FACE + k for k in (61, 62, 63)], [_FACE + k for k in (67, 66, 65)]  # Inner edges of the lips.
_MIN_KEYPOINTS = 8  # Number of rigid keypoints.
_RELATIVE_ERROR = 0.1  # Keypoints of a face share their error: between the lips this fraction of sigma is left.
_MIN_ERROR = 1.0  # Pixels of error that the distance of two lips has at least.
_OUTLIER = 3.0
_CLOSED_SIGMA = 0.02  # Radians that a jaw may be shut beyond closed.
_SIDEWAYS_SIGMA = 0.01  # Radians.
_RIDGE = 0.02  # Fraction of the face's size, towards the identity: a face from the side is a line.


def mouths_visible(tracks: KeypointTracks) -> Tensor:
    """[T, P] bool: lips and the rest of the face have enough keypoints to determine how far the mouth is open."""
    detected = tracks.inv_sigma > 0
    lips = detected[..., [*_UPPER, *_LOWER]].all(-1)
    return lips & (detected[..., _RIGID].sum(-1) >= _MIN_KEYPOINTS) & tracks.detected


def fit_jaw(
    model: FitModel,
    parameters: MotionParameters,
    tracks: KeypointTracks,
    iterations: int,
    window: int,
    overlap: int,
    progress: Progress,
) -> MotionParameters:
    """The parameters with jaws fitted in overlapping windows, wherever mouths are visible; else unchanged."""
    windows = split_windows(len(tracks.times), window, overlap)
    windows = [frames for frames in windows if mouths_visible(tracks.frames(frames)).any()]
    if not windows:
        return parameters
    (phase,) = HANDS
    with progress.task("jaws", iterations * len(windows)) as advance:
        for frames in windows:
            part = tracks.frames(frames)
            start = parameters.frames(frames)
            face_map = fit_face_map(pose_parameters(model.body, start), part)
            fitted = minimize(
                start,
                lambda p, _, part=part, face_map=face_map: jaw_loss(model, p, part, face_map, phase),
                iterations=iterations,
                learning_rate=phase.learning_rate,
                free=("jaw",),
                advance=advance,
            )
            parameters = parameters.with_tensors(jaw=crossfade_window(parameters, fitted, frames, overlap).jaw)
    return parameters


def fit_face_map(posed: PosedLandmarks, tracks: KeypointTracks) -> Tensor:
    """[T, P, 2, 2] linear map from the projected rigid points of the body's face to the detected ones.

    It makes up for a head that is turned or sized a little differently from the body's.
    """
    projected = project(posed.keypoints[..., _RIGID, :], tracks.focal, tracks.principal_point)
    weights = (tracks.inv_sigma[..., _RIGID] > 0).to(projected)[..., None]
    count = weights.sum(-2, keepdim=True).clamp(min=1)
    projected = (projected - (weights * projected).sum(-2, keepdim=True) / count) * weights
    detected = tracks.points2d[..., _RIGID, :]
    detected = (detected - (weights * detected).sum(-2, keepdim=True) / count) * weights
    size = projected.square().sum((-2, -1), keepdim=True)
    eye = torch.eye(2, dtype=projected.dtype, device=projected.device)
    normal = projected.transpose(-1, -2) @ projected + _RIDGE * size * eye
    mixed = projected.transpose(-1, -2) @ detected + _RIDGE * size * eye
    solved = torch.linalg.solve(normal + 1e-6 * eye, mixed)
    return solved.transpose(-1, -2).detach()


def jaw_loss(
    model: FitModel, parameters: MotionParameters, tracks: KeypointTracks, face_map: Tensor, phase: Phase
) -> Tensor:
    """The loss [] of the distances of the lips, of open jaws, and of their angular velocity; face_map [T, P, 2, 2]."""
    posed = pose_parameters(model.body, parameters)
    projected = project(posed.keypoints, tracks.focal, tracks.principal_point)
    body = (projected[..., _LOWER, :] - projected[..., _UPPER, :]) @ face_map.transpose(-1, -2)
    image = tracks.points2d[..., _LOWER, :] - tracks.points2d[..., _UPPER, :]
    sigma = _RELATIVE_ERROR / tracks.inv_sigma[..., [*_UPPER, *_LOWER]].mean(-1).clamp(min=1e-6)
    error = (body - image).square().sum(-1) / (sigma.square() + _MIN_ERROR**2)[..., None]
    visible = mouths_visible(tracks).to(error)[..., None]
    loss = phase.weights.reprojection * (pseudo_huber(error, _OUTLIER) * visible).sum()
    opening = parameters.jaw[..., 0]
    loss = loss + (opening / SIGMAS.jaw).square().sum() + (F.relu(-opening) / _CLOSED_SIGMA).square().sum()
    loss = loss + (parameters.jaw[..., 1:] / _SIDEWAYS_SIGMA).square().sum()
    if len(tracks.times) > 1:
        rate = parameters.jaw.diff(dim=0) / tracks.times.diff()[:, None, None]
        loss = loss + (rate / SIGMAS.jaw_rate).square().sum()
    return loss
