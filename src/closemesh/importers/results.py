"""The common form of another tool's result: people over frames and the camera that they are seen by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_number
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.motion_files.sequence import NUM_JOINTS, check_limits, check_rotations
from closemesh.motion_files.smpl_parameters import Model, smpl_rest_pelvis
from closemesh.structures import NUM_BODY_JOINTS


@dataclass(frozen=True)
class ToolCamera:
    """Pinhole camera over the full frame of the clip; OpenCV axes."""

    focal: float
    """Pixels."""
    principal_point: tuple[float, float]
    """x and y in pixels."""
    crop_focal: bool = False
    """True when the focal length is a convention for the tool's crops, not an estimate for the clip."""


_MAX_PIXELS = 1e7  # Of a focal length or principal point.


@dataclass(frozen=True)
class ImportedPerson:
    """One person in N frames. Frame: camera of the tool, or its world when the file has no camera."""

    frames: NDArray[np.int64]
    """[N] indices into the decoded frames of the clip's file, from 0."""
    rotations: Floats
    """[N, 55, 3, 3] relative to the parent joint, root first; identity where unknown."""
    pelvis: Floats
    """[N, 3] meters."""
    confidence: Floats
    """[N] 0..1; 1 where the file has none."""
    model: Model | Literal["closemesh_open"]
    """Body model that the betas belong to."""
    betas: Floats | None = None
    """[B]."""
    joints: Floats | None = None
    """[N, 22, 3] meters, joints of the tool's own body, any origin; nan for joints that are not in the file."""
    hands_known: bool = False
    """True when the finger rotations come from the file."""
    keypoints: Floats | None = None
    """[N, 133, 3] meters, nan where unknown: keypoints of a body outside the SMPL family. Rotations, pelvis and joints
    then come from `body_fitting.fit_keypoints`."""


@dataclass(frozen=True)
class ImportedResult:
    """Content of one result file."""

    tool: str
    people: tuple[ImportedPerson, ...]
    camera: ToolCamera | None
    """None when the people are in a world without a camera."""


def check_result(path: Path, result: ImportedResult) -> None:
    """Checks what was read from `path`. Raises InputError when a number is not finite or beyond what people can do."""
    if result.camera is not None:
        expect_number(path, "the focal length", result.camera.focal, 1e-3, _MAX_PIXELS)
        for value in result.camera.principal_point:
            expect_number(path, "the principal point", value, -_MAX_PIXELS, _MAX_PIXELS)
    for person in result.people:
        known = [values[~np.isnan(values)] for values in (person.joints, person.keypoints) if values is not None]
        try:
            check_limits(rotations=person.rotations, pelvis=person.pelvis, betas=person.betas)
            check_limits(joints=np.concatenate([person.confidence, *known]))
            check_rotations("the pose", person.rotations)
        except ValueError as error:
            raise InputError(f"{path}: {error}; the file is not as documented") from error


def smpl_person(
    frames: NDArray[np.int64],
    rotations: Floats,
    transl: Floats,
    betas: Floats | None,
    model: Model,
    confidence: Floats | None = None,
    joints: Floats | None = None,
) -> ImportedPerson:
    """The person that SMPL-family parameters describe.

    frames [N], rotations [N, >= 22, 3, 3] or axis-angle [N, >= 22, 3], transl [N, 3] meters, betas [B],
    confidence [N], joints [N, 22, 3] meters. The pelvis is transl plus the published mean rest pelvis, so no licensed
    file is needed. SMPL's last two joints, the hands, have no counterpart in SMPL-X.
    """
    if rotations.ndim == 3:
        rotations = axis_angle_to_matrix(torch.as_tensor(rotations, dtype=torch.float64)).numpy()
    full = np.tile(np.eye(3), (len(frames), NUM_JOINTS, 1, 1))
    full[:, :NUM_BODY_JOINTS] = rotations[:, :NUM_BODY_JOINTS]
    return ImportedPerson(
        frames=np.asarray(frames, np.int64),
        rotations=full,
        pelvis=transl + smpl_rest_pelvis(model, "neutral"),
        confidence=np.ones(len(frames)) if confidence is None else confidence,
        model=model,
        betas=betas,
        joints=joints,
    )


def person_from_keypoints(frames: NDArray[np.int64], keypoints: Floats) -> ImportedPerson:
    """The person with keypoints [N, 133, 3] in meters, in frames [N], and no pose yet; the pelvis is the mid-hip."""
    hips = keypoints[:, [KEYPOINT_INDEX["left_hip"], KEYPOINT_INDEX["right_hip"]]].mean(1)
    return ImportedPerson(
        frames=np.asarray(frames, np.int64),
        rotations=np.tile(np.eye(3), (len(frames), NUM_JOINTS, 1, 1)),
        pelvis=hips,
        confidence=np.ones(len(frames)),
        model="smplx",
        keypoints=keypoints,
    )
