"""How far apart surfaces are that should touch."""

from __future__ import annotations

import torch
from torch import Tensor

from closemesh.contact.crossings import SurfacePairs, surface_points


def contact_gap(vertices_a: Tensor, vertices_b: Tensor, faces: Tensor, pairs: SurfacePairs) -> Tensor:
    """Distance [N] in metres of each vertex from its partner on the other surface, differentiable in both meshes.

    vertices_a, vertices_b [T, V, 3] in one frame, faces [F, 3], pairs from `find_meeting`. What
    keeps contact where penetration pushes out; its gradient is zero, not undefined, where the two points meet.
    """
    point, on_surface = surface_points(vertices_a, vertices_b, faces, pairs)
    return torch.linalg.vector_norm(point - on_surface, dim=-1)
