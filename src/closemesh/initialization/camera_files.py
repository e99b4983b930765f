"""Camera files: the intrinsics file of closemesh, and what MoGe, GeoCalib, VGGT and COLMAP found for the same clip."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.core.arrays import Floats, expect, read_npz
from closemesh.core.errors import InputError
from closemesh.core.foreign import foreign_reader, parse_number, read_json_file

NETWORK_LOG_STD = 0.10
"""Standard deviation of the logarithm of a focal length that a network predicts; 3 degrees of its field of view."""
DEFAULT_UP_STD = 0.05
"""Radians, where a file with the vertical gives none."""

_GEOCALIB_LOG_STD, _GEOCALIB_UP_STD = 0.05, 0.02  # At least: its uncertainty is that of the fit alone.
_ENDINGS = (".intrinsics.json", ".camera.json", ".camera.npz", ".camera.txt", ".camera.bin")
_MAX_ASPECT_ERROR = 0.02
_VGGT_PATCH = 14  # Pixels: VGGT rounds the height of its input to a multiple.
_COLMAP_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")  # By their numbers.
_COLMAP_PARAMETERS = (3, 4, 4, 5, 8)
_UNDOCUMENTED = "the file is not as documented"

Vector = tuple[float, float, float]
Values = Mapping[str, Any]
_MAX_PIXELS = 1e7
_PLAUSIBLE_FOCAL = (0.2, 30.0)  # Of the diagonal of the image, as for --focal.
_MAX_SHIFT = 1.0  # Sides of the image that the principal point is outside it, as in a cropped video.


@dataclass(frozen=True)
class CameraFile:
    """The camera in a file, for images of the size of the clip."""

    focal: float
    """Pixels."""
    focal_log_std: float
    """Standard deviation of the logarithm of `focal`."""
    principal_point: tuple[float, float] | None = None
    """Pixels; None where the file has none."""
    up_cam: Vector | None = None
    """Unit vector against gravity, camera axes; None where the file has none."""
    up_std: float = DEFAULT_UP_STD
    """Radians."""


def intrinsics_path(clip: Path) -> Path:
    """CLIP.intrinsics.json beside the clip."""
    return clip.with_name(clip.name + _ENDINGS[0])


def find_camera_file(clip: Path, given: str | None) -> Path | None:
    """The file of the option, else the first beside the clip: CLIP.intrinsics.json, CLIP.camera.json, .npz, ..."""
    if given is not None:
        return Path(given)
    beside = (clip.with_name(clip.name + ending) for ending in _ENDINGS)
    return next((path for path in beside if path.is_file()), None)


@foreign_reader
def read_camera_file(path: Path, size: tuple[int, int]) -> CameraFile:
    """The camera in a file, for images of this width and height. What the file holds decides how it is read:

    {"fx": ...}: pixels; optional fy, cx, cy, width, height, focal_std (pixels), up [3], up_std (radians).
    MoGe: fov.json of `moge infer --maps`, or `intrinsics` [..., 3, 3] of the result of `infer` in .npz or .json.
    GeoCalib writes no file: `camera` (its data [..., 6 to 8], or {width, height, f or vfov}), `gravity` ([..., 3] or
    {roll, pitch}), `focal_uncertainty`, `gravity_uncertainty` of the result of `calibrate` in .npz or .json; radians.
    VGGT: `intrinsic` [..., 3, 3] in predictions.npz of demo_gradio.py; cameras.bin of demo_colmap.py, as COLMAP's, or
    cameras.txt. Raises InputError when the file is none of these or of an image of another shape.
    """
    camera = _checked(path, _read(path, size))
    diagonals = camera.focal / math.hypot(*size)
    if not _PLAUSIBLE_FOCAL[0] < diagonals < _PLAUSIBLE_FOCAL[1]:
        raise InputError(f"{path}: the focal length is {diagonals:.3g} image diagonals; it must be from 0.2 to 30")
    for name, value, side in zip(("cx", "cy"), camera.principal_point or (), size, strict=False):
        if not -_MAX_SHIFT * side <= value <= (1 + _MAX_SHIFT) * side:
            raise InputError(f"{path}: {name} is {value:g} for an image of {size[0]}x{size[1]}; correct it")
    return camera


def _checked(path: Path, camera: CameraFile) -> CameraFile:
    """The camera, unchanged. Raises InputError when a number is not finite or beyond what cameras have."""
    point = camera.principal_point or (0.0, 0.0)
    numbers = (camera.focal, camera.focal_log_std, camera.up_std, *point, *(camera.up_cam or ()))
    if not (np.abs(numbers) < _MAX_PIXELS).all():
        raise InputError(f"{path}: a number is not finite or beyond {_MAX_PIXELS:g}; {_UNDOCUMENTED}")
    return camera


def _read(path: Path, size: tuple[int, int]) -> CameraFile:
    if path.suffix.lower() in _COLMAP_READERS:
        return _colmap(path, _COLMAP_READERS[path.suffix.lower()], size)
    values = _read_npz(path) if path.suffix.lower() == ".npz" else _read_json(path)
    for name, reader in _READERS.items():
        if name in values:
            return reader(path, values, size)
    raise InputError(
        f'{path} is not a camera file; it needs {{"fx": pixels}}, or the result of a tool, see docs/usage.md'
    )


def _read_json(path: Path) -> Values:
    values = read_json_file(path, 'it needs {"fx": pixels}')
    return values if isinstance(values, dict) else {}


def _read_npz(path: Path) -> Values:
    return read_npz(path, optional=(*_READERS, *_OTHER_NAMES))


def _intrinsics(path: Path, values: Values, size: tuple[int, int]) -> CameraFile:
    """The file of closemesh."""
    focal = (_positive(path, values, "fx") + _positive(path, values, "fy" if "fy" in values else "fx")) / 2
    width = _positive(path, values, "width") if "width" in values else size[0]
    if "width" in values and "height" in values:
        _check_aspect(path, width / _positive(path, values, "height"), size)
    scale = size[0] / width
    point = None
    if "cx" in values and "cy" in values:
        point = _number(path, values, "cx") * scale, _number(path, values, "cy") * scale
    log_std = _positive(path, values, "focal_std") / focal if "focal_std" in values else 0.0
    up_std = _positive(path, values, "up_std") if "up_std" in values else DEFAULT_UP_STD
    up = _unit_vector(path, "up", values["up"]) if "up" in values else None
    return CameraFile(focal * scale, log_std, point, up, up_std)


def _moge_fov(path: Path, values: Values, size: tuple[int, int]) -> CameraFile:
    """Degrees across and down the image."""
    across = _half_tangent(path, "fov_x", math.radians(_number(path, values, "fov_x")))
    if "fov_y" in values:
        _check_aspect(path, across / _half_tangent(path, "fov_y", math.radians(_number(path, values, "fov_y"))), size)
    return CameraFile(size[0] / 2 / across, NETWORK_LOG_STD)


def _moge_intrinsics(path: Path, values: Values, size: tuple[int, int]) -> CameraFile:
    """Matrices whose rows are divided by width and height of the image."""
    K = _stack(path, "intrinsics", values["intrinsics"], (3, 3))
    fx, fy = K[:, 0, 0], K[:, 1, 1]
    if not (fx > 0).all() or not (fy > 0).all() or (K[:, 0, 2] > 1).any():
        raise InputError(f"{path}: intrinsics must be divided by the size of the image, as MoGe's; give another file")
    _check_aspect(path, float(np.median(fy / fx)), size)
    x, y = np.median(K[:, :2, 2], axis=0)
    return CameraFile(*_over_frames(fx * size[0]), (float(x * size[0]), float(y * size[1])))


def _geocalib(path: Path, values: Values, size: tuple[int, int]) -> CameraFile:
    data = _geocalib_camera(path, values["camera"], size)
    _check_aspect(path, float(np.median(data[:, 0] / data[:, 1])), size)
    scale = size[0] / float(np.median(data[:, 0]))
    focal, frames_log_std = _over_frames(data[:, 2], 0.0)
    log_std = max(_GEOCALIB_LOG_STD, frames_log_std, _median(path, values, "focal_uncertainty") / focal)
    up = _geocalib_up(path, values["gravity"]) if "gravity" in values else None
    up_std = _median(path, values, "gravity_uncertainty") or DEFAULT_UP_STD
    return CameraFile(focal * scale, log_std, None, up, max(_GEOCALIB_UP_STD, up_std))


def _geocalib_camera(path: Path, camera: Any, size: tuple[int, int]) -> Floats:
    """[N, 3] width, height and focal length in pixels."""
    if isinstance(camera, dict):
        sized = {"width": size[0], "height": size[1], **camera}
        width, height = _positive(path, sized, "width"), _positive(path, sized, "height")
        if "f" in camera:
            focal = _stack(path, "f", camera["f"], ())
        else:
            focal = height / 2 / np.array([_half_tangent(path, "vfov", _number(path, camera, "vfov"))])
        data = np.stack([np.full_like(focal, width), np.full_like(focal, height), focal], axis=1)
    else:
        columns = _last_length(camera)
        if columns not in {6, 7, 8}:
            raise InputError(f"{path}: camera must be GeoCalib's data [..., 6 to 8]; {_UNDOCUMENTED}")
        data = _stack(path, "camera", camera, (columns,))[:, :3]
    if not (data > 0).all():
        raise InputError(f"{path}: width, height and focal length must be above 0; {_UNDOCUMENTED}")
    return data


def _last_length(value: Any) -> int:
    """Length of the last axis of an array or of nested lists; 0 without axes."""
    while isinstance(value, list) and value and isinstance(value[0], list):
        value = value[0]
    return len(value) if isinstance(value, list) else (np.shape(value) or (0,))[-1]


def _geocalib_up(path: Path, gravity: Any) -> Vector:
    """GeoCalib's vector is against gravity: (0, -1, 0) for a level camera."""
    if not isinstance(gravity, dict) or "vec3d" in gravity:
        return _unit_vector(path, "gravity", gravity["vec3d"] if isinstance(gravity, dict) else gravity)
    roll, pitch = _number(path, gravity, "roll"), _number(path, gravity, "pitch")
    return -math.sin(roll) * math.cos(pitch), -math.cos(roll) * math.cos(pitch), math.sin(pitch)


