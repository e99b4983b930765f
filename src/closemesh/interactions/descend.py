"""The minimiser of key poses: Adam on the poses of one or two batches of bodies, with a cosine decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from closemesh.interactions.freedom import joint_freedom
from closemesh.interactions.posed_bodies import PoseVariables

_FINAL_RATE = 0.05
_ROOT, _PELVIS, _BEND = 0.2, 0.12, 0.5  # Radians, metres and radians that count as one step of the learning rate.
Bodies = Sequence[PoseVariables]


def descend(
    start: Bodies, energy: Callable[[Bodies, int], Tensor], steps: int, learning_rate: float
) -> tuple[PoseVariables, ...]:
    """Variables that lower the sum of `energy(bodies, step)` [N]; every pair of the batch goes its own way.

    The learning rate is in units of each joint's freedom, so that a spine turns slowly and an arm fast.
    """
    scales = _scales(start[0])
    origin = [body.detached().tensors() for body in start]
    moves = [{name: torch.zeros_like(value, requires_grad=True) for name, value in body.items()} for body in origin]

    def moved() -> list[PoseVariables]:
        return [
            PoseVariables(**{name: value + scales[name] * move[name] for name, value in body.items()})
            for body, move in zip(origin, moves, strict=True)
        ]

    optimiser = torch.optim.Adam([move for body in moves for move in body.values()], betas=(0.85, 0.98))
    for step in range(steps):
        fade = _FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.param_groups[0]["lr"] = learning_rate * fade
        optimiser.zero_grad(set_to_none=True)
        energy(moved(), step).sum().backward()
        optimiser.step()
    return tuple(body.detached() for body in moved())


def _scales(like: PoseVariables) -> dict[str, Tensor | float]:
    return {"root": _ROOT, "body_pose": joint_freedom(like.body_pose), "pelvis": _PELVIS, "bend": _BEND}
