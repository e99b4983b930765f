"""Records that stages pass on, of numpy arrays.

Shapes: T frames, P people, J joints (22 body, 55 in all), V vertices, F faces, K keypoints (133, COCO-WholeBody).
Units: meters, seconds, radians, pixels. Frames: `cam` is OpenCV (x right, y down, z forward); `world` is y up,
gravity-aligned, floor at y = 0 when it was found. `T_a_b` takes points of b to a.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import NonFiniteError
from closemesh.core.records import array_of, may_be_nan, positive, stored_as
from closemesh.core.tensor_dataclass import TensorDataclass, axis_names, no_people, static

NUM_BODY_JOINTS = 22
NUM_KEYPOINTS = 133
NUM_KEYPOINTS3D = 23  # COCO-WholeBody 0-22: body and feet.

FocalSource = Literal["option", "sidecar", "metadata", "estimated"]


@dataclass(frozen=True)
class Clip:
    """The frames to reconstruct: the file, the indices of the frames and their presentation times."""

    path: Path
    """A video file, or a folder of images."""
    sha256: str
    frame_indices: NDArray[np.int64] = field(metadata=array_of("T"))
    """[T] index of each processed frame among the decoded frames of the file."""
    times: Floats = field(metadata=array_of("T"))
    """[T] presentation time of each processed frame, seconds from the first frame of the file."""
    size: tuple[int, int] = field(metadata=positive())
    """Width and height in pixels, after the rotation stored in the file."""
    fps: float = field(metadata=positive())
    """Mean rate of the processed frames."""
    focal_px: float | None = field(default=None, metadata=positive())
    """Focal length in pixels for this size from the metadata of the file; None when they have none."""
    focal_log_std: float = 0.1
    """Standard deviation of the logarithm of `focal_px`; the default is that of results of older versions."""

    def __len__(self) -> int:
        return len(self.frame_indices)


@dataclass(frozen=True)
class Camera(TensorDataclass):
    """Full-frame pinhole camera without distortion, and its pose in the world."""

    focal: float = field(metadata=positive())
    """Focal length in pixels, the same along x and y."""
    principal_point: tuple[float, float] = field(metadata=stored_as("centre"))
    """Pixels."""
    size: tuple[int, int] = field(metadata=positive())
    focal_source: FocalSource
    T_cam_world: Floats = field(metadata={**no_people(), **array_of("T", 4, 4)})
    """[T, 4, 4]; the same in every frame for a static camera."""
    floor_found: bool = False
    """True when y = 0 of `world` is a floor that feet stand on; else only the direction of gravity is estimated."""
    focal_std: float = 0.0
    """Standard deviation of the focal length, pixels; 0 when it is given as exact."""
    up_std: float = 0.0
    """Standard deviation of `up`, radians about each axis; 0 where the camera is only assumed to be level."""

    @property
    def K(self) -> Floats:
        """Intrinsic matrix [3, 3]: `K @ point_cam` are homogeneous pixels."""
        x, y = self.principal_point
        return np.array([[self.focal, 0.0, x], [0.0, self.focal, y], [0.0, 0.0, 1.0]])

    @property
    def up(self) -> Floats:
        """Unit vectors [T, 3] against gravity, camera axes."""
        return self.T_cam_world[:, :3, 1]


@dataclass(frozen=True)
class Observations:
    """Detections in the images: boxes, keypoints, monocular 3D keypoints and tracks of people."""

    boxes: Floats = field(metadata=array_of("T", "P", 4))
    """[T, P, 4] x0, y0, x1, y1 pixels; zeros where the person is not detected."""
    keypoints: Floats = field(metadata=array_of("T", "P", NUM_KEYPOINTS, 3))
    """[T, P, 133, 3] x, y pixels and confidence in 0..1; keypoints that the detector lacks have confidence 0."""
    sigmas: Floats = field(metadata=array_of("T", "P", NUM_KEYPOINTS))
    """[T, P, 133] standard deviation of each keypoint in pixels; larger near another person's limb."""
    keypoints3d: Floats = field(metadata={**stored_as("cue_points"), **array_of("T", "P", NUM_KEYPOINTS3D, 4)})
    """[T, P, 23, 4] body and foot points in meters, axes of cam, origin at the mid-hip, and confidence."""
    detected: Bools = field(metadata={**stored_as("visible"), **array_of("T", "P")})
    """[T, P] person detected in this frame."""
    track_confidence: Floats = field(metadata={**stored_as("track_scores"), **array_of("T", "P")})
    """[T, P] confidence of the identity, 0..1."""
    detector: str
    """Name of the detector."""
    outside: Bools | None = field(default=None, metadata=array_of("T", "P", NUM_KEYPOINTS3D))
    """[T, P, 23] joint outside the image; its keypoint is only a guess. None in results of earlier versions."""
    mask_confidence: Floats | None = field(default=None, metadata=array_of("T", "P"))
    """[T, P] 0..1, how sure the mask is; 0 without a mask. None in results of older versions."""
    flow_keypoints: Floats | None = field(default=None, metadata=array_of("T", "P", NUM_KEYPOINTS3D, 3))
    """[T, P, 23, 3] x, y and sigma in pixels of keypoints near a partner, carried by optical flow; sigma 0 for none."""

    keypoints3d_focal: float | None = field(default=None, metadata=positive())
    """Focal length in pixels that gave the viewing rays in keypoints3d; None when it was that of the camera."""

    @property
    def num_people(self) -> int:
        return self.boxes.shape[1]


