"""The correction of a motion that its residuals ask for, by Levenberg and Marquardt's steps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.interactions.levers import FREE_JOINTS, NUM_PARAMETERS, PosedPairs
from closemesh.interactions.newton import Rows, newton_step
from closemesh.interactions.pair_motion import PairMotion

Residuals = Callable[[PosedPairs, PairMotion], Rows]
_FIRST_DAMPING = 0.3  # In units of the weight that keeps parameters small.
_GOOD_ENOUGH = 0.005  # A step that lowers the cost by no more than this share is the last one.


def correct(
    motion: PairMotion, body: BodyModel, residuals: Residuals, inverse_sigmas: Tensor, bends: Tensor, steps: int
) -> tuple[Tensor, Tensor]:
    """Turns [F, 2, 22, 3] in radians and shift [F, 2, 3] in metres that make the residuals small.

    inverse_sigmas [F, 2 * NUM_PARAMETERS] and bends [M, F] as in `newton_step`; steps that do not help are not taken.
    """
    best = _Trial(motion, body, residuals, torch.zeros(len(motion), 2, 22, 3), torch.zeros(len(motion), 2, 3))
    lowest = best.cost(inverse_sigmas, bends)
    damping = _FIRST_DAMPING
    if len(best.rows.values) == 0:
        return best.turns, best.shift
    for _ in range(steps):
        step = newton_step(best.rows, best.total, inverse_sigmas, bends, damping).unflatten(1, (2, NUM_PARAMETERS))
        trial = _Trial(motion, body, residuals, *best.stepped(step))
        cost = trial.cost(inverse_sigmas, bends)
        if cost > lowest:
            damping *= 6
            continue
        done = lowest - cost < _GOOD_ENOUGH * lowest
        best, lowest, damping = trial, cost, damping / 4
        if done:
            break
    return best.turns, best.shift


def turned_further(turns: Tensor, further: Tensor) -> Tensor:
    """Rotation vectors [..., 3] of one turn after the other."""
    return matrix_to_axis_angle(axis_angle_to_matrix(turns) @ axis_angle_to_matrix(further))


class _Trial:
    """A correction, and how far the motion with it is from what is wanted."""

    def __init__(self, motion: PairMotion, body: BodyModel, residuals: Residuals, turns: Tensor, shift: Tensor) -> None:
        self.turns, self.shift = turns, shift
        moved = motion.moved(turns, shift)
        self.rows = residuals(PosedPairs(body, moved), moved)
        self.total = torch.cat([turns[:, :, FREE_JOINTS].flatten(2), shift], dim=-1).flatten(1)  # [F, D]

    def cost(self, inverse_sigmas: Tensor, bends: Tensor) -> float:
        """What `newton_step` makes small."""
        size = (self.total * inverse_sigmas).square().sum()
        bent = ((bends @ self.total).square() * inverse_sigmas.square().mean(0)).sum()
        return float(self.rows.values.square().sum() + size + bent)

    def stepped(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """Turns and shift after a step [F, 2, NUM_PARAMETERS]."""
        turns = self.turns.clone()
        further = step[..., :-3].unflatten(-1, (-1, 3))
        turns[:, :, FREE_JOINTS] = turned_further(turns[:, :, FREE_JOINTS], further)
        return turns, self.shift + step[..., -3:]
