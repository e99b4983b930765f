"""Body to imported keypoints, betas.

Pose and shape of our body for a person of whom a tool tells points alone.

Shapes of our body for people of another tool, whose betas belong to another body and are not taken over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from closemesh.body.landmarks import LandmarkBody, PosedLandmarks
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Advance
from closemesh.fitting.keypoint_tracks import KeypointTracks, best_seen_frames, make_evidence
from closemesh.fitting.objective import FitModel, run_phases
from closemesh.fitting.optimizer import SIGMAS, Phase, Weights, minimize
from closemesh.importers.results import ImportedPerson
from closemesh.initialization.multi_start import initial_parameters
from closemesh.losses.joint_limits import finger_axes, hand_pose_penalty, joint_limit_excess
from closemesh.losses.keypoints import pseudo_huber
from closemesh.losses.pose_prior import PosePrior, load_pose_prior, pose_prior_nll
from closemesh.motion_files.sequence import MotionSequence, fit_betas
from closemesh.structures import NUM_BODY_JOINTS, NUM_CUE_POINTS, Camera, Observations

STEPS = (60, 120)
"""Of the body, then of body and hands."""
_SIGMA, _HAND_SIGMA = 0.015, 0.005  # Metres by which bodies differ in where a keypoint lies.
_FAR = 3.0
_PRIOR = 0.1
_HANDS = slice(91, 133)
_HIPS = slice(11, 13)
_FOCAL = 1000.0  # Of a camera that is made up for the start alone.
_CHUNK = 256  # Frames at once; shapes are those of the first chunk.


@dataclass(frozen=True)
class _Task:
    body: LandmarkBody
    prior: PosePrior
    points: Tensor  # [T, 1, 133, 3] metres
    weights: Tensor  # [T, 1, 133] 1 where known


def fit_points(person: ImportedPerson, body: LandmarkBody, advance: Advance = lambda steps: None) -> ImportedPerson:
    """The person with rotations, pelvis and joints of `body` [22] that meet the told points; body on the CPU.

    One shape for all frames; each frame by itself, smoothing comes later. Frame: the tool's camera.
    """
    if person.points is None:
        return person
    pieces, betas = [], None
    for first in range(0, len(person.frames), _CHUNK):
        found = _fit(person.points[first : first + _CHUNK], body, betas, advance)
        betas = found.betas
        pieces.append(found)
    posed = [pose_parameters(body, piece) for piece in pieces]
    joints = torch.cat([one.joints[:, 0, :NUM_BODY_JOINTS] for one in posed]).double().numpy()
    rotations = torch.cat([piece.rotations()[:, 0] for piece in pieces]).double().numpy()
    known_hands = bool(np.isfinite(person.points[:, _HANDS]).all(-1).mean() > 0.5)
    return replace(person, rotations=rotations, pelvis=joints[:, 0], joints=joints, known_hands=known_hands)


def _fit(points: Floats, body: LandmarkBody, betas: Tensor | None, advance: Advance) -> MotionParameters:
    known = np.asarray(np.isfinite(points).all(-1))
    filled = torch.as_tensor(np.where(known[..., None], points, 0), dtype=torch.float32)[:, None]
    task = _Task(body, load_pose_prior(), filled, torch.as_tensor(known, dtype=torch.float32)[:, None])
    variables = _start(points, known, body, betas)
    shape = () if betas is not None else ("betas",)
    free = ("root", "body_pose", "ray", "log_depth", *shape)
    for steps, rate, more in zip(STEPS, (0.08, 0.04), ((), ("hand_pose",)), strict=True):
        variables = minimize(
            variables,
            lambda v, _, hands=bool(more): _loss(task, v, hands),
            iterations=steps,
            learning_rate=rate,
            free=(*free, *more),
            advance=advance,
        )
    return variables


def _start(points: Floats, known: Bools, body: LandmarkBody, betas: Tensor | None) -> MotionParameters:
    """Trunk and limbs as the points have them, as if they were the image-based cue of a clip."""
    frames = len(points)
    depth = np.where(known, points[..., 2], 1.0)[..., None]
    pixels = np.where(known[..., None], points[..., :2] / depth * _FOCAL, 0)
    middle = points[:, _HIPS].mean(1, keepdims=True)
    cue = np.where(known[:, :NUM_CUE_POINTS, None], points[:, :NUM_CUE_POINTS] - middle, 0)
    seen = known.astype(np.float64)[..., None]
    observations = Observations(
        boxes=np.concatenate([pixels.min(1), pixels.max(1)], -1)[:, None],
        keypoints=np.concatenate([pixels, seen], -1)[:, None],
        sigmas=np.ones((frames, 1, len(known[0]))),
        keypoints3d=np.concatenate([cue, seen[:, :NUM_CUE_POINTS]], -1)[:, None],
        detected=np.ones((frames, 1), bool),
        track_confidence=np.ones((frames, 1)),
        detector="points",
    )
    camera = Camera(_FOCAL, (0.0, 0.0), (1, 1), "option", np.tile(np.eye(4), (frames, 1, 1)))
    evidence = make_evidence(observations, np.arange(frames) / 30, camera, "cpu")
    return initial_parameters(body, evidence, torch.zeros(1, body.num_betas) if betas is None else betas)[0]


def _loss(task: _Task, variables: MotionParameters, hands: bool) -> Tensor:
    """Points against the told ones; an unlikely pose, hand or shape."""
    posed = pose_parameters(task.body, variables)
    pull = _pull(task, posed)
    if not hands:
        pull = pull[..., : _HANDS.start]
    likely = pose_prior_nll(task.prior, variables.body_pose)
    beyond = (joint_limit_excess(variables.body_pose) / SIGMAS.limit).square().sum((-1, -2))
    axes = finger_axes(task.body.rest_joints(variables.betas))
    fingers = hand_pose_penalty(variables.hand_pose, task.body.hand_mean.flatten(0, 1), axes)
    return pull.sum() + (_PRIOR * likely + beyond).sum() + fingers.sum() + variables.betas.square().sum()


def _pull(task: _Task, posed: PosedLandmarks) -> Tensor:
    """[T, 1, 133]."""
    sigmas = torch.full_like(task.weights, _SIGMA)
    sigmas[..., _HANDS] = _HAND_SIGMA
    away = (posed.keypoints - task.points).square().sum(-1) / sigmas.square()
    return pseudo_huber(away, _FAR) * task.weights


_FRAMES = 24  # Spread over the clip, that shapes are fitted to.
_ITERATIONS = 60
# Poses and distances are the tool's, so that sizes in the picture tell the shape.
_SHAPE = Phase("shape", Weights(limbs=0.0, pose_prior=0.0, limits=0.0, shape=10.0), fraction=1.0, learning_rate=0.03)


def file_betas(person: ImportedPerson | None, body: BodyModel) -> Floats | None:
    """[B] of `body` that the file itself tells; None when it tells nothing of that body.

    Its own betas only when they are SMPL-X's and `body` is that; else the shape whose limbs are as long as those of
    the joints in the file.
    """
    if person is None:
        return None
    if person.model == "smplx" and not body.is_open and person.betas is not None:
        betas = np.zeros(body.num_betas)
        kept = min(len(betas), len(person.betas))
        betas[:kept] = person.betas[:kept]
        return betas
    if person.joints is None:
        return None
    frames = len(person.frames)
    skeleton = MotionSequence(
        name="the tool's joints",
        fps=1.0,
        rotations=person.rotations[:, None],
        pelvis=person.pelvis[:, None],
        valid=np.ones((frames, 1), bool),
        known=np.ones((1, 55), bool),
        joints=person.joints[:, None],
    )
    return fit_betas(skeleton, body)[0]


def fitted_betas(body: LandmarkBody, variables: MotionParameters, evidence: KeypointTracks, advance: Advance) -> Floats:
    """[P, B] with which the poses and distances as they are show the keypoints that were seen."""
    index = best_seen_frames(evidence, _FRAMES)
    subject = FitModel(body, load_pose_prior().to(evidence.seen.device))
    some, part = variables.frames(index), evidence.frames(index)
    fitted = run_phases(subject, some, part, (_SHAPE,), _ITERATIONS, advance, free=("betas", "ray"))
    return fitted.betas.cpu().numpy()


def choose_betas(told: Sequence[Floats | None], seen: Floats) -> Floats:
    """[P, B] what the file tells, else what was seen."""
    return np.stack([row if known is None else known for known, row in zip(told, seen, strict=True)])
