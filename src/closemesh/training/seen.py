"""One person with one side in mind: what remarks measure."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from closemesh.language.figures import Figures


@dataclass(frozen=True)
class Seen:
    """One person, as seen with one side in mind."""

    figures: Figures
    person: int
    side: str

    def at(self, name: str) -> Tensor:
        """A point [..., 3]: `hand` is that of the side, `other_hand` the other one, `hip_middle` between both."""
        other = "right" if self.side == "left" else "left"
        if name.endswith("_middle"):
            return self.figures.middle(self.person, name.removesuffix("_middle"))
        if name == "head":
            return self.figures.point(self.person, "head")
        limb = name.removeprefix("other_")
        return self.figures.point(self.person, f"{other if limb != name else self.side}_{limb}")

    def keypoint(self, name: str) -> Tensor:
        return self.figures.named(self.person, name)

    def away(self, name: str, of_name: str) -> Tensor:
        return self.at(name) - self.at(of_name)

    def axis(self, number: int) -> Tensor:
        """[..., 3] of the trunk: 0 outwards on this side, 1 along it, 2 to the front."""
        axis = self.figures.trunk(self.person)[..., number, :]
        return -axis if number == 0 and self.side == "right" else axis

    def level(self, axis: Tensor) -> Tensor:
        """The axis made horizontal."""
        up = self.figures.up
        return F.normalize(axis - (axis * up).sum(-1, keepdim=True) * up, dim=-1, eps=1e-6)

    def height(self, name: str) -> Tensor:
        """[...] metres above the lowest point of the person."""
        return self.figures.height(self.at(name)) - self.figures.lowest(self.person)

    def direction(self, name: str, of_name: str, axis: Tensor) -> Tensor:
        """[...] -1..1 how far the way from the one to the other goes along an axis."""
        return (F.normalize(self.away(name, of_name), dim=-1, eps=1e-6) * axis).sum(-1)
