"""The same pose through the package `smplx`."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import smplx
from torch import Tensor


def smplx_output(path: Path, betas: Tensor, pose: Tensor, transl: Tensor, expression: Tensor) -> Any:
    """What `smplx` makes of the file at `path`; betas [N, B], pose [N, 55, 3] axis-angle, transl [N, 3]."""
    with contextlib.redirect_stdout(io.StringIO()):
        layer = smplx.SMPLX(str(path), use_pca=False, flat_hand_mean=True, ext="npz", batch_size=len(pose))
    flat = pose.flatten(1)
    return layer(
        betas=betas,
        expression=expression,
        transl=transl,
        global_orient=flat[:, :3],
        body_pose=flat[:, 3:66],
        jaw_pose=flat[:, 66:69],
        leye_pose=flat[:, 69:72],
        reye_pose=flat[:, 72:75],
        left_hand_pose=flat[:, 75:120],
        right_hand_pose=flat[:, 120:165],
    )
