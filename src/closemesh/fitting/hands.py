"""Fingers bent and wrists turned as the hands' keypoints show, near the relaxed hand; the body stays where it is."""

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

_ENOUGH = 8  # Points of a hand; the three that BlazePose gives do not tell how fingers are bent.
_POINTS = 21
_FIRST = (KEYPOINT_INDEX["left_hand_wrist"], KEYPOINT_INDEX["right_hand_wrist"])
_PALM = (0, 5, 9, 13, 17)  # Wrist and knuckles.
_TOGETHER = 0.2  # A hand's points err together: against its palm by this share of what each is off in the picture.
_WRISTS = [JOINT_INDEX["left_wrist"] - 1, JOINT_INDEX["right_wrist"] - 1]  # Of the body pose.


def hands_seen(evidence: KeypointTracks) -> Tensor:
    """[T, P, 2] bool: the left and the right hand are seen well enough to tell how their fingers are bent."""
    known = [evidence.inverse_sigmas[..., first : first + _POINTS] > 0 for first in _FIRST]
    return torch.stack([(k.sum(-1) >= _ENOUGH) & k[..., 0] for k in known], dim=-1) & (evidence.seen[..., None] > 0)


def fit_hands(
    subject: FitModel,
    variables: MotionParameters,
    evidence: KeypointTracks,
    iterations: int,
    window: int,
    overlap: int,
    progress: Progress,
) -> MotionParameters:
    """The variables with bent fingers and turned wrists wherever hands are seen, in overlapping windows.

    Fingers stay near what they were: relaxed at first, later as they were found or told. A hand that is not seen in a
    window is as it was.
    """
    windows = [w for w in split_windows(len(evidence.times), window, overlap) if hands_seen(evidence.frames(w)).any()]
    if not windows:
        return variables
    (phase,) = HANDS
    with progress.task("fingers", iterations * len(windows)) as advance:
        for frames in windows:
            part, start = evidence.frames(frames), variables.frames(frames)
            piece = minimize(
                start,
                lambda v, _, part=part, start=start: hand_loss(subject, v, start, part, phase),
                iterations=iterations,
                learning_rate=phase.learning_rate,
                free=("body_pose", "hand_pose"),
                advance=advance,
            )
            blended = crossfade_window(variables, piece, frames, overlap)
            variables = with_wrists(variables, blended, hands_seen(part).any(0))
    return variables


def with_wrists(variables: MotionParameters, other: MotionParameters, hands: Tensor) -> MotionParameters:
    """The body of `variables` with wrists and fingers of `other`; hands [P, 2] bool, which of them."""
    chosen = hands[..., None]  # [P, 2, 1]
    pose = variables.body_pose.clone()
    pose[..., _WRISTS, :] = torch.where(chosen, other.body_pose[..., _WRISTS, :], pose[..., _WRISTS, :])
    fingers = torch.where(chosen.repeat_interleave(15, dim=1), other.hand_pose, variables.hand_pose)
    return variables.with_tensors(body_pose=pose, hand_pose=fingers)


def hand_loss(
    subject: FitModel, variables: MotionParameters, start: MotionParameters, evidence: KeypointTracks, phase: Phase
) -> Tensor:
    """Keypoints against the seen ones, bends and wrists against those of `start`, and their turning."""
    posed = pose_parameters(subject.body, with_wrists(start, variables, hands_seen(evidence).any(0)))
    axes = finger_axes(subject.body.rest_joints(variables.betas))
    turned = variables.body_pose[..., _WRISTS, :] - start.body_pose[..., _WRISTS, :]
    loss = phase.weights.reprojection * _misses(posed, evidence).sum()
    loss = loss + hand_pose_penalty(variables.hand_pose, start.hand_pose, axes).sum()
    loss = loss + (turned / SIGMAS.wrist).square().sum()
    if len(evidence.times) > 1:
        for moving, usual in ((variables.hand_pose, SIGMAS.finger_rate), (turned, SIGMAS.wrist_rate)):
            rate = moving.diff(dim=0) / evidence.times.diff()[:, None, None, None]
            loss = loss + (rate / usual).square().sum()
    return loss


def _misses(posed: PosedLandmarks, evidence: KeypointTracks) -> Tensor:
    """[T, P, 2, 21] squared sigmas that each point of a hand lies off, seen from the middle of the palm.

    Detectors and bodies have the wrist a little elsewhere; the mean with the knuckles is the same to both.
    """
    projected = project(posed.keypoints, evidence.focal, evidence.centre)
    seen = hands_seen(evidence)
    misses = []
    known = (evidence.inverse_sigmas > 0).to(projected)[..., None]
    for hand, first in enumerate(_FIRST):
        points = slice(first, first + _POINTS)
        palm = [first + k for k in _PALM]
        here, there = (x[..., points, :] - _middle(x, palm, known) for x in (projected, evidence.points))
        certainty = evidence.inverse_sigmas[..., points] / _TOGETHER * seen[..., hand, None]
        misses.append(reprojection(here, there, certainty))
    return torch.stack(misses, dim=-2)


def _middle(points: Tensor, chosen: list[int], known: Tensor) -> Tensor:
    """[T, P, 1, 2] mean of those of the chosen points [T, P, 133, 2] that are known [T, P, 133, 1]."""
    weights = known[..., chosen, :]
    return (weights * points[..., chosen, :]).sum(-2, keepdim=True) / weights.sum(-2, keepdim=True).clamp(min=1)
