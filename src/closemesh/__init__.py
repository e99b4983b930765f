"""closemesh reconstructs people in close contact from one video: SMPL-X motion, an animated scene, a contact report.

    from closemesh import load, reconstruct
    result = reconstruct("dance.mp4", "out")
    load("out").people[0].joints("camera")  # [T, 55, 3] meters

Names are imported when they are first used, so that `import closemesh` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from closemesh.config.loading import load_config
    from closemesh.config.schema import Config, preset_config
    from closemesh.core.errors import ClosemeshError
    from closemesh.pipeline.reconstruct import reconstruct, reconstruct_photos
    from closemesh.results.load import Result, load
    from closemesh.structures import Reconstruction


__version__ = "0.1.0"
__all__ = [
    "ClosemeshError",
    "Config",
    "Reconstruction",
    "Result",
    "load",
    "load_config",
    "preset_config",
    "reconstruct",
    "reconstruct_photos",
]

_MODULE_OF = {
    "ClosemeshError": "closemesh.core.errors",
    "Config": "closemesh.config.schema",
    "Reconstruction": "closemesh.structures",
    "Result": "closemesh.results.load",
    "load": "closemesh.results.load",
    "load_config": "closemesh.config.loading",
    "preset_config": "closemesh.config.schema",
    "reconstruct": "closemesh.pipeline.reconstruct",
    "reconstruct_photos": "closemesh.pipeline.reconstruct",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'closemesh' has no attribute '{name}'")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
