"""WHAM (Shin et al. 2024): wham_output.pkl, which its demo writes with --save_pkl.

Built from the published source of WHAM; tested on files of that layout that the tests write, on none of the tool's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.motion_data.arrays import expect_equal_lengths
from closemesh.other_tools.torch_file import numbers
from closemesh.other_tools.tracks import ToolCamera, ToolPerson, ToolResult, smpl_person
from closemesh.scene import Clip

_KEYS = ("pose", "trans", "betas", "frame_ids")


def is_wham(told: Any) -> bool:
    """Whether what a pickle holds is a result of WHAM: people by number."""
    return (
        isinstance(told, Mapping)
        and bool(told)
        and all(isinstance(person, Mapping) and all(key in person for key in _KEYS) for person in told.values())
    )


def read_wham(path: Path, told: Mapping[Any, Any], clip: Clip) -> ToolResult:
    """Everybody, before WHAM's camera: its focal length is the frame's diagonal. Raises InputError."""
    width, height = clip.size
    camera = ToolCamera(math.hypot(width, height), (width / 2, height / 2))
    return ToolResult("WHAM", tuple(_person(path, person) for person in told.values()), camera)


def _person(path: Path, told: Mapping[str, Any]) -> ToolPerson:
    pose = numbers(path, "pose", told["pose"], ("N", 72))
    trans = numbers(path, "trans", np.asarray(told["trans"]).reshape(-1, 3), ("N", 3))
    betas = numbers(path, "betas", told["betas"], ("N", 10))
    frames = numbers(path, "frame_ids", told["frame_ids"], ("N",))
    expect_equal_lengths(path, pose=pose, trans=trans, betas=betas, frame_ids=frames)
    return smpl_person(frames.astype(np.int64), pose.reshape(-1, 24, 3), trans, np.median(betas, axis=0), "smpl")
