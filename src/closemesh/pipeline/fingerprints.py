"""Fingerprints of what results depend on: the clip, its camera file, and weight files."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from closemesh.body.model import BodyModel
from closemesh.config.schema import Config
from closemesh.core.files import sha256_of
from closemesh.initialization.camera_files import find_camera_file
from closemesh.perception.model_selection import select_models
from closemesh.structures import Clip, WeightFile
from closemesh.weights.locate import find_model
from closemesh.weights.registry import BUNDLED_FILES, SMPLX_BODY


def clip_fingerprint(clip: Clip) -> dict[str, Any]:
    """The clip's file and the frames that are processed, as JSON values."""
    frames = hashlib.sha256(clip.frame_indices.tobytes() + clip.times.tobytes()).hexdigest()
    return {"sha256": clip.sha256, "frames": frames, "size": clip.size, "focal": clip.focal_px}


def intrinsics_fingerprint(clip: Path, given: str | None) -> str | None:
    """SHA-256 of the camera file of the option, else of one beside the clip; None without one."""
    path = find_camera_file(clip, given)
    return sha256_of(path) if path is not None and path.is_file() else None


def bundled_weights(stage: str) -> dict[str, str]:
    """Name -> SHA-256 of the bundled files that a stage reads."""
    return {file.name: _sha256(find_model(file.name)) for file in BUNDLED_FILES if file.stage == stage}


def selected_weights(config: Config) -> tuple[WeightFile, ...]:
    """The downloaded files that the stage `observe` uses. Raises ModelFileError when a file named there is missing."""
    files = select_models(config.observe).files()
    return tuple(WeightFile(name, _sha256(path), licence) for name, (path, licence) in files.items())


def weight_files(body: BodyModel) -> tuple[WeightFile, ...]:
    """The bundled files, and the file of the body if it is not bundled."""
    bundled = tuple(WeightFile(k.name, _sha256(find_model(k.name)), k.licence) for k in BUNDLED_FILES)
    return bundled if body.is_bundled else (*bundled, WeightFile(body.name, body.sha256, SMPLX_BODY.licence))


def _sha256(path: Path) -> str:
    """SHA-256 of a file, read again only when it has changed: it may have a gigabyte."""
    return _sha256_at(path, path.stat().st_mtime_ns)


@functools.lru_cache
def _sha256_at(path: Path, modified_ns: int) -> str:
    return sha256_of(path)
