"""The vertices of a body that the energies of a pose look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.contact.parts import PART_INDEX, part_labels
from closemesh.interactions.regions import find_regions
from closemesh.interactions.spheres import inner_spheres

_FLOOR_POINTS, _ARM_POINTS, _TRUNK_POINTS = 120, 24, 220
_TRUNK = ("head", "neck", "chest", "upper_back", "abdomen", "lower_back", "hips", "buttocks")


@dataclass(frozen=True)
class Marks:
    """Vertex ids on one body, each [N] int64."""

    anywhere: Tensor
    """Spread over the whole surface, for what may not sink into the floor."""
    arms: Tensor
    """Of forearms and hands."""
    trunk: Tensor
    """Of trunk, head and thighs, which arms may not enter."""
    soles: tuple[Tensor, Tensor]
    """Left and right."""
    regions: Mapping[str, Tensor]
    """Every named region."""
    spheres: Tensor
    """[S, 2] diameters of spheres inside the body."""

    def renumbered(self, ids: Tensor) -> Marks:
        """The same vertices of a finer mesh, on which vertex v is ids[v]; ids [V]."""
        return Marks(
            anywhere=ids[self.anywhere],
            arms=ids[self.arms],
            trunk=ids[self.trunk],
            soles=(ids[self.soles[0]], ids[self.soles[1]]),
            regions={name: ids[region] for name, region in self.regions.items()},
            spheres=ids[self.spheres],
        )


def find_marks(body: BodyModel) -> Marks:
    """The marks of any variant of the open body."""
    arms = [_parts(body, (f"{side}_forearm", f"{side}_hand")) for side in ("left", "right")]
    thighs = ("left_thigh", "right_thigh")
    regions = find_regions(body)
    return Marks(
        anywhere=_thin(torch.arange(len(body.v_template), device=body.v_template.device), _FLOOR_POINTS),
        arms=torch.cat([_thin(arm, _ARM_POINTS) for arm in arms]),
        trunk=torch.cat([_thin(_parts(body, _TRUNK), _TRUNK_POINTS), _thin(_parts(body, thighs), _TRUNK_POINTS // 3)]),
        soles=(regions["left_sole"], regions["right_sole"]),
        regions=regions,
        spheres=inner_spheres(body),
    )


def _parts(body: BodyModel, names: tuple[str, ...]) -> Tensor:
    chosen = torch.tensor([PART_INDEX[name] for name in names], device=body.v_template.device)
    return torch.isin(part_labels(body), chosen).nonzero()[:, 0]


def _thin(ids: Tensor, count: int) -> Tensor:
    """`count` of the ids, evenly among them."""
    return ids[torch.linspace(0, len(ids) - 1, min(count, len(ids)), device=ids.device).round().long()]
