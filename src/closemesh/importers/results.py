"""What a file of another tool tells, whatever its format: people over frames, and the camera it saw them with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Floats
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.motion_files.sequence import NUM_JOINTS
from closemesh.motion_files.smpl_parameters import Model, rest_pelvis
from closemesh.structures import NUM_BODY_JOINTS


@dataclass(frozen=True)
class ToolCamera:
    """A pinhole over the full frame of the clip, pixels; OpenCV axes."""

    focal: float
    centre: tuple[float, float]
    of_crops: bool = False
    """True when the focal length is a convention of the crops that the tool looked at, not of the clip."""


@dataclass(frozen=True)
class ImportedPerson:
    """One person in N frames of the clip. Frame: the tool's camera, or its world when it tells no camera."""

    frames: NDArray[np.int64]
    """[N] position among the decoded frames of the clip's file, from 0."""
    rotations: Floats
    """[N, 55, 3, 3] relative to the parent, root first; the identity where nothing is known."""
    pelvis: Floats
    """[N, 3] metres."""
    confidence: Floats
    """[N] 0..1, as the tool says, else 1."""
    model: Model
    """Whose betas they are; those of SMPL say nothing of another body."""
    betas: Floats | None = None
    """[B]."""
    joints: Floats | None = None
    """[N, 22, 3] of the tool's own body, any origin; nan for joints that the file lacks."""
    known_hands: bool = False
    points: Floats | None = None
    """[N, 133, 3] keypoints of a body that is none of SMPL's, nan where unknown: rotations, pelvis and joints are then
    still to be found by a fit (point_fit.py)."""


@dataclass(frozen=True)
class ImportedResult:
    """What one file tells."""

    tool: str
    people: tuple[ImportedPerson, ...]
    camera: ToolCamera | None
    """None when the file tells only a world."""


def smpl_person(
    frames: NDArray[np.int64],
    rotations: Floats,
    transl: Floats,
    betas: Floats | None,
    model: Model,
    confidence: Floats | None = None,
    joints: Floats | None = None,
) -> ImportedPerson:
    """A person out of SMPL-family parameters; rotations [N, >= 22, 3, 3] or axis-angle [N, >= 22, 3], transl [N, 3].

    The pelvis is transl + the pelvis at rest, which is the published mean: no licensed file is asked for. SMPL's last
    two joints, the hands, have no like in SMPL-X.
    """
    if rotations.ndim == 3:
        rotations = axis_angle_to_matrix(torch.as_tensor(rotations, dtype=torch.float64)).numpy()
    full = np.tile(np.eye(3), (len(frames), NUM_JOINTS, 1, 1))
    full[:, :NUM_BODY_JOINTS] = rotations[:, :NUM_BODY_JOINTS]
    return ImportedPerson(
        frames=np.asarray(frames, np.int64),
        rotations=full,
        pelvis=transl + rest_pelvis(model, "neutral"),
        confidence=np.ones(len(frames)) if confidence is None else confidence,
        model=model,
        betas=betas,
        joints=joints,
    )


def person_of_points(frames: NDArray[np.int64], points: Floats) -> ImportedPerson:
    """A person of whom keypoints [N, 133, 3] are told, metres, and no pose."""
    hips = points[:, [KEYPOINT_INDEX["left_hip"], KEYPOINT_INDEX["right_hip"]]].mean(1)
    return ImportedPerson(
        frames=np.asarray(frames, np.int64),
        rotations=np.tile(np.eye(3), (len(frames), NUM_JOINTS, 1, 1)),
        pelvis=hips,
        confidence=np.ones(len(frames)),
        model="smplx",
        points=points,
    )
