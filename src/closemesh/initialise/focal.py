"""The focal length: from the option, a sidecar file, the clip's metadata, else assumed from the picture's size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from closemesh.errors import InputError
from closemesh.geometry.camera import default_focal
from closemesh.progress import Progress
from closemesh.scene import Camera, Clip, FocalSource

# World axes before gravity is known: y up, z towards the viewer.
_LEVEL_CAMERA = np.diag([1.0, -1.0, -1.0, 1.0])


def first_camera(clip: Clip, focal: float | None, progress: Progress) -> Camera:
    """The camera of the clip, level at the world's origin; `focal` in pixels overrides every other source."""
    width, height = clip.size
    value, centre, source = _find_intrinsics(clip, focal)
    if source == "estimated":
        progress.note(
            f"focal length unknown: {value:.0f} px assumed (the picture's diagonal); depths scale with it, "
            f"give --focal or {sidecar_path(clip.path).name}"
        )
    return Camera(
        focal=value,
        centre=centre or (width / 2, height / 2),
        size=clip.size,
        focal_source=source,
        T_cam_world=np.tile(_LEVEL_CAMERA, (len(clip), 1, 1)),
    )


def sidecar_path(clip: Path) -> Path:
    """CLIP.intrinsics.json beside the clip."""
    return clip.with_name(f"{clip.name}.intrinsics.json")


def _find_intrinsics(clip: Clip, focal: float | None) -> tuple[float, tuple[float, float] | None, FocalSource]:
    if focal is not None:
        return focal, None, "option"
    sidecar = sidecar_path(clip.path)
    if sidecar.is_file():
        value, centre = read_sidecar(sidecar, clip.size)
        return value, centre, "sidecar"
    if clip.focal_px is not None:
        return clip.focal_px, None, "metadata"
    return default_focal(clip.size), None, "estimated"


def read_sidecar(path: Path, size: tuple[int, int]) -> tuple[float, tuple[float, float] | None]:
    """Focal length and principal point in pixels of a picture of `size`.

    The file holds {"fx": ..., "fy": ..., "cx": ..., "cy": ..., "width": ..., "height": ...} in pixels; fy, cx, cy and
    the size may be missing. Raises InputError when it cannot be read.
    """
    try:
        values = json.loads(path.read_text())
        focal = (float(values["fx"]) + float(values.get("fy", values["fx"]))) / 2
        scale = size[0] / float(values.get("width", size[0]))
        centre = (
            (float(values["cx"]) * scale, float(values["cy"]) * scale) if "cx" in values and "cy" in values else None
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f'{path} is not an intrinsics file; it needs {{"fx": pixels}} ({error})') from error
    if not focal > 0:
        raise InputError(f"{path}: the focal length must be positive, not {focal}")
    return focal * scale, centre
