"""The records that travel from stage to stage.

Shapes: T frames, P people, J joints (22 body, 55 in all), V vertices, F faces, K keypoints (133, COCO-WholeBody).
Units: metres, seconds, radians, pixels. Frames: `cam` is OpenCV (x right, y down, z forward); `world` is y up,
gravity-aligned, floor at y = 0 when it was found. `T_a_b` takes points of b to a.
Records hold numpy arrays, so that they are saved and compared as they are; a stage makes its own tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from closemesh.core.arrays import Bools, Floats
from closemesh.core.records import stored_as

NUM_BODY_JOINTS = 22
NUM_KEYPOINTS = 133
NUM_CUE_POINTS = 23  # COCO-WholeBody 0-22: body and feet.

FocalSource = Literal["option", "sidecar", "metadata", "estimated"]


@dataclass(frozen=True)
class Clip:
    """The frames to reconstruct: which file, which of its frames, and when each was shown."""

    path: Path
    """A video file, or a folder of images."""
    sha256: str
    frame_indices: NDArray[np.int64]
    """[T] position of each processed frame among the decoded frames of the file."""
    times: Floats
    """[T] presentation time of each processed frame, seconds from the first frame of the file."""
    size: tuple[int, int]
    """Width and height in pixels, after the rotation that the file asks for."""
    fps: float
    """Mean rate of the processed frames."""
    focal_px: float | None = None
    """Focal length for this size, when the file's metadata tells it."""

    def __len__(self) -> int:
        return len(self.frame_indices)


@dataclass(frozen=True)
class Camera:
    """Full-frame pinhole without distortion, and where it stands in the world."""

    focal: float
    """Pixels, the same along x and y."""
    principal_point: tuple[float, float] = field(metadata=stored_as("centre"))
    """Principal point, pixels."""
    size: tuple[int, int]
    focal_source: FocalSource
    T_cam_world: Floats
    """[T, 4, 4]; equal in every frame while the camera is taken to stand still."""
    floor_found: bool = False
    """True when y = 0 of `world` is a floor that feet stand on; else only gravity is meant."""

    @property
    def up(self) -> Floats:
        """[T, 3] unit vectors against gravity, camera axes."""
        return self.T_cam_world[:, :3, 1]


@dataclass(frozen=True)
class Observations:
    """What is seen in the images: people, keypoints, an image-based 3D cue, who is in view."""

    boxes: Floats
    """[T, P, 4] x0, y0, x1, y1 pixels; zeros where the person is not visible."""
    keypoints: Floats
    """[T, P, 133, 3] x, y pixels and confidence in 0..1; what the detector does not give has confidence 0."""
    sigmas: Floats
    """[T, P, 133] standard deviation of each keypoint in pixels; larger near a partner's limb."""
    keypoints3d: Floats = field(metadata=stored_as("cue_points"))
    """[T, P, 23, 4] body and feet points in metres, axes of cam, origin at the mid-hip, and confidence."""
    detected: Bools = field(metadata=stored_as("visible"))
    """[T, P] person detected in this frame."""
    track_confidence: Floats = field(metadata=stored_as("track_scores"))
    """[T, P] how sure the identity is, 0..1."""
    detector: str
    """Which detector made this."""

    @property
    def num_people(self) -> int:
        return self.boxes.shape[1]


@dataclass(frozen=True)
class ObservedClip:
    """What later stages know of a clip: its frames, what was observed in them, and the camera."""

    clip: Clip
    observations: Observations
    camera: Camera


@dataclass(frozen=True)
class BodyMotion:
    """Everybody's motion in the camera frame, in SMPL-X parameters."""

    body_model: str
    """Name of the body that the betas belong to; its sha256 stands beside it in scene.json."""
    betas: Floats
    """[P, B] one shape per person."""
    rotations: Floats
    """[T, P, 55, 3, 3] joint rotations in SMPL-X order; joint 0 is R_cam_root."""
    transl: Floats
    """[T, P, 3] SMPL-X translation: joints = forward kinematics of the rest joints + transl."""
    expression: Floats
    """[T, P, E]."""
    valid: Bools
    """[T, P] the person is in view or between two sightings near enough to fill in."""
    confidence: Floats
    """[T, P] 0..1, how far the pose in this frame may be trusted."""

    @property
    def num_people(self) -> int:
        return self.betas.shape[0]

    def with_pose(self, **changes: Floats) -> BodyMotion:
        """The same people with other arrays."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def frames(self, index: slice | Sequence[int] | np.ndarray) -> BodyMotion:
        """The same people in some of the frames."""
        names = ("rotations", "transl", "expression", "valid", "confidence")
        return replace(self, **{name: getattr(self, name)[index] for name in names})


@dataclass(frozen=True)
class PoseUncertainty:
    """How sure a first motion is: standard deviations of its numbers."""

    rotation_std: Floats
    """[T, P, 22] radians about each axis, root first."""
    pelvis_std: Floats
    """[T, P, 3] metres across the view, down it, and along the line of sight."""
    betas_std: Floats
    """[P, B]."""


@dataclass(frozen=True)
class Contact:
    """One interval in which a part of person a touches a part of person b."""

    person_a: int
    person_b: int
    part_a: str
    part_b: str
    start: int
    """First frame."""
    end: int
    """Last frame, inclusive."""
    min_distance: float
    """Smallest surface distance in metres over the interval; 0 when the surfaces cross."""
    max_depth: float
    """Deepest crossing in metres over the interval."""


@dataclass(frozen=True)
class PairContacts:
    """What two people do to each other over the clip, measured on the meshes."""

    person_a: int
    person_b: int
    distance: Floats
    """[T] smallest surface distance in metres (0 when crossing, nan where one is absent)."""
    depth: Floats
    """[T] deepest vertex of either inside the other, metres."""
    contacts: tuple[Contact, ...]


@dataclass(frozen=True)
class DepthOrder:
    """Frames in which the pictures showed that two people stand otherwise one behind the other than was thought."""

    person_a: int
    person_b: int
    start: int
    """First frame."""
    end: int
    """Last frame, inclusive."""
    shift: float
    """Metres by which person a was moved away from the camera against person b."""
    margin: float
    """How much better the pictures are explained, as a multiple of what chance would give."""


@dataclass(frozen=True)
class AppearanceSummary:
    """What everybody's look told."""

    psnr: float
    """Likeness in dB of the drawn people to the seen ones, a mean over the pictures; nan when nobody was drawn."""
    depth_orders: tuple[DepthOrder, ...] = ()


@dataclass(frozen=True)
class WeightFile:
    """A model file that a result depends on."""

    name: str
    sha256: str
    licence: str


@dataclass(frozen=True)
class Reconstruction:
    """Everything that a run found out about a clip."""

    clip: Clip
    camera: Camera
    observations: Observations
    motions: Mapping[str, BodyMotion]
    """Motion in the camera frame by the name of the stage that made it, in order; the last is the result."""
    contacts: Mapping[str, tuple[PairContacts, ...]]
    """Contacts of those motions, by the same names."""
    appearance: AppearanceSummary | None = None
    """None when looks were not used."""
    weight_files: tuple[WeightFile, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    """The configuration as plain values, seed included."""
    notes: tuple[str, ...] = ()
    """What the user should know: fallbacks taken, things estimated or doubtful."""

    @property
    def motion(self) -> BodyMotion:
        """The result."""
        return list(self.motions.values())[-1]
