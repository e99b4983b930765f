"""What a network took for likely, as something that a fit stays near, each number as near as the network was sure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.variables import MotionVariables
from closemesh.energy.robust import pseudo_huber

_FAR = 3.0  # Spreads beyond which the pull grows only linearly: networks are sometimes quite wrong.


@dataclass(frozen=True)
class Anchor:
    """Mean and spread of the rotations and of the depth."""

    rotations: Tensor  # [T, P, 22, 3, 3] R_cam_root first
    rotation_spread: Tensor  # [T, P, 22] radians about each axis
    log_depth: Tensor  # [T, P]
    log_depth_spread: Tensor  # [T, P]

    def frames(self, index: slice | Tensor) -> Anchor:
        """The same people in some of the frames."""
        return Anchor(*(tensor[index] for tensor in vars(self).values()))

    def loosened(self, factor: Tensor) -> Anchor:
        """With the spreads of each person [P] times a factor."""
        spreads = self.rotation_spread * factor[:, None], self.log_depth_spread * factor
        return replace(self, rotation_spread=spreads[0], log_depth_spread=spreads[1])


def anchor_at(variables: MotionVariables, turn: float, depth: float) -> Anchor:
    """At the variables as they are, to within `turn` radians about each axis and a share `depth` of each distance."""
    rotations = variables.rotations()[..., :22, :, :].detach()
    return Anchor(
        rotations=rotations,
        rotation_spread=torch.full_like(rotations[..., 0, 0], turn),
        log_depth=variables.log_depth.detach(),
        log_depth_spread=torch.full_like(variables.log_depth, depth),
    )


def anchor_energy(variables: MotionVariables, anchor: Anchor) -> Tensor:
    """Squared distance [T, P] from the anchor, in spreads (CloseApp Eq. 9, weighted by how sure the start is)."""
    rotations = variables.rotations()[..., :22, :, :]
    # |R - R'|^2 is twice the squared angle between them, for small ones.
    squared_angle = (rotations - anchor.rotations).square().sum((-1, -2)) / 2
    turned = pseudo_huber(squared_angle / anchor.rotation_spread.square(), _FAR).sum(-1)
    moved = (variables.log_depth - anchor.log_depth) / anchor.log_depth_spread
    return turned + pseudo_huber(moved.square(), _FAR)
