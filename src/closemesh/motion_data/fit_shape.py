"""The shape of a body whose bones are as long as those of a captured skeleton."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.errors import InputError
from closemesh.motion_data.sequence import MotionSequence
from closemesh.scene import Floats

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
