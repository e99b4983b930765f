"""Statements as energies and as the list of parts that are said to touch: what guides the refinement of a pair."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from closemesh.body.capsules import COARSE_PARTS
from closemesh.language.conditions import violation
from closemesh.language.figures import Figures
from closemesh.language.statements import Statement, Touch
from closemesh.language.told import Told

LIKELY = 0.5  # From this confidence on a touch is told to the network, which knows no half ones.


def told_violation(told: Sequence[Told], figures: Figures, times: Tensor) -> Tensor:
    """How far the people are from what is said of them [...], unweighted: 0 where all of it holds.

    figures of frames [...] at times [...] seconds. Robust squares in sigmas, each by how hard its statement pulls; what
    is said twice of a frame counts once.
    """
    pulls = torch.tensor([one.pull for one in told]).to(times).reshape(-1, *([1] * times.ndim))
    pulls = pulls * spoken_of(told, times)  # [S, ...]
    total = times.new_zeros(times.shape)
    for statement, numbers in _by_statement(told).items():
        total = total + violation(statement, figures) * pulls[numbers].amax(0)
    return total


def _by_statement(told: Sequence[Told]) -> dict[Statement, list[int]]:
    """Where each different statement that pulls stands among those told."""
    found: dict[Statement, list[int]] = {}
    for number, one in enumerate(told):
        if one.pull > 0:
            found.setdefault(one.statement, []).append(number)
    return found


def spoken_of(told: Sequence[Told], times: Tensor) -> Tensor:
    """Whether each statement speaks of each frame, 0 or 1 [S, ...]; times [..., T] seconds.

    A span reaches half a frame beyond its borders, so that one frame alone can be spoken of.
    """
    steps = times.diff(dim=-1)
    # Windows may repeat their last frame: steps of no time say nothing of the rate.
    half = float(steps[steps > 0].median()) / 2 if bool((steps > 0).any()) else 0.0
    return torch.stack([(times >= one.start - half) & (times <= one.end + half) for one in told]).to(times.dtype)


def touching_parts(told: Sequence[Told], times: Tensor) -> Tensor | None:
    """Parts of person 0 and of person 1 that are said to touch [..., 17, 17] bool at times [...]; None: nothing is."""
    touches = [one for one in told if isinstance(one.statement, Touch) and one.confidence >= LIKELY]
    if not touches:
        return None
    said = torch.zeros(*times.shape, len(COARSE_PARTS), len(COARSE_PARTS), dtype=torch.bool, device=times.device)
    for one, spoken in zip(touches, spoken_of(touches, times).bool(), strict=True):
        assert isinstance(one.statement, Touch)
        said[..., COARSE_PARTS.index(one.statement.part_a), COARSE_PARTS.index(one.statement.part_b)] |= spoken
    return said if bool(said.any()) else None
