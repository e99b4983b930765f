"""Vertices that the energies of a pose evaluate: samples of the surface, inner spheres, contact anchors."""

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

_NUM_SURFACE, _NUM_ARM, _NUM_TRUNK = 120, 24, 220
_TRUNK = ("head", "neck", "chest", "upper_back", "abdomen", "lower_back", "hips", "buttocks")


@dataclass(frozen=True)
class SurfacePoints:
    """Vertex ids on one body, each [N] int64 unless noted."""

    surface: Tensor
    """Samples of the whole surface, which must stay above the floor."""
    arms: Tensor
    """Samples of forearms and hands."""
    trunk: Tensor
    """Samples of trunk, head and thighs, which arms must not penetrate."""
    soles: tuple[Tensor, Tensor]
    """Left and right."""
    regions: Mapping[str, Tensor]
    """Every named region."""
    supports: Mapping[str, Tensor]
    """Every named region with all its vertices, of which the lowest is on the floor."""
    spheres: Tensor
    """[S, 2] ends of diameters of spheres inside the body."""

    def renumbered(self, ids: Tensor) -> SurfacePoints:
        """The same vertices on a finer mesh, where vertex v has the id ids[v]; ids [V]."""
        return SurfacePoints(
            surface=ids[self.surface],
            arms=ids[self.arms],
            trunk=ids[self.trunk],
            soles=(ids[self.soles[0]], ids[self.soles[1]]),
            regions={name: ids[region] for name, region in self.regions.items()},
            supports={name: ids[region] for name, region in self.supports.items()},
            spheres=ids[self.spheres],
        )


