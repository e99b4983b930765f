"""How two people stand to each other, which stays as it was found while both of them move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from closemesh.body.variables import MotionVariables
from closemesh.energy.robust import pseudo_huber

_FAR = 3.0  # Sigmas beyond which the pull grows only linearly.


@dataclass(frozen=True)
class Relation:
    """The way from one pelvis to the other, as far as it is known."""

    pair: tuple[int, int]
    offset: Tensor  # [T, 3] metres from a to b, camera frame
    inverse_sigma: Tensor  # [T] 1 / metres; 0 where the two are not near

    def frames(self, index: slice | Tensor) -> Relation:
        """The same pair in some of the frames."""
        return Relation(self.pair, self.offset[index], self.inverse_sigma[index])


def relation_of(variables: MotionVariables, pair: tuple[int, int], near: Tensor, sigma: float) -> Relation:
    """How the pair stands now; near [T] bool, sigma in metres."""
    return Relation(pair, _offset(variables, pair).detach(), near / sigma)


def relation_energy(variables: MotionVariables, relations: Sequence[Relation]) -> Tensor:
    """Squared change of the offsets of all pairs, in sigmas, as one number."""
    total = variables.log_depth.new_zeros(())
    for relation in relations:
        moved = (_offset(variables, relation.pair) - relation.offset) * relation.inverse_sigma[:, None]
        total = total + pseudo_huber(moved.square().sum(-1), _FAR).sum()
    return total


def _offset(variables: MotionVariables, pair: tuple[int, int]) -> Tensor:
    a, b = pair
    pelvis = variables.pelvis()
    return pelvis[:, b] - pelvis[:, a]
