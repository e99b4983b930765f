"""Frame-wise work over two meshes: which frames are near at all, and all cores for those that are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from closemesh.body.model import BodyModel
from closemesh.body.skinning import skin
from closemesh.scene import BodyMotion

_CHUNK = 32  # Frames skinned at once, so that memory does not grow with the clip.
_Result = TypeVar("_Result")


def map_frames(function: Callable[[int], _Result], frames: Iterable[int]) -> list[_Result]:
    """`function` of every frame, on all cores: the compiled queries leave the GIL alone."""
    frames = list(frames)
    if len(frames) < 2:
        return [function(frame) for frame in frames]
    with ThreadPoolExecutor(max_workers=min(len(frames), os.cpu_count() or 1)) as pool:
        return list(pool.map(function, frames))


def boxes_within(a: NDArray, b: NDArray, reach: float) -> NDArray[np.bool_]:
    """[T] the boxes around vertices a and b [T, V, 3] are no more than `reach` metres apart on any axis."""
    gap = np.maximum(a.min(1) - b.max(1), b.min(1) - a.max(1))  # [T, 3]
    return (gap <= reach).all(-1)


def within_box(points: NDArray, vertices: NDArray, margin: float) -> NDArray[np.int64]:
    """Ids of the points [N, 3] in the box around vertices [V, 3], widened by `margin` metres."""
    return np.flatnonzero(_inside_box(points, vertices, margin))


@njit(cache=True, nogil=True)
def _inside_box(points, vertices, margin):
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for n in range(len(vertices)):
        for axis in range(3):
            low[axis] = min(low[axis], vertices[n, axis])
            high[axis] = max(high[axis], vertices[n, axis])
    inside = np.ones(len(points), dtype=np.bool_)
    for n in range(len(points)):
        for axis in range(3):
            if not low[axis] - margin <= points[n, axis] <= high[axis] + margin:
                inside[n] = False
    return inside


def posed_chunks(motion: BodyMotion, body: BodyModel) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """First frame and vertices [t, P, V, 3] of successive pieces of the motion, in its own frame, metres."""
    like = body.v_template

    def tensor(array: NDArray) -> torch.Tensor:
        return torch.as_tensor(array, dtype=like.dtype, device=like.device)

    for first in range(0, len(motion.transl), _CHUNK):
        piece = slice(first, first + _CHUNK)
        pose = tensor(motion.rotations[piece]), tensor(motion.transl[piece]), tensor(motion.expression[piece])
        with torch.no_grad():
            vertices, _ = skin(body, tensor(motion.betas), *pose)
        yield first, vertices.cpu().numpy().astype(np.float64)
