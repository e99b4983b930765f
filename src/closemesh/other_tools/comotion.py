"""CoMotion (Newell et al. 2025): CLIP.pt, everybody whom its demo tracked through a video.

Built from the published source of CoMotion; tested on files of that layout that the tests write, on none of the tool's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.motion_data.arrays import expect_equal_lengths
from closemesh.other_tools.torch_file import numbers
from closemesh.other_tools.tracks import ToolCamera, ToolResult, smpl_person
from closemesh.scene import Clip

_KEYS = ("id", "pose", "trans", "betas", "frame_idx")


def is_comotion(told: Any) -> bool:
    """Whether what a .pt file holds is a tracked clip of CoMotion."""
    return isinstance(told, Mapping) and all(key in told for key in _KEYS)


def read_comotion(path: Path, told: Mapping[str, Any], clip: Clip) -> ToolResult:
    """Everybody, before CoMotion's camera, whose focal length is twice the longer side of the frame.

    Frames are those of the clip from its first: the options --start-frame and --frameskip are not in the file. Raises
    InputError.
    """
    widths = {"pose": 72, "trans": 3, "betas": 10}
    rows = {name: numbers(path, name, told[name], ("N", width)) for name, width in widths.items()}
    of = {name: numbers(path, name, told[name], ("N",)).astype(np.int64) for name in ("id", "frame_idx")}
    expect_equal_lengths(path, **rows, **of)
    people = []
    for track in np.unique(of["id"]):
        chosen = np.flatnonzero(of["id"] == track)
        chosen = chosen[np.argsort(of["frame_idx"][chosen], kind="stable")]
        pose, betas = rows["pose"][chosen].reshape(-1, 24, 3), np.median(rows["betas"][chosen], axis=0)
        people.append(smpl_person(of["frame_idx"][chosen], pose, rows["trans"][chosen], betas, "smpl"))
    width, height = clip.size
    return ToolResult("CoMotion", tuple(people), ToolCamera(2.0 * max(clip.size), (width / 2, height / 2)))
