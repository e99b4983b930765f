"""Pose and shape of the body for imported people: fit to imported keypoints, and betas from the file or the clip."""

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
from closemesh.fitting.keypoint_tracks import KeypointTracks, best_observed_frames
from closemesh.fitting.objective import FitModel, run_phases
from closemesh.fitting.optimizer import SIGMAS, Phase, Weights, minimize
from closemesh.importers.results import ImportedPerson
from closemesh.initialization.multi_start import initial_parameters
from closemesh.losses.joint_limits import finger_axes, hand_pose_penalty, joint_limit_excess
from closemesh.losses.keypoints import pseudo_huber
from closemesh.losses.pose_prior import PosePrior, load_pose_prior, pose_prior_nll
from closemesh.motion_files.sequence import MotionSequence, fit_betas
from closemesh.structures import NUM_BODY_JOINTS, NUM_KEYPOINTS3D, Camera, Observations

STEPS = (60, 120)
"""Optimizer steps: body, then body and hands."""
_SIGMA, _HAND_SIGMA = 0.015, 0.005  # Meters: how much bodies differ in the position of a keypoint.
_HUBER_DELTA = 3.0  # Sigmas.
_PRIOR_WEIGHT = 0.1
_HANDS = slice(91, 133)
_HIPS = slice(11, 13)
_START_FOCAL = 1000.0  # Pixels; of the virtual camera that gives start values.
_CHUNK = 256  # Frames per fit; the first chunk also estimates the shape.

_SHAPE_FRAMES = 24  # Evenly from the clip.
_SHAPE_ITERATIONS = 60
# Poses and distances are those of the tool, so size in the image determines shape.
_SHAPE = Phase("shape", Weights(limbs=0.0, pose_prior=0.0, limits=0.0, shape=10.0), fraction=1.0, learning_rate=0.03)


@dataclass(frozen=True)
class _KeypointFit:
    body: LandmarkBody
    prior: PosePrior
    keypoints: Tensor  # [T, 1, 133, 3] meters
    weights: Tensor  # [T, 1, 133] 1 where known


def fit_keypoints(person: ImportedPerson, body: LandmarkBody, advance: Advance = lambda steps: None) -> ImportedPerson:
    """The person with rotations, pelvis and joints of `body` fitted to its keypoints; unchanged when it has none.

    body: on the CPU. One shape for all frames; frames are fitted independently and smoothed later. Frame: camera of
    the tool.
    """
    if person.keypoints is None:
        return person
    chunks, betas = [], None
    for first in range(0, len(person.frames), _CHUNK):
        fitted = _fit(person.keypoints[first : first + _CHUNK], body, betas, advance)
        betas = fitted.betas
        chunks.append(fitted)
    posed = [pose_parameters(body, chunk) for chunk in chunks]
    joints = torch.cat([one.joints[:, 0, :NUM_BODY_JOINTS] for one in posed]).double().numpy()
    rotations = torch.cat([chunk.rotations()[:, 0] for chunk in chunks]).double().numpy()
    hands_known = bool(np.isfinite(person.keypoints[:, _HANDS]).all(-1).mean() > 0.5)
    return replace(person, rotations=rotations, pelvis=joints[:, 0], joints=joints, hands_known=hands_known)


def _fit(keypoints: Floats, body: LandmarkBody, betas: Tensor | None, advance: Advance) -> MotionParameters:
    """Parameters for keypoints [T, 133, 3]; betas [1, B] are fitted too unless given."""
    known = np.asarray(np.isfinite(keypoints).all(-1))
    filled = torch.as_tensor(np.where(known[..., None], keypoints, 0), dtype=torch.float32)[:, None]
    task = _KeypointFit(body, load_pose_prior(), filled, torch.as_tensor(known, dtype=torch.float32)[:, None])
    variables = _start(keypoints, known, body, betas)
    shape = () if betas is not None else ("betas",)
    free = ("root", "body_pose", "pelvis_ray", "log_depth", *shape)
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


