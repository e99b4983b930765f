"""The floor and the feet on it, as a part of the objective."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from closemesh.body.points import PosedPoints
from closemesh.energy.ground import height_above, sinking, sliding
from closemesh.energy.robust import geman_mcclure, pseudo_huber
from closemesh.fitting.evidence import Evidence
from closemesh.fitting.schedule import SIGMAS, Weights

AIRBORNE = 0.2  # Metres above the floor from which a foot is taken to be in the air.
SINKING_OUTLIER = 3.0  # Sigmas below the floor from which it costs only linearly.
SLIDING_OUTLIER = 4.0  # Sigmas of speed from which a foot is taken to step.


@dataclass(frozen=True)
class Ground:
    """The floor and who stands on it."""

    floor: Tensor  # [4] unit normal upwards and offset, camera frame
    standing: Tensor  # [T, P, 2] in 0..1, left and right foot
    sigma: float = SIGMAS.standing  # metres
    airborne: float = AIRBORNE  # metres

    def frames(self, index: slice | Tensor) -> Ground:
        """The same floor in some of the frames."""
        return replace(self, standing=self.standing[index])


def standing_energy(height: Tensor, ground: Ground) -> Tensor:
    """How far each standing foot is off the floor, in variances; height [T, P, 2] in metres of its lowest point."""
    return geman_mcclure((height / ground.sigma).square(), ground.airborne / ground.sigma) * ground.standing


def ground_loss(posed: PosedPoints, ground: Ground, evidence: Evidence, weights: Weights) -> Tensor:
    """Weighted energy as one number: feet not below the floor, standing feet on it and still."""
    depth = (sinking(posed.soles, ground.floor) / SIGMAS.sinking).square().amax(-1)  # [T, P, 2]
    # Where the floor is wrong, or somebody is carried, feet far below it must not pull people apart.
    below = pseudo_huber(depth, SINKING_OUTLIER) * evidence.present[..., None]
    height = height_above(posed.soles, ground.floor).amin(-1)  # [T, P, 2]
    loss = weights.floor * (below.sum() + standing_energy(height, ground).sum())
    if weights.sliding > 0 and len(evidence.times) > 1:
        stands = ground.standing * (height.detach().abs() < ground.airborne)
        speed = sliding(posed.soles.mean(-2), stands, evidence.times) / SIGMAS.sliding
        loss = loss + weights.sliding * geman_mcclure(speed.square(), SLIDING_OUTLIER).sum()
    return loss