def _vggt(path: Path, values: Values, size: tuple[int, int]) -> CameraFile:
    """Matrices for VGGT's input, whose center is the principal point.

    The input has the full width of the clip. Its height is rounded, and cropped to a square for an upright clip.
    """
    K = _stack(path, "intrinsic", values["intrinsic"], (3, 3))
    width, height = 2 * np.median(K[:, 0, 2]), 2 * np.median(K[:, 1, 2])
    if not (K[:, 0, 0] > 0).all() or not width > 1 or not height > 1:
        raise InputError(f"{path}: intrinsic must be matrices in pixels, as VGGT's; {_UNDOCUMENTED}")
    expected = min(width * size[1] / size[0], width)
    if abs(height - expected) > _VGGT_PATCH / 2 + _MAX_ASPECT_ERROR * expected and abs(height - width) > 1:
        _check_aspect(path, float(width / height), size)
    return CameraFile(*_over_frames(K[:, 0, 0] * size[0] / width))


_READERS: dict[str, Callable[[Path, Values, tuple[int, int]], CameraFile]] = {
    "fx": _intrinsics,
    "fov_x": _moge_fov,
    "intrinsics": _moge_intrinsics,
    "camera": _geocalib,
    "intrinsic": _vggt,
}
"""Name of a value in a .json or .npz -> what reads the file."""
_OTHER_NAMES = (
    *("fy", "cx", "cy", "width", "height", "focal_std", "up", "up_std", "fov_y"),
    *("gravity", "focal_uncertainty", "gravity_uncertainty"),
)


