"""MotionSequence, betas from bone lengths.

Motion as a file tells it: of any skeleton, in one world, before it is put on a body.

The shape of a body whose bones are as long as those of a captured skeleton.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import least_squares

from closemesh.body.model import BodyModel
from closemesh.body.motion import rest_pelvis
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.structures import NUM_BODY_JOINTS, BodyMotion

NUM_JOINTS = 55


@dataclass(frozen=True)
class MotionSequence:
    """Motion of P people over T frames. Frame: world, y up, metres; rotations of the SMPL-X skeleton and its T-pose."""

    name: str
    """What the file calls itself, unique within its dataset."""
    fps: float
    rotations: Floats
    """[T, P, 55, 3, 3] relative to the parent; joint 0 is R_world_root."""
    pelvis: Floats
    """[T, P, 3] position of the pelvis joint, which, unlike SMPL-X's transl, belongs to no body."""
    valid: Bools
    """[T, P] the person was captured in this frame."""
    joint_valid: Bools
    """[P, 55] joints whose rotation was measured; the others are the identity and mean nothing."""
    betas: Floats | None = None
    """[P, B] one shape per person, of the body named below."""
    body_model: str | None = None
    """Which body the betas belong to; None when the file has no shape."""
    rest_joints: Floats | None = None
    """[P, 22, 3] the skeleton at rest, pelvis at the origin, when the file has one."""
    joints: Floats | None = None
    """[T, P, 22, 3] captured joint positions, when the file has them."""
    action: str = ""
    synthetic: bool = False
    """True when nobody ever moved like that: generated, not captured."""
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

    def frames(self, index: slice | np.ndarray) -> MotionSequence:
        """Some of the frames; a slice with a step also changes the rate."""
        step = index.step or 1 if isinstance(index, slice) else 1
        return replace(self._on_time(lambda array: array[index]), fps=self.fps / abs(step))

    def people(self, *persons: int) -> MotionSequence:
        """Some of the people, in this order."""
        order = list(persons)
        kept = self._on_time(lambda array: array[:, order])
        each = {name: value[order] for name, value in self._per_person().items() if value is not None}
        return replace(kept, **each)

    def _on_time(self, function: Callable[[np.ndarray], np.ndarray]) -> MotionSequence:
        names = ("rotations", "pelvis", "valid", "joints")
        arrays = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(self, **{name: function(array) for name, array in arrays.items()})

    def _per_person(self) -> dict[str, np.ndarray | None]:
        return {"joint_valid": self.joint_valid, "betas": self.betas, "rest_joints": self.rest_joints}


def to_body_motion(sequence: MotionSequence, body: BodyModel, betas: Floats | None = None) -> BodyMotion:
    """The sequence's rotations and pelvis on `body`; world frame.

    betas [P, B] of that body; by default the sequence's own when they belong to it, else the mean shape. Fingers that
    were not captured take the body's relaxed hands. Hands that met on another shape no longer do: see `retarget`.
    """
    if betas is None:
        betas = np.zeros((sequence.num_people, body.num_betas), np.float32)
        if sequence.betas is not None and sequence.body_model == body.name:
            kept = sequence.betas[:, : body.num_betas]  # A file may tell more of a shape than the body uses, or less.
            betas[:, : kept.shape[1]] = kept
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
    """A world-frame motion as a sequence; the inverse of `put_on_body`."""
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
    """Rotations [T, P, 55, 3, 3] from axis-angle [T, P, 22, 3] and which joints [P, 55] they tell."""
    frames, people = body_pose.shape[:2]
    rotations = np.tile(np.eye(3, dtype=np.float32), (frames, people, NUM_JOINTS, 1, 1))
    matrices = axis_angle_to_matrix(torch.as_tensor(body_pose, dtype=torch.float64))
    rotations[:, :, :NUM_BODY_JOINTS] = matrices.numpy()
    known = np.zeros((people, NUM_JOINTS), bool)
    known[:, :NUM_BODY_JOINTS] = True
    return rotations, known


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
"""Lengths that skeletons of all tools share. Spines, necks and collars they divide as they like."""

_TOLERANCE = 0.007  # Metres by which a limb may be off as readily as a beta by one.
_LOOSE = {  # Metres, of what bends and what every tool measures between other points.
    ("left_hip", "right_hip"): 0.03,
    ("left_shoulder", "right_shoulder"): 0.05,
    ("pelvis", "head"): 0.03,
}


def fit_betas(sequence: MotionSequence, body: BodyModel) -> Floats:
    """betas [P, B] of `body` by regularised least squares on the lengths of SPANS.

    Lengths are those of the sequence's skeleton at rest, or else medians over the frames of its joints. Lengths that
    are zero or not finite count for nothing. Raises InputError when the sequence has neither skeleton nor joints.
    """
    lengths = span_lengths(sequence)
    template = body.joint_template.double().cpu().numpy()
    directions = body.joint_shape_dirs[..., : body.num_betas].double().cpu().numpy()  # [55, 3, B]
    starts, ends = _ids()
    span, span_directions = template[ends] - template[starts], directions[ends] - directions[starts]
    tolerance = np.array([_LOOSE.get(pair, _TOLERANCE) for pair in SPANS])
    return np.stack([_fit(row, span, span_directions, tolerance) for row in lengths]).astype(np.float32)


def span_lengths(sequence: MotionSequence) -> Floats:
    """[P, len(SPANS)] metres; nan where a person is never seen. Raises InputError, see `fit_betas`."""
    starts, ends = _ids()
    if sequence.rest_joints is not None:
        return np.linalg.norm(sequence.rest_joints[:, ends] - sequence.rest_joints[:, starts], axis=-1)
    if sequence.joints is None:
        raise InputError(f"{sequence.name} has no skeleton and no joints, so no shape can be fitted to it")
    lengths = np.linalg.norm(sequence.joints[:, :, ends] - sequence.joints[:, :, starts], axis=-1)  # [T, P, S]
    rows = [lengths[sequence.valid[:, p], p] for p in range(sequence.num_people)]
    return np.stack([np.median(row, axis=0) if len(row) else np.full(len(SPANS), np.nan) for row in rows])


def _fit(lengths: Floats, span: Floats, span_directions: Floats, tolerance: Floats) -> Floats:
    """betas [B] of one person; span [S, 3] of the mean body, span_directions [S, 3, B] by beta."""
    told = np.isfinite(lengths) & (lengths > 0)

    def residuals(betas: Floats) -> Floats:
        fitted = np.linalg.norm(span + span_directions @ betas, axis=-1)
        return np.concatenate([((fitted - lengths) / tolerance)[told], betas])

    def jacobian(betas: Floats) -> Floats:
        bones = span + span_directions @ betas
        along = bones / np.linalg.norm(bones, axis=-1, keepdims=True)
        slopes = np.einsum("si,sib->sb", along, span_directions) / tolerance[:, None]
        return np.concatenate([slopes[told], np.eye(len(betas))])

    return least_squares(residuals, np.zeros(span_directions.shape[-1]), jac=jacobian).x  # type: ignore[arg-type]


def _ids() -> tuple[list[int], list[int]]:
    return [JOINT_INDEX[start] for start, _ in SPANS], [JOINT_INDEX[end] for _, end in SPANS]
