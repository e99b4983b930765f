"""GVHMR (Shen et al. 2024): hmr4d_results.pt, one person of a clip; several files for several people.

Built from the published source of GVHMR; tested on files of that layout that the tests write, on none of the tool's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.errors import InputError
from closemesh.motion_data.arrays import expect_equal_lengths
from closemesh.other_tools.torch_file import numbers
from closemesh.other_tools.tracks import ToolCamera, ToolResult, smpl_person

_IN_CAMERA = "smpl_params_incam"
_WIDTHS = {"global_orient": 3, "body_pose": 63, "transl": 3, "betas": 10}


def is_gvhmr(told: Any) -> bool:
    """Whether what a .pt file holds is a result of GVHMR."""
    return isinstance(told, Mapping) and isinstance(told.get(_IN_CAMERA), Mapping) and "K_fullimg" in told


def read_gvhmr(path: Path, told: Mapping[str, Any]) -> ToolResult:
    """The person in every frame of the clip, from its first, SMPL-X, before the camera K_fullimg. Raises InputError."""
    missing = [name for name in _WIDTHS if name not in told[_IN_CAMERA]]
    if missing:
        raise InputError(f"{path}: {_IN_CAMERA} has no {', '.join(missing)}; the file is not as documented")
    parts = {name: numbers(path, name, told[_IN_CAMERA][name], ("N", width)) for name, width in _WIDTHS.items()}
    expect_equal_lengths(path, **parts)
    K = numbers(path, "K_fullimg", told["K_fullimg"], ("N", 3, 3))[0]
    count = len(parts["transl"])
    pose = np.concatenate([parts["global_orient"], parts["body_pose"]], axis=1).reshape(count, 22, 3)
    betas = np.median(parts["betas"], axis=0)
    person = smpl_person(np.arange(count), pose, parts["transl"], betas, "smplx")
    return ToolResult("GVHMR", (person,), ToolCamera(float(K[0, 0]), (float(K[0, 2]), float(K[1, 2]))))