def _colmap(path: Path, read: Callable[[bytes], list[tuple[float, ...]]], size: tuple[int, int]) -> CameraFile:
    """The median over the cameras; distortion is not used."""
    try:
        cameras = np.array(read(path.read_bytes()), np.float64)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the path") from error
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise InputError(f"{path} is no camera list of COLMAP that can be read ({error}); write it again") from error
    if len(cameras) == 0 or not np.isfinite(cameras).all() or not (cameras[:, :3] > 0).all():
        raise InputError(f"{path} holds no camera of COLMAP; write it again")
    width, height, focal, x, y = cameras.T
    _check_aspect(path, float(np.median(width / height)), size)
    scale = size[0] / width
    point = float(np.median(x * scale)), float(np.median(y * scale))
    return CameraFile(*_over_frames(focal * scale), point)


def _colmap_text(data: bytes) -> list[tuple[float, ...]]:
    """Width, height, focal length and principal point of each line `CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]`."""
    lines = [line.split() for line in data.decode().splitlines() if line.strip() and line[0] != "#"]
    return [_colmap_camera(line[1], line[2], line[3], line[4:]) for line in lines]


def _colmap_binary(data: bytes) -> list[tuple[float, ...]]:
    cameras, position = [], 8
    for _ in range(struct.unpack_from("<Q", data)[0]):
        _, model, width, height = struct.unpack_from("<IiQQ", data, position)
        if not 0 <= model < len(_COLMAP_MODELS):
            raise ValueError(f"camera model {model}")
        count = _COLMAP_PARAMETERS[model]
        parameters = struct.unpack_from(f"<{count}d", data, position + 24)
        cameras.append(_colmap_camera(_COLMAP_MODELS[model], width, height, parameters))
        position += 24 + 8 * count
    return cameras