def _start(keypoints: Floats, known: Bools, body: LandmarkBody, betas: Tensor | None) -> MotionParameters:
    """Torso and limb directions of the keypoints, taken as monocular 3D keypoints of a virtual camera."""
    frames = len(keypoints)
    depth = np.where(known, keypoints[..., 2], 1.0)[..., None]
    pixels = np.where(known[..., None], keypoints[..., :2] / depth * _START_FOCAL, 0)
    mid_hip = keypoints[:, _HIPS].mean(1, keepdims=True)
    relative = np.where(known[:, :NUM_KEYPOINTS3D, None], keypoints[:, :NUM_KEYPOINTS3D] - mid_hip, 0)
    confidence = known.astype(np.float64)[..., None]
    observations = Observations(
        boxes=np.concatenate([pixels.min(1), pixels.max(1)], -1)[:, None],
        keypoints=np.concatenate([pixels, confidence], -1)[:, None],
        sigmas=np.ones((frames, 1, len(known[0]))),
        keypoints3d=np.concatenate([relative, confidence[:, :NUM_KEYPOINTS3D]], -1)[:, None],
        detected=np.ones((frames, 1), bool),
        track_confidence=np.ones((frames, 1)),
        detector="points",
    )
    camera = Camera(_START_FOCAL, (0.0, 0.0), (1, 1), "option", np.tile(np.eye(4), (frames, 1, 1)))
    tracks = KeypointTracks.from_observations(observations, np.arange(frames) / 30, camera, "cpu")
    return initial_parameters(body, tracks, torch.zeros(1, body.num_betas) if betas is None else betas)[0]


def _loss(task: _KeypointFit, variables: MotionParameters, hands: bool) -> Tensor:
    """Keypoint distance, pose prior, joint limits, hand pose and shape prior as one number."""
    posed = pose_parameters(task.body, variables)
    keypoints = _keypoint_loss(task, posed)
    if not hands:
        keypoints = keypoints[..., : _HANDS.start]
    prior = pose_prior_nll(task.prior, variables.body_pose)
    excess = (joint_limit_excess(variables.body_pose) / SIGMAS.limit).square().sum((-1, -2))
    axes = finger_axes(task.body.rest_joints(variables.betas))
    fingers = hand_pose_penalty(variables.hand_pose, task.body.hand_mean.flatten(0, 1), axes)
    return keypoints.sum() + (_PRIOR_WEIGHT * prior + excess).sum() + fingers.sum() + variables.betas.square().sum()


def _keypoint_loss(task: _KeypointFit, posed: PosedLandmarks) -> Tensor:
    """[T, 1, 133]."""
    sigmas = torch.full_like(task.weights, _SIGMA)
    sigmas[..., _HANDS] = _HAND_SIGMA
    squared = (posed.keypoints - task.keypoints).square().sum(-1) / sigmas.square()
    return pseudo_huber(squared, _HUBER_DELTA) * task.weights


def file_betas(person: ImportedPerson | None, body: BodyModel) -> Floats | None:
    """Betas [B] of `body` that follow from the file; None when it has neither betas nor joints that apply to it.

    The file's betas apply only when both it and `body` are SMPL-X, or both the bundled body. Otherwise they are fitted
    to the bone lengths of the file's joints.
    """
    if person is None:
        return None
    own = "closemesh_open" if body.is_bundled else "smplx"
    if person.model == own and person.betas is not None:
        betas = np.zeros(body.num_betas)
        count = min(len(betas), len(person.betas))
        betas[:count] = person.betas[:count]
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
        joint_valid=np.ones((1, 55), bool),
        joints=person.joints[:, None],
    )
    return fit_betas(skeleton, body)[0]


def fitted_betas(body: LandmarkBody, variables: MotionParameters, tracks: KeypointTracks, advance: Advance) -> Floats:
    """Betas [P, B] that reproject best on the keypoints of the clip, with poses and distances fixed."""
    index = best_observed_frames(tracks, _SHAPE_FRAMES)
    model = FitModel(body, load_pose_prior().to(tracks.detected.device))
    parameters, subset = variables.frames(index), tracks.frames(index)
    fitted = run_phases(model, parameters, subset, (_SHAPE,), _SHAPE_ITERATIONS, advance, free=("betas", "pelvis_ray"))
    return fitted.betas.cpu().numpy()


def choose_betas(from_file: Sequence[Floats | None], from_clip: Floats) -> Floats:
    """Betas [P, B] of the file, and of the clip for people without betas in the file.

    from_file: betas [B] for each person, or None. from_clip [P, B].
    """
    return np.stack([row if known is None else known for known, row in zip(from_file, from_clip, strict=True)])
