"""The minimiser that every fit uses: Adam with a cosine decay, one rate for each kind of variable."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import torch
from torch import Tensor

from closemesh.body.variables import MotionVariables
from closemesh.progress import Advance

# Rates relative to that of rotations: a ray moves pixels, a depth metres, a shape the whole clip.
_TURNS = dict.fromkeys(("root", "body_pose", "jaw", "hand_pose"), 1.0)
_RELATIVE_RATES = {**_TURNS, "ray": 0.1, "log_depth": 0.5, "betas": 2.0}
_FINAL_RATE = 0.1  # Of the first one, after the cosine decay.


def minimise(
    variables: MotionVariables,
    loss: Callable[[MotionVariables, int], Tensor],
    *,
    iterations: int,
    learning_rate: float,
    free: Collection[str],
    advance: Advance,
) -> MotionVariables:
    """Variables after `iterations` steps on loss(variables, step); only those named in `free` move."""
    leaves = {name: tensor.detach().clone() for name, tensor in variables.tensors().items()}
    groups = [{"params": [leaves[name].requires_grad_()], "lr": learning_rate * _RELATIVE_RATES[name]} for name in free]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _cosine(step / max(iterations, 1)))
    for step in range(iterations):
        optimiser.zero_grad(set_to_none=True)
        loss(MotionVariables(**leaves), step).backward()
        optimiser.step()
        decay.step()
        advance(1)
    return MotionVariables(**leaves).detached()


def _cosine(progress: float) -> float:
    return _FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