def find_surface_points(body: BodyModel, num_surface: int = _NUM_SURFACE) -> SurfacePoints:
    """The surface points of any variant of the bundled body, with `num_surface` samples of the whole surface."""
    arms = [_vertices_of_parts(body, (f"{side}_forearm", f"{side}_hand")) for side in ("left", "right")]
    trunk, thighs = _vertices_of_parts(body, _TRUNK), _vertices_of_parts(body, ("left_thigh", "right_thigh"))
    regions = find_regions(body)
    return SurfacePoints(
        surface=_subsample(torch.arange(len(body.v_template), device=body.v_template.device), num_surface),
        arms=torch.cat([_subsample(arm, _NUM_ARM) for arm in arms]),
        trunk=torch.cat([_subsample(trunk, _NUM_TRUNK), _subsample(thighs, _NUM_TRUNK // 3)]),
        soles=(regions["left_sole"], regions["right_sole"]),
        regions=regions,
        supports=regions,
        spheres=inner_spheres(body),
    )


def _vertices_of_parts(body: BodyModel, names: tuple[str, ...]) -> Tensor:
    """Vertex ids [N] of some body parts."""
    parts = torch.tensor([PART_INDEX[name] for name in names], device=body.v_template.device)
    return torch.isin(part_labels(body), parts).nonzero()[:, 0]


def _subsample(ids: Tensor, count: int) -> Tensor:
    """At most `count` of the ids, evenly spaced."""
    return ids[torch.linspace(0, len(ids) - 1, min(count, len(ids)), device=ids.device).round().long()]


_MIN_END_COSINE = math.cos(math.radians(40))  # Between the normal at either end of a diameter and the diameter.
_MIN_SEPARATION = 0.8  # Distance of centers, in radii of the larger sphere.
_FILL = 0.93  # Fraction of the radius: spheres bulge out of flat surfaces.
_MIN_RADIUS = 0.008  # Meters.
_CHUNK = 500  # Vertices whose opposite vertices are searched at once.


def inner_spheres(body: BodyModel) -> Tensor:
    """Vertex pairs [S, 2]: each is about a diameter of a sphere inside the body, the largest spheres first.

    Each vertex has a largest ball that touches the surface there (Ma et al. 2012, shrinking balls). It is a candidate
    if it touches the surface again on about the opposite side. Candidates are then selected greedily by size.
    """
    points, normals = body.v_template, rest_normals(body)
    opposite = []
    for index in torch.arange(len(points), device=points.device).split(_CHUNK):
        offset = points[index, None] - points  # [n, V, 3]
        depth = (offset * normals[index, None]).sum(-1)  # Below the tangent plane.
        radius = torch.where(depth > 1e-6, offset.square().sum(-1) / (2 * depth.clamp(min=1e-6)), torch.inf)
        opposite.append(radius.argmin(-1))
    pairs = torch.stack([torch.arange(len(points), device=points.device), torch.cat(opposite)], dim=-1)
    diameter = F.normalize(points[pairs[:, 0]] - points[pairs[:, 1]], dim=-1)
    cosines = (diameter[:, None] * normals[pairs]).sum(-1) * torch.tensor([1.0, -1.0]).to(points)  # [V, 2]
    return _select_spheres(points, pairs[(cosines > _MIN_END_COSINE).all(-1)])


def posed_spheres(bodies: PosedBodies, spheres: Tensor) -> tuple[Tensor, Tensor]:
    """Centers [N, S, 3] and radii [N, S] in meters of spheres [S, 2]; the radii have no gradient."""
    ends = bodies.points(spheres.flatten()).unflatten(1, (-1, 2))  # [N, S, 2, 3]
    return ends.mean(2), _FILL * (ends[:, :, 0] - ends[:, :, 1]).norm(dim=-1).detach() / 2


def sphere_energy(a: PosedBodies, b: PosedBodies, spheres: Tensor, sigma: float) -> Tensor:
    """[N] squared overlaps of the spheres [S, 2] of a with those of b, in units of sigma meters."""
    (center_a, radius_a), (center_b, radius_b) = posed_spheres(a, spheres), posed_spheres(b, spheres)
    with torch.no_grad():
        radii = radius_a[:, :, None] + radius_b[:, None]  # [N, S, S]
        pair, i, j = (torch.cdist(center_a, center_b) < radii).nonzero(as_tuple=True)
    distance = (center_a[pair, i] - center_b[pair, j]).square().sum(-1).clamp(min=1e-10).sqrt()
    overlap = (radii[pair, i, j] - distance) / sigma
    return torch.zeros_like(center_a[:, 0, 0]).index_add(0, pair, overlap.square())


def _select_spheres(points: Tensor, pairs: Tensor) -> Tensor:
    """Pairs [S, 2] of spheres, largest first, without those close to a larger one; points [V, 3]."""
    centers = points[pairs].mean(1)
    radii = (points[pairs[:, 0]] - points[pairs[:, 1]]).norm(dim=-1) / 2
    remaining, selected = radii > _MIN_RADIUS, []
    while remaining.any():
        largest = int(torch.where(remaining, radii, 0.0).argmax())
        selected.append(pairs[largest])
        remaining &= (centers - centers[largest]).norm(dim=-1) > _MIN_SEPARATION * radii[largest]
    return torch.stack(selected)


_ANCHOR_STD = 0.7  # Standard deviation of drawn anchors, relative to that of the region.
_DRIFT_COST = 0.5  # Meters of distance per meter between an anchor and the drawn one.
_FACING_COST = 0.03  # Meters of distance for perpendicular normals.


def draw_anchors(
    template: InteractionTemplate,
    body: BodyModel,
    regions: Mapping[str, Tensor],
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Random vertices [count, K, 2] of a and b for each contact; more in the middle of a region than at its rim."""
    columns = [
        torch.stack([_draw_vertices(regions[name], body, count, generator) for name in (contact.a, contact.b)], dim=-1)
        for contact in template.contacts
    ]
    return torch.stack(columns, dim=1)


def nearest_anchors(
    template: InteractionTemplate,
    body: BodyModel,
    regions: Mapping[str, Tensor],
    drawn: Tensor,
    a: PosedBodies,
    b: PosedBodies,
) -> Tensor:
    """Vertices [N, K, 2] of the regions that are nearest to each other now and not far from drawn [N, K, 2]."""
    with torch.no_grad():
        columns = [
            _nearest_pair((regions[contact.a], regions[contact.b]), body, drawn[:, k], a, b)
            for k, contact in enumerate(template.contacts)
        ]
    return torch.stack(columns, dim=1)


def _draw_vertices(region: Tensor, body: BodyModel, count: int, generator: torch.Generator) -> Tensor:
    """Random vertices [count] of a region [V]."""
    squared = (body.v_template[region] - body.v_template[region].mean(0)).square().sum(-1)
    weights = torch.exp(-squared / (2 * _ANCHOR_STD**2 * squared.mean()))
    return region[torch.multinomial(weights.cpu(), count, replacement=True, generator=generator).to(region.device)]


def _nearest_pair(
    regions: tuple[Tensor, Tensor], body: BodyModel, drawn: Tensor, a: PosedBodies, b: PosedBodies
) -> Tensor:
    """[N, 2] the best vertices of one contact, from the regions of a and b; drawn [N, 2]."""
    region_a, region_b = regions
    points_a, normals_a = a.points_and_normals(region_a)
    points_b, normals_b = b.points_and_normals(region_b)
    rest = body.v_template
    drift_a = torch.cdist(rest[drawn[:, 0]], rest[region_a])  # [N, A]
    drift_b = torch.cdist(rest[drawn[:, 1]], rest[region_b])  # [N, B]
    facing = 1 + normals_a @ normals_b.mT  # [N, A, B] 0 for opposite normals
    drift = drift_a[:, :, None] + drift_b[:, None]
    cost = torch.cdist(points_a, points_b) + _FACING_COST * facing + _DRIFT_COST * drift
    best = cost.flatten(1).argmin(-1)
    return torch.stack([region_a[best // len(region_b)], region_b[best % len(region_b)]], dim=-1)
