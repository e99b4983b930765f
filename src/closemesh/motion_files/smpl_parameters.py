"""Parameters of the SMPL family, as data sets store them, to MotionSequence; rest position of the pelvis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from closemesh.body.model import BodyModel
from closemesh.body.motion import rest_pelvis
from closemesh.core.arrays import Bools, Floats
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.motion_files.sequence import MotionSequence, checked_sequence
from closemesh.structures import NUM_BODY_JOINTS

# Joint 0 of each body at rest with zero betas, meters; published with SMPL (Loper et al. 2015), SMPL-H (Romero et al.
# 2017) and SMPL-X (Pavlakos et al. 2019). SMPL-H has the body of SMPL.
_SMPL = {
    "neutral": (-0.0018, -0.2233, 0.0282),
    "male": (-0.00217368, -0.24078918, 0.02858379),
    "female": (-0.00087631, -0.21141872, 0.02782112),
}
_SMPLX_NEUTRAL = (0.00312326, -0.35140747, 0.01203655)
MEAN_REST_PELVIS = {"smpl": _SMPL, "smplh": _SMPL, "smplx": dict.fromkeys(_SMPL, _SMPLX_NEUTRAL)}
"""By model, then by gender; for SMPL-X always the neutral one."""


def smpl_rest_pelvis(model: str, gender: str, betas: Floats | None = None, body: BodyModel | None = None) -> Floats:
    """Rest position of the pelvis [..., 3] or [3] in meters, to be added to transl.

    model: smpl, smplh or smplx. Exact when `body` is an SMPL-X body and betas [..., B] belong to it. Else the published
    mean, which ignores the shape: male and female differ by 29 mm.
    """
    if model == "smplx" and body is not None and not body.is_bundled and betas is not None:
        shape = np.zeros((*betas.shape[:-1], body.num_betas))
        count = min(body.num_betas, betas.shape[-1])
        shape[..., :count] = betas[..., :count]
        return rest_pelvis(body, torch.as_tensor(shape).to(body.joint_template)).double().cpu().numpy()
    by_gender = MEAN_REST_PELVIS[model]
    return np.array(by_gender.get(gender, by_gender["neutral"]))


Model = Literal["smpl", "smplh", "smplx"]

PARTS = {
    "root_orient": slice(0, 3),
    "pose_body": slice(3, 66),
    "pose_jaw": slice(66, 69),
    "pose_eye": slice(69, 75),
    "pose_hand": slice(75, 165),
}
"""Position of each part of the pose among the 165 numbers of SMPL-X."""
BODY_PARTS = ("root_orient", "pose_body")


@dataclass(frozen=True)
class SmplParameters:
    """One person over T frames, world frame of the file."""

    model: Model
    gender: str
    transl: Floats  # [T, 3]
    parts: dict[str, Floats]
    """Axis-angle [T, 3 N] by the names of PARTS; root_orient and pose_body are required."""
    betas: Floats | None = None  # [B]
    valid: Bools | None = None  # [T]
    joints: Floats | None = None
    """[T, 22 or more, 3] joints of the fitted body, which give the exact pelvis; None when the file has none."""
    body_name: str | None = None
    """Body that the betas belong to; by default that of `model` and `gender`."""


def smpl_sequence(
    name: str, fps: float, person: SmplParameters, R_world_file: Floats, body: BodyModel | None = None
) -> MotionSequence:
    """One person as a MotionSequence, rotated by R_world_file [3, 3] to y up; for the pelvis see `smpl_rest_pelvis`.

    The joints of a part that is zero in all frames, except the body, are not valid. Raises ValueError, see
    `checked_sequence`.
    """
    rotations, joint_valid = _rotations(person.parts)
    rotations[:, 0] = R_world_file @ rotations[:, 0]
    joints = None if person.joints is None else person.joints[:, :NUM_BODY_JOINTS] @ R_world_file.T
    if joints is None:
        pelvis = (person.transl + smpl_rest_pelvis(person.model, person.gender, person.betas, body)) @ R_world_file.T
    else:
        pelvis = joints[:, 0]
    valid = np.ones(len(pelvis), bool) if person.valid is None else person.valid
    sequence = MotionSequence(
        name=name,
        fps=fps,
        rotations=rotations[:, None].astype(np.float32),
        pelvis=pelvis[:, None].astype(np.float32),
        valid=valid[:, None].astype(bool),
        joint_valid=joint_valid[None],
        betas=None if person.betas is None else person.betas[None].astype(np.float32),
        body_model=None if person.betas is None else person.body_name or body_name(person.model, person.gender),
        joints=None if joints is None else joints[:, None].astype(np.float32),
    )
    return checked_sequence(sequence)


def merge_people(people: Sequence[MotionSequence], name: str) -> MotionSequence:
    """People with the same frames and rate as one sequence; names of different bodies are joined by a comma.

    Raises ValueError when their frames or rates differ.
    """
    if len({(len(person), person.fps) for person in people}) != 1:
        raise ValueError("people with other numbers of frames or rates")

    def concatenate(field: str, axis: int) -> np.ndarray | None:
        arrays = [getattr(person, field) for person in people]
        return None if any(array is None for array in arrays) else np.concatenate(arrays, axis=axis)

    on_time = {field: concatenate(field, 1) for field in ("rotations", "pelvis", "valid", "joints")}
    each = {field: concatenate(field, 0) for field in ("joint_valid", "betas", "rest_joints")}
    bodies = dict.fromkeys(person.body_model for person in people if person.body_model)
    return replace(people[0], name=name, body_model=",".join(bodies) or None, **on_time, **each)


def body_name(model: str, gender: str) -> str:
    """The name of a body of the family in closemesh, such as smplx/SMPLX_NEUTRAL."""
    return f"{model}/{model.upper()}_{gender.upper()}"


def _rotations(parts: dict[str, Floats]) -> tuple[Floats, Bools]:
    """Rotations [T, 55, 3, 3], the identity for missing parts, and the valid joints [55]."""
    full, valid = np.zeros((len(parts["root_orient"]), 165)), np.zeros(165, bool)
    for name, part in parts.items():
        full[:, PARTS[name]] = part
        valid[PARTS[name]] = name in BODY_PARTS or bool(np.any(part))
    return axis_angle_to_matrix(torch.as_tensor(full).unflatten(1, (-1, 3))).numpy(), valid[::3]
