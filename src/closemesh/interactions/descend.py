"""The minimiser of key poses: Adam on the poses of one or two batches of bodies, with a cosine decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from closemesh.interactions.posed_bodies import PoseVariables

_RATES = {"root": 1.0, "body_pose": 1.0, "pelvis": 0.5, "bend": 1.0}  # Of the learning rate.
_FINAL_RATE = 0.05
Bodies = Sequence[PoseVariables]


def descend(
    start: Bodies, energy: Callable[[Bodies, int], Tensor], steps: int, learning_rate: float
) -> tuple[PoseVariables, ...]:
    """Variables that lower the sum of `energy(bodies, step)` [N]; every pair of the batch goes its own way."""
    leaves = [{name: tensor.requires_grad_() for name, tensor in body.detached().tensors().items()} for body in start]
    groups = [
        {"params": [body[name] for body in leaves], "lr": learning_rate * rate, "start": learning_rate * rate}
        for name, rate in _RATES.items()
    ]
    optimiser = torch.optim.Adam(groups, betas=(0.85, 0.98))
    for step in range(steps):
        fade = _FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimiser.param_groups:
            group["lr"] = group["start"] * fade
        optimiser.zero_grad(set_to_none=True)
        energy([PoseVariables(**body) for body in leaves], step).sum().backward()
        optimiser.step()
    return tuple(PoseVariables(**body).detached() for body in leaves)
