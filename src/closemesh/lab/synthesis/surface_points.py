"""Contact anchors, inner spheres, sampled vertices.

A body as spheres between opposite vertices: a smooth, cheap stand-in that keeps two people apart from the start.

The vertices of a body that the energies of a pose look at.

Which vertex of a region meets which: chosen at random at first, then the nearest that face each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.contact.body_parts import PART_INDEX, part_labels
from closemesh.lab.synthesis.body_regions import find_regions, rest_normals
from closemesh.lab.synthesis.posed_bodies import PosedBodies
from closemesh.lab.synthesis.templates.schema import InteractionTemplate

_OPPOSITE = math.cos(math.radians(40))  # The normals at both ends of a sphere point this nearly along its diameter.
_APART = 0.8  # Of the radius of a chosen sphere: nearer centres add nothing.
_FILL = 0.93  # Of the radius: spheres bulge out of flat places.
_SMALLEST = 0.008  # Metres.
_CHUNK = 500  # Vertices whose opposites are looked for at once.


def inner_spheres(body: BodyModel) -> Tensor:
    """Vertex pairs [S, 2]: each is about a diameter of a sphere inside the body, the largest spheres first.

    Of every vertex the largest ball that touches the surface there (Ma et al. 2012, shrinking balls), if it touches
    again about opposite, seen from either end; then greedily, largest first, those that are not nearly covered.
    """
    points, normals = body.v_template, rest_normals(body)
    partner = []
    for index in torch.arange(len(points), device=points.device).split(_CHUNK):
        offset = points[index, None] - points  # [n, V, 3]
        depth = (offset * normals[index, None]).sum(-1)  # How far below the tangent plane.
        radius = torch.where(depth > 1e-6, offset.square().sum(-1) / (2 * depth.clamp(min=1e-6)), torch.inf)
        partner.append(radius.argmin(-1))
    pairs = torch.stack([torch.arange(len(points), device=points.device), torch.cat(partner)], dim=-1)
    across = F.normalize(points[pairs[:, 0]] - points[pairs[:, 1]], dim=-1)
    cosines = (across[:, None] * normals[pairs]).sum(-1) * torch.tensor([1.0, -1.0]).to(points)  # [V, 2]
    return _thinned(points, pairs[(cosines > _OPPOSITE).all(-1)])


def posed_spheres(bodies: PosedBodies, spheres: Tensor) -> tuple[Tensor, Tensor]:
    """Centres [N, S, 3] and radii [N, S] in metres; the radii have no gradient."""
    ends = bodies.points(spheres.flatten()).unflatten(1, (-1, 2))  # [N, S, 2, 3]
    return ends.mean(2), _FILL * (ends[:, :, 0] - ends[:, :, 1]).norm(dim=-1).detach() / 2


def sphere_energy(a: PosedBodies, b: PosedBodies, spheres: Tensor, sigma: float) -> Tensor:
    """[N] squared overlaps of the spheres of a with those of b, in units of sigma metres."""
    (centre_a, radius_a), (centre_b, radius_b) = posed_spheres(a, spheres), posed_spheres(b, spheres)
    with torch.no_grad():
        reach = radius_a[:, :, None] + radius_b[:, None]  # [N, S, S]
        pair, i, j = (torch.cdist(centre_a, centre_b) < reach).nonzero(as_tuple=True)
    apart = (centre_a[pair, i] - centre_b[pair, j]).square().sum(-1).clamp(min=1e-10).sqrt()
    overlap = (reach[pair, i, j] - apart) / sigma
    return torch.zeros_like(centre_a[:, 0, 0]).index_add(0, pair, overlap.square())


def _thinned(points: Tensor, pairs: Tensor) -> Tensor:
    """The pairs [S, 2] of those given whose spheres are kept."""
    centres = points[pairs].mean(1)
    radii = (points[pairs[:, 0]] - points[pairs[:, 1]]).norm(dim=-1) / 2
    waiting, chosen = radii > _SMALLEST, []
    while waiting.any():
        largest = int(torch.where(waiting, radii, 0.0).argmax())
        chosen.append(pairs[largest])
        waiting &= (centres - centres[largest]).norm(dim=-1) > _APART * radii[largest]
    return torch.stack(chosen)


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


_SPREAD = 0.7  # Standard deviation of the first choice, in units of the region's own.
_DRIFT = 0.5  # Metres of distance that a metre away from the first choice is worth.
_FACING = 0.03  # Metres of distance that normals across each other are worth.


def draw_anchors(
    recipe: InteractionTemplate, body: BodyModel, regions: Mapping[str, Tensor], count: int, generator: torch.Generator
) -> Tensor:
    """Vertices [count, K, 2] of a and b for each touch, near the middles of their regions rather than at the rims."""
    columns = [
        torch.stack([_draw(regions[name], body, count, generator) for name in (touch.a, touch.b)], dim=-1)
        for touch in recipe.touches
    ]
    return torch.stack(columns, dim=1)


def nearest_anchors(
    recipe: InteractionTemplate,
    body: BodyModel,
    regions: Mapping[str, Tensor],
    drawn: Tensor,
    a: PosedBodies,
    b: PosedBodies,
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
