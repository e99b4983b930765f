"""What a result was made from: code, weights, the clip; in a form that tells whether it may be used again."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

from closemesh import __version__
from closemesh.body.model import BodyModel
from closemesh.config.schema import Config
from closemesh.initialization.initialize import sidecar_path
from closemesh.perception.model_selection import select_models
from closemesh.structures import Clip, WeightFile
from closemesh.weights.locate import find_model, sha256_of
from closemesh.weights.registry import BUNDLED_FILES, SMPLX_BODY

# Raised when a stage gives another result from the same input, so that results kept by older versions are made anew.
STAGE_VERSIONS = {"observe": 3, "initialise": 4, "refine": 6, "optimise": 9, "contact": 2}


def code_fingerprint(stage: str) -> dict[str, Any]:
    """The code and the weights that a stage's result depends on."""
    files = {known.name: sha256_of(find_model(known.name)) for known in BUNDLED_FILES if known.stage == stage}
    return {"closemesh": __version__, "stage_version": STAGE_VERSIONS[stage], "weights": files}


def clip_fingerprint(clip: Clip) -> dict[str, Any]:
    """The file and which of its frames."""
    frames = hashlib.sha256(clip.frame_indices.tobytes() + clip.times.tobytes()).hexdigest()
    return {"sha256": clip.sha256, "frames": frames, "size": clip.size, "focal": clip.focal_px}


def sidecar_identity(path: Path) -> str | None:
    """Hash of the file of intrinsics beside the clip, if there is one."""
    sidecar = sidecar_path(path)
    return sha256_of(sidecar) if sidecar.is_file() else None


def selected_weights(config: Config) -> tuple[WeightFile, ...]:
    """The downloaded files that the first stage uses. Raises ModelFileError when one that is named is missing."""
    files = select_models(config.observe).files()
    return tuple(
        WeightFile(name, _sha256_at(path, path.stat().st_mtime_ns), licence) for name, (path, licence) in files.items()
    )


@functools.lru_cache
def _sha256_at(path: Path, changed: int) -> str:
    """Of a file last changed then: a gigabyte is not read twice in a run."""
    return sha256_of(path)


def weight_files(body: BodyModel) -> tuple[WeightFile, ...]:
    """What comes along, and the body where it does not."""
    bundled = tuple(WeightFile(k.name, sha256_of(find_model(k.name)), k.licence) for k in BUNDLED_FILES)
    return bundled if body.is_bundled else (*bundled, WeightFile(body.name, body.sha256, SMPLX_BODY.licence))
