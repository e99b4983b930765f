"""MotionSequence, captured motion of any skeleton in one world, its transfer to a body, and betas from bone lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.motion import rest_pelvis
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.core.tensor_dataclass import TensorDataclass, static
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.structures import NUM_BODY_JOINTS, BodyMotion

NUM_JOINTS = 55

_LIMITS = {"rotations": 1.01, "pelvis": 1e6, "joints": 1e6, "rest_joints": 1e6, "betas": 1e4}  # Meters; magnitudes.
_MIN_FPS, _MAX_FPS = 1e-3, 1e4
_NOT_A_ROTATION = 0.05  # Largest error of R R^T; files in half precision have 0.002.


@dataclass(frozen=True)
class MotionSequence(TensorDataclass):
    """Motion of P people over T frames; world frame, y up, meters, rotations relative to the T-pose of SMPL-X."""

    name: str
    """Unique within its data set."""
    fps: float
    rotations: Floats
    """[T, P, 55, 3, 3] relative to the parent; joint 0 is R_world_root."""
    pelvis: Floats
    """[T, P, 3] position of the pelvis joint, which depends on no body, unlike transl of SMPL-X."""
    valid: Bools
    """[T, P] the person was captured in this frame."""
    joint_valid: Bools = field(metadata=static(people_axis=0))
    """[P, 55] joints whose rotation was measured; the others are the identity."""
    betas: Floats | None = field(default=None, metadata=static(people_axis=0))
    """[P, B] one shape per person, of `body_model`."""
    body_model: str | None = None
    """Name of the body that the betas belong to; None without betas."""
    rest_joints: Floats | None = field(default=None, metadata=static(people_axis=0))
    """[P, 22, 3] joints at rest, pelvis at the origin; None when the file has no skeleton."""
    joints: Floats | None = None
    """[T, P, 22, 3] captured joint positions; None when the file has none."""
    action: str = ""
    synthetic: bool = False
    """True for generated motion, False for captured motion."""
    attribution: str = ""

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def num_people(self) -> int:
        return self.rotations.shape[1]

    @property
    def times(self) -> Floats:
        """[T] seconds."""
        return np.arange(len(self)) / self.fps

    def frames(self, index: slice | Sequence[int] | Tensor | NDArray) -> MotionSequence:
        """The frames at `index` [t]; a slice with a step also changes the rate."""
        step = index.step or 1 if isinstance(index, slice) else 1
        return replace(super().frames(index), fps=self.fps / abs(step))


def checked_sequence(sequence: MotionSequence) -> MotionSequence:
    """The sequence, unchanged. Raises ValueError when numbers are not finite, or are beyond what people can do."""
    if not _MIN_FPS <= sequence.fps <= _MAX_FPS:
        raise ValueError(f"{sequence.fps:g} frames a second, which must be from {_MIN_FPS:g} to {_MAX_FPS:g}")
    if not len(sequence) or not sequence.num_people:
        raise ValueError("no frames or no people")
    check_limits(**{name: getattr(sequence, name) for name in _LIMITS})
    return sequence


def check_limits(**arrays: Floats | None) -> None:
    """Checks arrays [...] by the names of fields of MotionSequence, None included.

    Raises ValueError when one holds a number that is not finite or beyond what people can do.
    """
    for name, array in arrays.items():
        if array is not None and not (np.abs(array) <= _LIMITS[name]).all():
            raise ValueError(f"{name} hold numbers that are not finite or beyond {_LIMITS[name]:g}")


def check_rotations(name: str, rotations: Floats) -> Floats:
    """rotations [..., 3, 3], unchanged. Raises ValueError when a matrix is no rotation."""
    error = np.abs(rotations @ np.swapaxes(rotations, -1, -2) - np.eye(3))
    if not (error <= _NOT_A_ROTATION).all() or not (np.linalg.det(rotations) > 0).all():
        raise ValueError(f"{name} holds matrices that are no rotations")
    return rotations


def to_body_motion(sequence: MotionSequence, body: BodyModel, betas: Floats | None = None) -> BodyMotion:
    """The rotations and pelvis positions of `sequence` on `body`, world frame.

    betas [P, B] of that body; by default those of the sequence when they belong to it, else the mean shape. Fingers
    that were not captured get the relaxed hands of the body. Contacts between people are not preserved.
    """
    if betas is None:
        betas = np.zeros((sequence.num_people, body.num_betas), np.float32)
        if sequence.betas is not None and sequence.body_model == body.name:
            used = sequence.betas[:, : body.num_betas]  # A file may have more or fewer betas than the body.
            betas[:, : used.shape[1]] = used
    shape = torch.as_tensor(betas, dtype=body.joint_template.dtype, device=body.joint_template.device)
    pelvis_rest = rest_pelvis(body, shape).cpu().numpy()  # [P, 3]
    return BodyMotion(
        body_model=body.name,
        betas=np.asarray(betas, np.float32),
        rotations=_with_relaxed_hands(sequence, body),
        transl=(sequence.pelvis - pelvis_rest).astype(np.float32),
        expression=np.zeros((len(sequence), sequence.num_people, body.num_expressions), np.float32),
        valid=sequence.valid,
        confidence=sequence.valid.astype(np.float32),
    )


def from_body_motion(motion: BodyMotion, body: BodyModel, name: str, fps: float, **about: object) -> MotionSequence:
    """A world-frame motion on `body` as a sequence, the inverse of `to_body_motion`; `about`: further fields of it."""
    pelvis_rest = rest_pelvis(body, torch.as_tensor(motion.betas, dtype=body.joint_template.dtype))
    return MotionSequence(
        name=name,
        fps=fps,
        rotations=motion.rotations,
        pelvis=(motion.transl + pelvis_rest.cpu().numpy()).astype(np.float32),
        valid=motion.valid,
        joint_valid=np.ones((motion.num_people, NUM_JOINTS), bool),
        betas=motion.betas,
        body_model=motion.body_model,
        **about,  # type: ignore[arg-type]
    )


def body_rotations(body_pose: Floats) -> tuple[Floats, Bools]:
    """Rotations [T, P, 55, 3, 3] of axis-angle body_pose [T, P, 22, 3], and the joints [P, 55] that it contains."""
    frames, people = body_pose.shape[:2]
    rotations = np.tile(np.eye(3, dtype=np.float32), (frames, people, NUM_JOINTS, 1, 1))
    matrices = axis_angle_to_matrix(torch.as_tensor(body_pose, dtype=torch.float64))
    rotations[:, :, :NUM_BODY_JOINTS] = matrices.numpy()
    joint_valid = np.zeros((people, NUM_JOINTS), bool)
    joint_valid[:, :NUM_BODY_JOINTS] = True
    return rotations, joint_valid


def _with_relaxed_hands(sequence: MotionSequence, body: BodyModel) -> Floats:
    relaxed = axis_angle_to_matrix(body.hand_mean).cpu().numpy().reshape(30, 3, 3)
    rotations = sequence.rotations.astype(np.float32)
    fingers = np.where(sequence.joint_valid[:, 25:, None, None], rotations[:, :, 25:], relaxed)
    return np.concatenate([rotations[:, :, :25], fingers.astype(np.float32)], axis=2)


_LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
SPANS: tuple[tuple[str, str], ...] = (
    *((f"{side}_{start}", f"{side}_{end}") for side in ("left", "right") for start, end in _LIMBS),
    ("left_hip", "right_hip"),
    ("left_shoulder", "right_shoulder"),
    ("pelvis", "head"),
)
"""Pairs of joints whose distance is comparable between skeletons; spine, neck and collar joints differ."""

_TOLERANCE = 0.007  # Meters of error of a limb that cost as much as a beta of one.
_LOOSE = {  # Meters, for lengths that bend or that tools measure between different points.
    ("left_hip", "right_hip"): 0.03,
    ("left_shoulder", "right_shoulder"): 0.05,
    ("pelvis", "head"): 0.03,
}


def fit_betas(sequence: MotionSequence, body: BodyModel) -> Floats:
    """betas [P, B] of `body` by regularized least squares on the lengths of SPANS.

    Lengths are those of the skeleton at rest, else medians over the frames of the joints. Zero and non-finite lengths
    are ignored. Raises InputError when the sequence has neither skeleton nor joints.
    """
    lengths = span_lengths(sequence)
    template = body.joint_template.double().cpu().numpy()
    directions = body.joint_shape_dirs[..., : body.num_betas].double().cpu().numpy()  # [55, 3, B]
    starts, ends = _ids()
    span, span_directions = template[ends] - template[starts], directions[ends] - directions[starts]
    tolerance = np.array([_LOOSE.get(pair, _TOLERANCE) for pair in SPANS])
    return np.stack([_fit(row, span, span_directions, tolerance) for row in lengths]).astype(np.float32)


def span_lengths(sequence: MotionSequence) -> Floats:
    """Lengths [P, len(SPANS)] in meters; nan for a person who is never valid. Raises InputError, see `fit_betas`."""
    starts, ends = _ids()
    if sequence.rest_joints is not None:
        return np.linalg.norm(sequence.rest_joints[:, ends] - sequence.rest_joints[:, starts], axis=-1)
    if sequence.joints is None:
        raise InputError(f"{sequence.name} has no skeleton and no joints, so no shape can be fitted to it")
    lengths = np.linalg.norm(sequence.joints[:, :, ends] - sequence.joints[:, :, starts], axis=-1)  # [T, P, S]
    rows = [lengths[sequence.valid[:, p], p] for p in range(sequence.num_people)]
    return np.stack([np.median(row, axis=0) if len(row) else np.full(len(SPANS), np.nan) for row in rows])


def _fit(lengths: Floats, span: Floats, span_directions: Floats, tolerance: Floats) -> Floats:
    """betas [B] of lengths [S]; span [S, 3] of the mean body, span_directions [S, 3, B] its change by beta."""
    valid = np.isfinite(lengths) & (lengths > 0)

    def residuals(betas: Floats) -> Floats:
        fitted = np.linalg.norm(span + span_directions @ betas, axis=-1)
        return np.concatenate([((fitted - lengths) / tolerance)[valid], betas])

    def jacobian(betas: Floats) -> Floats:
        bones = span + span_directions @ betas
        along = bones / np.linalg.norm(bones, axis=-1, keepdims=True)
        slopes = np.einsum("si,sib->sb", along, span_directions) / tolerance[:, None]
        return np.concatenate([slopes[valid], np.eye(len(betas))])

    return least_squares(residuals, np.zeros(span_directions.shape[-1]), jac=jacobian).x  # type: ignore[arg-type]


def _ids() -> tuple[list[int], list[int]]:
    return [JOINT_INDEX[start] for start, _ in SPANS], [JOINT_INDEX[end] for _, end in SPANS]
