"""PromptHMR (Wang et al. 2025), its video pipeline: results.pkl.

Built from the published source of PromptHMR; tested on files of that layout that the tests write, on none of the
tool's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.errors import InputError
from closemesh.motion_data.arrays import expect_equal_lengths
from closemesh.other_tools.torch_file import numbers
from closemesh.other_tools.tracks import ToolCamera, ToolPerson, ToolResult, smpl_person
from closemesh.scene import Clip

_SQUARE = 0.02  # Share by which the two sides of a frame may have been scaled otherwise: sides are made even.


def is_prompthmr(told: Any) -> bool:
    """Whether what a pickle holds is a result of PromptHMR."""
    return (
        isinstance(told, Mapping) and isinstance(told.get("people"), Mapping) and "img_focal" in told.get("camera", ())
    )


def read_prompthmr(path: Path, told: Mapping[str, Any], clip: Clip) -> ToolResult:
    """Everybody before the camera of each frame, SMPL-X. Raises InputError.

    PromptHMR works on frames of 896 lines at most and has the principal point in their middle, which tells their size.
    Frames are those of the clip; of a clip above 60 frames a second PromptHMR leaves some out, which is not told.
    """
    camera = told["camera"]
    focal = float(numbers(path, "img_focal", np.asarray(camera["img_focal"]).reshape(-1)[:1], (1,))[0])
    middle = numbers(path, "img_center", camera.get("img_center", ()), (2,))
    scales = np.array(clip.size) / (2 * np.maximum(middle, 1e-9))
    if abs(scales[0] / scales[1] - 1) > _SQUARE or not focal > 0:
        raise InputError(f"{path} was made from frames of another shape than the clip's; give the result of this clip")
    width, height = clip.size
    people = tuple(_person(path, person) for person in told["people"].values())
    return ToolResult("PromptHMR", people, ToolCamera(focal * float(scales.mean()), (width / 2, height / 2)))


def _person(path: Path, told: Any) -> ToolPerson:
    try:
        parts, frames = told["smplx_cam"], numbers(path, "frames", told["frames"], ("N",))
        rotations = numbers(path, "rotmat", parts["rotmat"], ("N", 55, 3, 3))
        trans = numbers(path, "trans", np.asarray(parts["trans"]).reshape(-1, 3), ("N", 3))
        betas = numbers(path, "shape", parts["shape"], ("N", 10))
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: a person of it has no {error}; let the whole pipeline of PromptHMR run") from error
    expect_equal_lengths(path, frames=frames, rotmat=rotations, trans=trans, shape=betas)
    return smpl_person(frames.astype(np.int64), rotations, trans, np.median(betas, axis=0), "smplx")
