"""How deep one body is inside the other."""

from __future__ import annotations

from torch import Tensor

from closemesh.contact.crossings import Crossings, surface_points


def penetration_depth(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, crossings: Crossings) -> Tensor:
    """Depth [N] in metres of each crossing vertex, differentiable in both meshes.

    vertices_a, vertices_b [T, V, 3] in one frame, faces [F, 3], crossings from `find_crossings`. Exact, gradient
    included, for the vertices of the query; between two queries the depth is measured along the way out of the last
    one, so that it fades to zero when the vertex comes out.
    """
    point, on_surface = surface_points(vertices_a, vertices_b, faces, crossings)
    return ((on_surface - point) * crossings.outward).sum(-1).clamp(min=0)
