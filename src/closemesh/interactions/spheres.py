"""A body as spheres between opposite vertices: a smooth, cheap stand-in that keeps two people apart from the start."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.interactions.posed_bodies import PosedBodies
from closemesh.interactions.regions import rest_normals

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