def _colmap_camera(model: str, width: Any, height: Any, parameters: Iterable[Any]) -> tuple[float, ...]:
    if model not in _COLMAP_MODELS:
        raise ValueError(f"camera model {model}, not one of {', '.join(_COLMAP_MODELS)}")
    numbers = [parse_number(str(number)) for number in parameters]
    if model in ("PINHOLE", "OPENCV"):
        numbers[:2] = [(numbers[0] + numbers[1]) / 2]
    return parse_number(str(width)), parse_number(str(height)), numbers[0], numbers[1], numbers[2]


_COLMAP_READERS = {".txt": _colmap_text, ".bin": _colmap_binary}


def _check_aspect(path: Path, aspect: float, size: tuple[int, int]) -> None:
    """Raises InputError where width / height of the image in the file is not that of the clip."""
    expected = size[0] / size[1]
    if not abs(aspect / expected - 1) <= _MAX_ASPECT_ERROR:
        raise InputError(
            f"{path} is of an image {aspect:.3f} times as wide as high, the clip of {size[0]}x{size[1]} is "
            f"{expected:.3f} times; give a camera for this clip"
        )


def _over_frames(focals: Floats, log_std: float = NETWORK_LOG_STD) -> tuple[float, float]:
    """Median of focal lengths [N], and the larger of `log_std` and the standard deviation of their logarithms."""
    return float(np.median(focals)), max(log_std, float(np.std(np.log(focals))))


def _stack(path: Path, name: str, value: Any, shape: tuple[int, ...]) -> Floats:
    """[N, *shape], at least one, finite."""
    try:
        stack = np.asarray(value).reshape(-1, *shape)
    except (TypeError, ValueError, OverflowError) as error:
        wanted = ", ".join(("...", *map(str, shape)))
        raise InputError(f"{path}: {name} must be numbers [{wanted}]; {_UNDOCUMENTED}") from error
    if not len(stack):
        raise InputError(f"{path}: {name} is empty; {_UNDOCUMENTED}")
    return expect(path, name, stack, ("N", *shape))


def _number(path: Path, values: Values, name: str) -> float:
    if name not in values:
        raise InputError(f"{path} has no {name}; {_UNDOCUMENTED}")
    return float(_stack(path, name, values[name], ())[0])


def _positive(path: Path, values: Values, name: str) -> float:
    number = _number(path, values, name)
    if not number > 0:
        raise InputError(f"{path}: {name} must be above 0, not {number:g}")
    return number


def _median(path: Path, values: Values, name: str) -> float:
    """0 where the file has none."""
    return float(np.median(_stack(path, name, values[name], ()))) if name in values else 0.0


def _unit_vector(path: Path, name: str, value: Any) -> Vector:
    """Mean direction of vectors [..., 3]."""
    vectors = _stack(path, name, value, (3,))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    mean = (vectors / np.maximum(lengths, 1e-12)).mean(axis=0)
    if not (lengths > 1e-6).all() or np.linalg.norm(mean) < 0.5:
        raise InputError(f"{path}: {name} gives no direction; {_UNDOCUMENTED}")
    x, y, z = mean / np.linalg.norm(mean)
    return float(x), float(y), float(z)


def _half_tangent(path: Path, name: str, angle: float) -> float:
    """Tangent of half a field of view in radians."""
    if not 0 < angle < math.pi:
        raise InputError(f"{path}: {name} must be between 0 and 180 degrees, not {math.degrees(angle):.1f}")
    return math.tan(angle / 2)
