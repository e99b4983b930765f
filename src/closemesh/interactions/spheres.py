"""A body as spheres between opposite vertices: a smooth, cheap stand-in that keeps two people apart from the start."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.interactions.posed_bodies import PosedBodies
from closemesh.interactions.regions import rest_normals

_OPPOSITE = math.cos(math.radians(35))  # A sphere's second vertex lies this nearly against the normal of the first.
_APART = 0.8  # Of the radius of a chosen sphere: nearer centres add nothing.
_SMALLEST = 0.008  # Metres.
_CHUNK = 500  # Vertices whose opposites are looked for at once.


def inner_spheres(body: BodyModel) -> Tensor:
    """Vertex pairs [S, 2]: each is a diameter of a sphere inside the body, the largest spheres first.

    Of every vertex the largest ball that touches the surface there (Ma et al. 2012, shrinking balls), if it touches
    again about opposite; then greedily, largest first, those that are not nearly covered.
    """
    points, normals = body.v_template, rest_normals(body)
    partner, opposite = [], []
    for index in torch.arange(len(points), device=points.device).split(_CHUNK):
        offset = points[index, None] - points  # [n, V, 3]
        squared = offset.square().sum(-1)
        depth = (offset * normals[index, None]).sum(-1)  # How far below the tangent plane.
        radius = torch.where(depth > 1e-6, squared / (2 * depth.clamp(min=1e-6)), torch.inf)
        partner.append(radius.argmin(-1))
        nearest = torch.arange(len(index), device=points.device), partner[-1]
        opposite.append(depth[nearest] > _OPPOSITE * squared[nearest].sqrt())
    pairs = torch.stack([torch.arange(len(points), device=points.device), torch.cat(partner)], dim=-1)
    return _thinned(points, pairs[torch.cat(opposite)])


def sphere_energy(a: PosedBodies, b: PosedBodies, spheres: Tensor, shrink: float, sigma: float) -> Tensor:
    """[N] squared overlaps of the spheres of a with those of b, in units of sigma metres; radii shrunk."""
    centre_a, radius_a = _posed(a, spheres)
    centre_b, radius_b = _posed(b, spheres)
    with torch.no_grad():
        reach = shrink * (radius_a[:, :, None] + radius_b[:, None])  # [N, S, S]
        pair, i, j = (torch.cdist(centre_a, centre_b) < reach).nonzero(as_tuple=True)
    apart = (centre_a[pair, i] - centre_b[pair, j]).square().sum(-1).clamp(min=1e-10).sqrt()
    overlap = (reach[pair, i, j] - apart) / sigma
    return torch.zeros_like(centre_a[:, 0, 0]).index_add(0, pair, overlap.square())


def _posed(bodies: PosedBodies, spheres: Tensor) -> tuple[Tensor, Tensor]:
    """Centres [N, S, 3] and radii [N, S]."""
    ends = bodies.points(spheres.flatten()).unflatten(1, (-1, 2))  # [N, S, 2, 3]
    return ends.mean(2), (ends[:, :, 0] - ends[:, :, 1]).norm(dim=-1).detach() / 2


def _thinned(points: Tensor, pairs: Tensor) -> Tensor:
    centres = points[pairs].mean(1)
    radii = (points[pairs[:, 0]] - points[pairs[:, 1]]).norm(dim=-1) / 2
    waiting = radii > _SMALLEST
    chosen = []
    while waiting.any():
        largest = int(torch.where(waiting, radii, 0.0).argmax())
        chosen.append(pairs[largest])
        waiting &= (centres - centres[largest]).norm(dim=-1) > _APART * radii[largest]
    return torch.stack(chosen)
