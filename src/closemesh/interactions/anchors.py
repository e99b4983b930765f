"""Which vertex of a region meets which: chosen at random at first, then the nearest that face each other."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.interactions.posed_bodies import PosedBodies
from closemesh.interactions.recipe import Recipe

_SPREAD = 0.7  # Standard deviation of the first choice, in units of the region's own.
_DRIFT = 0.5  # Metres of distance that a metre away from the first choice is worth.
_FACING = 0.03  # Metres of distance that normals across each other are worth.


def draw_anchors(
    recipe: Recipe, body: BodyModel, regions: Mapping[str, Tensor], count: int, generator: torch.Generator
) -> Tensor:
    """Vertices [count, K, 2] of a and b for each touch, near the middles of their regions rather than at the rims."""
    columns = [
        torch.stack([_draw(regions[name], body, count, generator) for name in (touch.a, touch.b)], dim=-1)
        for touch in recipe.touches
    ]
    return torch.stack(columns, dim=1)


def nearest_anchors(
    recipe: Recipe, body: BodyModel, regions: Mapping[str, Tensor], drawn: Tensor, a: PosedBodies, b: PosedBodies
) -> Tensor:
    """Vertices [N, K, 2] of the same regions that are nearest to each other now and not far from the `drawn` ones."""
    with torch.no_grad():
        columns = [
            _nearest(regions[touch.a], regions[touch.b], body, drawn[:, k], a, b)
            for k, touch in enumerate(recipe.touches)
        ]
    return torch.stack(columns, dim=1)


def _draw(region: Tensor, body: BodyModel, count: int, generator: torch.Generator) -> Tensor:
    """[count] vertices of a region [V]."""
    away = (body.v_template[region] - body.v_template[region].mean(0)).square().sum(-1)
    weights = torch.exp(-away / (2 * _SPREAD**2 * away.mean()))
    return region[torch.multinomial(weights.cpu(), count, replacement=True, generator=generator).to(region.device)]


def _nearest(
    region_a: Tensor, region_b: Tensor, body: BodyModel, drawn: Tensor, a: PosedBodies, b: PosedBodies
) -> Tensor:
    """[N, 2] the best pair of vertices of one touch; drawn [N, 2]."""
    points_a, normals_a = a.points_and_normals(region_a)
    points_b, normals_b = b.points_and_normals(region_b)
    rest = body.v_template
    drift_a = torch.cdist(rest[drawn[:, 0]], rest[region_a])  # [N, A]
    drift_b = torch.cdist(rest[drawn[:, 1]], rest[region_b])  # [N, B]
    facing = 1 + normals_a @ normals_b.mT  # [N, A, B] 0 where they face each other
    cost = torch.cdist(points_a, points_b) + _FACING * facing + _DRIFT * (drift_a[:, :, None] + drift_b[:, None])
    best = cost.flatten(1).argmin(-1)
    return torch.stack([region_a[best // len(region_b)], region_b[best % len(region_b)]], dim=-1)
