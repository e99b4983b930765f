"""The jaw opened as far as the lips are seen apart, measured against the rest of the face; nothing else of it moves."""

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
_STILL = [*range(_FACE + 17, _FACE + 48)]  # Brows, nose and eyes, which no jaw moves.
_UPPER, _LOWER = [_FACE + k for k in (61, 62, 63)], [_FACE + k for k in (67, 66, 65)]  # Inner edges of the lips.
_ENOUGH = 8  # Of the still points.
_TOGETHER = 0.1  # A face's points err together: lips against each other by this share of what each is off.
_LEAST = 1.0  # Pixels that the distance of two lips is off at least.
_OUTLIER = 3.0
_CLOSED = 0.02  # Radians that a jaw may be shut beyond closed.
_SIDEWAYS = 0.01


def mouths_seen(evidence: KeypointTracks) -> Tensor:
    """[T, P] bool: lips and the rest of the face are seen well enough to tell how far the mouth is open."""
    known = evidence.inverse_sigmas > 0
    lips = known[..., [*_UPPER, *_LOWER]].all(-1)
    return lips & (known[..., _STILL].sum(-1) >= _ENOUGH) & (evidence.seen > 0)


def fit_jaw(
    subject: FitModel,
    variables: MotionParameters,
    evidence: KeypointTracks,
    iterations: int,
    window: int,
    overlap: int,
    progress: Progress,
) -> MotionParameters:
    """The variables with open jaws wherever mouths are seen, in overlapping windows; unchanged where none are."""
    windows = [w for w in split_windows(len(evidence.times), window, overlap) if mouths_seen(evidence.frames(w)).any()]
    if not windows:
        return variables
    (phase,) = HANDS
    with progress.task("jaws", iterations * len(windows)) as advance:
        for frames in windows:
            part = evidence.frames(frames)
            start = variables.frames(frames)
            stretch = face_stretch(pose_parameters(subject.body, start), part)
            piece = minimize(
                start,
                lambda v, _, part=part, stretch=stretch: jaw_loss(subject, v, part, stretch, phase),
                iterations=iterations,
                learning_rate=phase.learning_rate,
                free=("jaw",),
                advance=advance,
            )
            variables = variables.with_tensors(jaw=crossfade_window(variables, piece, frames, overlap).jaw)
    return variables


def face_stretch(posed: PosedLandmarks, evidence: KeypointTracks) -> Tensor:
    """[T, P, 2, 2] linear map that takes the still points of the body's face, as they are projected, to the seen ones.

    It makes up for a head that is turned or sized a little otherwise than the body's.
    """
    here = project(posed.keypoints[..., _STILL, :], evidence.focal, evidence.centre)
    weights = (evidence.inverse_sigmas[..., _STILL] > 0).to(here)[..., None]
    count = weights.sum(-2, keepdim=True).clamp(min=1)
    here = (here - (weights * here).sum(-2, keepdim=True) / count) * weights
    seen = evidence.points[..., _STILL, :]
    seen = (seen - (weights * seen).sum(-2, keepdim=True) / count) * weights
    size = here.square().sum((-2, -1), keepdim=True)
    # A little towards no change: a face from the side is a line.
    normal = here.transpose(-1, -2) @ here + 0.02 * size * torch.eye(2, dtype=here.dtype, device=here.device)
    mixed = here.transpose(-1, -2) @ seen + 0.02 * size * torch.eye(2, dtype=here.dtype, device=here.device)
    solved = torch.linalg.solve(normal + 1e-6 * torch.eye(2, dtype=here.dtype, device=here.device), mixed)
    return solved.transpose(-1, -2).detach()


def jaw_loss(
    subject: FitModel, variables: MotionParameters, evidence: KeypointTracks, stretch: Tensor, phase: Phase
) -> Tensor:
    """Distances of the lips against the seen ones, the jaw against closed, and turns from frame to frame."""
    posed = pose_parameters(subject.body, variables)
    here = project(posed.keypoints, evidence.focal, evidence.centre)
    open_here = (here[..., _LOWER, :] - here[..., _UPPER, :]) @ stretch.transpose(-1, -2)
    open_there = evidence.points[..., _LOWER, :] - evidence.points[..., _UPPER, :]
    doubt = _TOGETHER / evidence.inverse_sigmas[..., [*_UPPER, *_LOWER]].mean(-1).clamp(min=1e-6)
    misses = (open_here - open_there).square().sum(-1) / (doubt.square() + _LEAST**2)[..., None]
    seen = mouths_seen(evidence).to(misses)[..., None]
    loss = phase.weights.reprojection * (pseudo_huber(misses, _OUTLIER) * seen).sum()
    opening = variables.jaw[..., 0]
    loss = loss + (opening / SIGMAS.jaw).square().sum() + (F.relu(-opening) / _CLOSED).square().sum()
    loss = loss + (variables.jaw[..., 1:] / _SIDEWAYS).square().sum()
    if len(evidence.times) > 1:
        rate = variables.jaw.diff(dim=0) / evidence.times.diff()[:, None, None]
        loss = loss + (rate / SIGMAS.jaw_rate).square().sum()
    return loss