@dataclass(frozen=True)
class ObservedClip:
    """Input of all stages after the first: a clip, its observations and the camera."""

    clip: Clip
    observations: Observations
    camera: Camera


@dataclass(frozen=True)
class BodyMotion(TensorDataclass):
    """Motion of all people in SMPL-X parameters, in the camera frame unless stated otherwise."""

    body_model: str
    """Name of the body that the betas belong to; scene.json has its sha256."""
    betas: Floats = field(metadata={**static(people_axis=0), **array_of("P", "B")})
    """[P, B] one shape per person."""
    rotations: Floats = field(metadata=array_of("T", "P", 55, 3, 3))
    """[T, P, 55, 3, 3] joint rotations in SMPL-X order; joint 0 is R_cam_root."""
    transl: Floats = field(metadata=array_of("T", "P", 3))
    """[T, P, 3] SMPL-X translation in meters: joints = forward kinematics of the rest joints + transl."""
    expression: Floats = field(metadata=array_of("T", "P", "E"))
    """[T, P, E] facial expression coefficients."""
    valid: Bools = field(metadata=array_of("T", "P"))
    """[T, P] the person is detected, or in a short gap between two detections."""
    confidence: Floats = field(metadata=array_of("T", "P"))
    """[T, P] 0..1, confidence of the pose."""

    @property
    def num_people(self) -> int:
        return self.betas.shape[0]

    def with_pose(self, **changes: Floats) -> BodyMotion:
        """The same motion with other arrays."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class PoseUncertainty:
    """Standard deviations of the parameters of a motion."""

    rotation_std: Floats = field(metadata=array_of("T", "P", NUM_BODY_JOINTS))
    """[T, P, 22] radians about each axis, root first."""
    pelvis_std: Floats = field(metadata=array_of("T", "P", 3))
    """[T, P, 3] meters along the image x axis, the image y axis and the line of sight."""
    betas_std: Floats = field(metadata={**static(people_axis=0), **array_of("P", "B")})
    """[P, B] of the shape coefficients."""


@dataclass(frozen=True)
class Contact:
    """One interval in which a body part of person a touches a body part of person b."""

    person_a: int
    person_b: int
    part_a: str
    part_b: str
    start: int
    """First frame."""
    end: int
    """Last frame, inclusive."""
    min_distance: float
    """Smallest surface distance in meters over the interval; 0 when the surfaces intersect."""
    max_depth: float
    """Deepest penetration in meters over the interval."""


@dataclass(frozen=True)
class PairContacts:
    """Distance, penetration and contacts of two people over the clip, measured on the meshes."""

    person_a: int
    person_b: int
    distance: Floats = field(metadata=array_of("T", may_be_nan=True))
    """[T] smallest surface distance in meters; 0 when the surfaces intersect, nan where a person is not valid."""
    depth: Floats = field(metadata=array_of("T", may_be_nan=True))
    """[T] depth of the deepest vertex inside the other body, meters."""
    contacts: tuple[Contact, ...]


@dataclass(frozen=True)
class DepthOrder:
    """Interval in which the images contradict the depth order of two people, and the correction."""

    person_a: int
    person_b: int
    start: int
    """First frame."""
    end: int
    """Last frame, inclusive."""
    shift: float
    """Meters by which person a was moved away from the camera relative to person b."""
    margin: float = field(metadata=may_be_nan())
    """Decrease of the photometric loss, as a multiple of the decrease expected by chance."""


@dataclass(frozen=True)
class AppearanceSummary:
    """Results of the photometric step."""

    psnr: float = field(metadata=may_be_nan())
    """Mean PSNR in dB of the rendered people in views that were fitted; nan without a rendered person."""
    depth_orders: tuple[DepthOrder, ...] = ()
    psnr_held_out: float = field(default=float("nan"), metadata=may_be_nan())
    """The same in views that no fit used; nan without any."""
    gaussians: Floats | None = field(default=None, metadata=array_of("P", "G", 14))
    """[P, G, 14] Gaussians of each avatar, as `avatars.saved` packs them; None without avatars or in older results."""
    uv_side: int = 0
    """Texels along a side of the UV map whose texels the Gaussians are; 0 without avatars."""


@dataclass(frozen=True)
class WeightFile:
    """A model file used for a result."""

    name: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Reconstruction:
    """Result of a run."""

    clip: Clip
    camera: Camera
    observations: Observations
    motions: Mapping[str, BodyMotion]
    """Motion in the camera frame by the name of its stage, in order; the last is the result."""
    contacts: Mapping[str, tuple[PairContacts, ...]]
    """Contacts of these motions, by the same names."""
    appearance: AppearanceSummary | None = None
    """None without the photometric step."""
    weight_files: tuple[WeightFile, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    """Configuration as plain values, with the seed."""
    notes: tuple[str, ...] = ()
    """Messages for the user: fallbacks, estimated and uncertain values."""

    @property
    def motion(self) -> BodyMotion:
        """The motion of the last stage."""
        return list(self.motions.values())[-1]


def check_finite(where: str, record: Any) -> None:
    """Check every number of a record, of the records in it, and of a tuple or table of them.

    where: what the record is, for the message. Raises NonFiniteError that names the array, person and frame of the
    first number that is infinite, or NaN where no NaN is documented.
    """
    if isinstance(record, Mapping):
        for name, value in record.items():
            check_finite(f"{where}, {name}", value)
    elif isinstance(record, tuple | list):
        for value in record:
            check_finite(where, value)
    elif is_dataclass(record):
        for one in fields(record):
            _check_field(where, one, getattr(record, one.name))
    elif isinstance(record, float | np.floating) and not math.isfinite(record):
        raise NonFiniteError(f"{where} is {record}")


def _check_field(where: str, one: Field, value: Any) -> None:
    if not isinstance(value, np.ndarray | np.floating | float):
        return check_finite(f"{where}, {one.name}", value)
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return
    wrong = np.isinf(array) if one.metadata.get("may_be_nan") else ~np.isfinite(array)
    if wrong.any():
        first = tuple(int(index) for index in np.argwhere(wrong)[0])
        place = ", ".join(f"{name} {index}" for name, index in zip(axis_names(one), first, strict=False))
        raise NonFiniteError(f"{where}, {one.name} is {array[first]}{f' at {place}' if place else ''}")
