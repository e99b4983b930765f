"""Fingers bent as their keypoints show, near the relaxed hand and evenly over time; the body stays where it is."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.body.points import PosedPoints
from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.body.variables import MotionVariables, pose_variables
from closemesh.energy.reprojection import reprojection
from closemesh.fitting.evidence import Evidence
from closemesh.fitting.minimise import minimise
from closemesh.fitting.objective import Subject
from closemesh.fitting.schedule import HANDS, SIGMAS, Phase
from closemesh.fitting.windows import blend_window, split_windows
from closemesh.geometry.camera import project
from closemesh.progress import Progress

_ENOUGH = 8  # Points of a hand; the three that BlazePose gives do not tell how fingers are bent.
_POINTS = 21
_FIRST = (KEYPOINT_INDEX["left_hand_wrist"], KEYPOINT_INDEX["right_hand_wrist"])
_TOGETHER = 0.4  # A hand's points err together: against its wrist by this share of what each is off in the picture.


def hands_seen(evidence: Evidence) -> Tensor:
    """[T, P, 2] bool: the left and the right hand are seen well enough to tell how their fingers are bent."""
    known = [evidence.inverse_sigmas[..., first : first + _POINTS] > 0 for first in _FIRST]
    return torch.stack([(k.sum(-1) >= _ENOUGH) & k[..., 0] for k in known], dim=-1) & (evidence.seen[..., None] > 0)


def fit_hands(
    subject: Subject,
    variables: MotionVariables,
    evidence: Evidence,
    iterations: int,
    window: int,
    overlap: int,
    progress: Progress,
) -> MotionVariables:
    """The variables with bent fingers wherever hands are seen, in overlapping windows; unchanged where none are."""
    windows = [w for w in split_windows(len(evidence.times), window, overlap) if hands_seen(evidence.frames(w)).any()]
    if not windows:
        return variables
    (phase,) = HANDS
    with progress.task("fingers", iterations * len(windows)) as advance:
        for frames in windows:
            part = evidence.frames(frames)
            piece = minimise(
                variables.frames(frames),
                lambda v, _, part=part: hand_loss(subject, v, part, phase),
                iterations=iterations,
                learning_rate=phase.learning_rate,
                free=("hand_pose",),
                advance=advance,
            )
            variables = variables.with_tensors(hand_pose=blend_window(variables, piece, frames, overlap).hand_pose)
    return variables


def hand_loss(subject: Subject, variables: MotionVariables, evidence: Evidence, phase: Phase) -> Tensor:
    """Keypoints against the seen ones, bends against the relaxed hand, and turns from frame to frame."""
    posed = pose_variables(subject.body, variables)
    pixels = phase.weights.reprojection * _misses(posed, evidence).sum()
    bent = (variables.hand_pose - subject.body.hand_mean.flatten(0, 1)) / SIGMAS.finger
    loss = pixels + bent.square().sum()
    if len(evidence.times) > 1:
        rate = variables.hand_pose.diff(dim=0) / evidence.times.diff()[:, None, None, None]
        loss = loss + (rate / SIGMAS.finger_rate).square().sum()
    return loss


def _misses(posed: PosedPoints, evidence: Evidence) -> Tensor:
    """[T, P, 2, 21] squared sigmas that each point of a hand lies off, seen from the wrist."""
    projected = project(posed.keypoints, evidence.focal, evidence.centre)
    seen = hands_seen(evidence)
    misses = []
    for hand, first in enumerate(_FIRST):
        points = slice(first, first + _POINTS)
        here, there = (x[..., points, :] - x[..., first : first + 1, :] for x in (projected, evidence.points))
        certainty = evidence.inverse_sigmas[..., points] / _TOGETHER * seen[..., hand, None]
        misses.append(reprojection(here, there, certainty))
    return torch.stack(misses, dim=-2)
