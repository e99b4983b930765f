"""Holes of a body mesh (eye sockets, mouth) closed by fans around a vertex in their middle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from closemesh.body.model import BodyModel


def close_holes(body: BodyModel) -> BodyModel:
    """The body with every hole closed; the added vertices stand last and move with the mean of their rim."""
    loops = boundary_loops(body.faces.cpu().numpy())
    for loop in loops:
        body = _close(body, torch.as_tensor(loop, device=body.faces.device))
    return body


def boundary_loops(faces: NDArray[np.int64]) -> list[list[int]]:
    """Vertices around each hole, in the direction in which the mesh's own faces [F, 3] run along it."""
    starts, ends = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    count = int(faces.max()) + 1
    open_edge = ~np.isin(starts * count + ends, ends * count + starts)
    following: dict[int, list[int]] = {}
    for start, end in zip(starts[open_edge].tolist(), ends[open_edge].tolist(), strict=True):
        following.setdefault(start, []).append(end)
    return [loop for start in following for loop in _loops_through(start, following)]


def _loops_through(start: int, following: dict[int, list[int]]) -> list[list[int]]:
    """Takes the open edges that lead on from `start`; holes that meet in a vertex are parted there."""
    loops, path = [], [start]
    while following.get(path[-1]):
        vertex = following[path[-1]].pop()
        if vertex in path:
            first = path.index(vertex)
            loops.append(path[first:])
            path = path[: first + 1]
        else:
            path.append(vertex)
    return loops


def _close(body: BodyModel, loop: Tensor) -> BodyModel:
    """One more vertex, the mean of the rim [N] in all it is made of, and a fan of N faces around it."""
    count = len(body.v_template)
    middle = torch.full_like(loop, count)

    def extend(values: Tensor) -> Tensor:
        return torch.cat([values, values[loop].mean(0, keepdim=True)])

    poses = None
    if body.pose_dirs is not None:
        poses = extend(body.pose_dirs.unflatten(-1, (count, 3)).transpose(0, 1)).transpose(0, 1).flatten(1)
    return replace(
        body,
        v_template=extend(body.v_template),
        shape_dirs=extend(body.shape_dirs),
        expression_dirs=extend(body.expression_dirs),
        pose_dirs=poses,
        skin_weights=extend(body.skin_weights),
        faces=torch.cat([body.faces, torch.stack([loop.roll(-1), loop, middle], dim=-1)]),
        vt=None,
        ft=None,
    )
