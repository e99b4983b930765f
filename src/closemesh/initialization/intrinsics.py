"""What is known about the camera before the people are used: an option, a file, the metadata, or usual cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from closemesh.core.errors import InputError
from closemesh.geometry.camera import default_focal
from closemesh.initialization.camera_files import DEFAULT_UP_STD, CameraFile, find_camera_file, read_camera_file
from closemesh.structures import Clip, FocalSource

_FULL_FRAME_DIAGONAL = 43.27  # Millimeters.
_WIDE = 1.0895  # Focal length in diagonals: 16:9 at the full width of a sensor of 4:3, against the whole sensor.
_FULL_FRAME_WIDE = 43.27 / 41.3  # The same for a sensor of 3:2.
_STABILIZED = 1.2  # Stabilization of phones cuts the borders.


def _phone(equivalent_mm: float, crop: float = _WIDE) -> float:
    return equivalent_mm / _FULL_FRAME_DIAGONAL * crop


USUAL_CAMERAS: tuple[tuple[str, float, float], ...] = (
    ("phone, main camera, photo of 4:3", _phone(26, 1.0), 8),
    ("phone, main camera, video of 16:9", _phone(26), 12),
    ("phone, main camera, stabilized video", _phone(26, _WIDE * _STABILIZED), 18),
    ("phone of 2012 to 2018, stabilized video", _phone(29, _WIDE * _STABILIZED), 6),
    ("phone, zoom 2x or tele, video", _phone(52), 5),
    ("phone, ultra wide camera, stabilized video", _phone(13.5, _WIDE * _STABILIZED), 4),
    ("phone, front camera, video", _phone(27, _WIDE * 1.1), 6),
    ("webcam, 78 degrees (Logitech C920)", 0.617, 6),
    ("laptop, 70 degrees", 0.714, 5),
    ("action camera, linear", 0.46, 3),
    ("Kinect v2, color: 1081 px at 1920x1080", 0.491, 2),
    ("Kinect v1: 525 px at 640x480", 0.656, 2),
    ("RealSense D435, color: 69 degrees across", 0.634, 1),
    ("Azure Kinect, color: 915 px at 1920x1080", 0.415, 1),
    ("camcorder or lens of 24 mm, video of 16:9", _phone(24, _FULL_FRAME_WIDE), 2),
    ("camcorder or lens of 35 mm", _phone(35, _FULL_FRAME_WIDE), 9),
    ("camcorder or lens of 50 mm", _phone(50, _FULL_FRAME_WIDE), 7),
    ("camcorder or lens of 85 mm", _phone(85, _FULL_FRAME_WIDE), 3),
)
"""Device, focal length as a fraction of the image diagonal, and percent of the clips, which is a guess."""


def usual_focal() -> tuple[float, float]:
    """Median of the focal lengths of usual cameras, as a fraction of the diagonal, and the std of their logarithms."""
    fractions, weights = np.array([row[1:] for row in USUAL_CAMERAS]).T
    logs, weights = np.log(fractions), weights / weights.sum()
    order = np.argsort(logs)
    median = np.interp(0.5, np.cumsum(weights[order]) - weights[order] / 2, logs[order])
    return float(np.exp(median)), float(np.sqrt(weights @ (logs - weights @ logs) ** 2))


FOCAL_BOUNDS = (0.2, 30.0)
"""Of the image diagonal: a pinhole image cannot show more than the first, and no camera for people has the last."""
PRIOR_LOG_STD = usual_focal()[1]
"""Standard deviation of the logarithm of a focal length about which nothing is known."""


def is_possible_focal(focal: float, size: tuple[int, int]) -> bool:
    """Return whether a focal length in pixels is one of a camera whose images have this width and height."""
    low, high = FOCAL_BOUNDS
    return low <= focal / math.hypot(*size) <= high


def check_focal(focal: float, size: tuple[int, int], source: str) -> float:
    """Return `focal` in pixels. Raises InputError with its `source` when no camera with images of this size has it."""
    if not is_possible_focal(focal, size):
        low, high = (bound * math.hypot(*size) for bound in FOCAL_BOUNDS)
        raise InputError(
            f"{source}: the focal length {focal:g} px is not possible for frames of {size[0]}x{size[1]}; give "
            f"pixels, {low:.0f} to {high:.0f}, not millimeters (pixels = millimeters / sensor width * {size[0]}), or "
            "leave it out"
        )
    return focal


@dataclass(frozen=True)
class CameraPrior:
    """What is known about the camera before the people are used."""

    focal: float
    """Pixels."""
    focal_log_std: float
    """Standard deviation of the logarithm of `focal`; 0 when it is given as exact."""
    principal_point: tuple[float, float]
    """Pixels."""
    source: FocalSource
    up_cam: tuple[float, float, float] | None = None
    """Unit vector against gravity, camera axes (x right, y down, z forward); None when unknown."""
    up_std: float = DEFAULT_UP_STD
    """Radians; of no meaning without `up_cam`."""


def find_camera_prior(clip: Clip, focal: float | None, file: str | None = None) -> CameraPrior:
    """The first that is there: `focal` in pixels, a camera file, the metadata of the clip, the usual cameras.

    file: path of a camera file; by default one beside the clip is used, see `find_camera_file`. With `focal`, a file
    beside the clip is not read, and of a given one only the vertical is used. Raises InputError when the file cannot
    be read or is of an image of another shape, or when no camera has the focal length; that of metadata is left out.
    """
    center = (clip.size[0] / 2, clip.size[1] / 2)
    path = find_camera_file(clip.path, file) if focal is None or file is not None else None
    found = read_camera_file(path, clip.size) if path is not None else None
    if focal is not None:
        check_focal(focal, clip.size, "--focal")
        return _with_vertical(CameraPrior(focal, 0.0, center, "option"), found)
    if found is not None:
        check_focal(found.focal, clip.size, str(path))
        prior = CameraPrior(found.focal, found.focal_log_std, found.principal_point or center, "sidecar")
        return _with_vertical(prior, found)
    if clip.focal_px is not None and is_possible_focal(clip.focal_px, clip.size):
        return CameraPrior(clip.focal_px, clip.focal_log_std, center, "metadata")
    return CameraPrior(default_focal(clip.size), PRIOR_LOG_STD, center, "estimated")


def _with_vertical(prior: CameraPrior, found: CameraFile | None) -> CameraPrior:
    return prior if found is None else replace(prior, up_cam=found.up_cam, up_std=found.up_std)
