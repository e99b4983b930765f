"""Surface points of the Gaussians: the texels of a square UV map that are on the skin."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel, UVMap, uv_map
from closemesh.core.tensor_dataclass import TensorDataclass, static

SIDE_STEP = 8  # Sides are multiples of it, so that a network can halve a map three times.


@dataclass(frozen=True)
class UVSurface(TensorDataclass):
    """Texels of a square map with centers on the skin, row by row; rows are v, columns u."""

    side: int
    rows: Tensor = field(metadata=static())  # [G] int64
    columns: Tensor = field(metadata=static())  # [G] int64
    face_ids: Tensor = field(metadata=static())  # [G] int64
    corners: Tensor = field(metadata=static())  # [G, 3] int64, vertices of the face
    barycentric: Tensor = field(metadata=static())  # [G, 3]
    tangents: Tensor = field(metadata=static())
    """[G, 2] direction of u as a combination of the face's first two edges."""
    sizes: Tensor = field(metadata=static())
    """[G, 2] meters, longest and shortest extent of a texel on the mean body."""
    turns: Tensor = field(metadata=static())
    """[G] radians about the normal, from the direction of u to that of the longest extent."""

    def __len__(self) -> int:
        return len(self.face_ids)

    @property
    def texels(self) -> Tensor:
        """Indices [G] into the flattened map."""
        return self.rows * self.side + self.columns


def surface_body(body: BodyModel) -> BodyModel:
    """The body whose surface the Gaussians are on: for a bundled body the lightest one, which has the same betas."""
    if not body.is_bundled:
        return body
    return load_bundled_body("light").to(body.v_template.device, body.v_template.dtype)


def uv_map_side(body: BodyModel, wanted: int) -> int:
    """Side of the map with about `wanted` texels on the skin. Raises ModelFileError when the body has no UV map."""
    corners = uv_map(body).corners()
    covered = float(_cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).abs().sum() / 2)
    return max(1, round(math.sqrt(wanted / covered) / SIDE_STEP)) * SIDE_STEP


def sample_surface(body: BodyModel, side: int) -> UVSurface:
    """The texels on the skin of a map of `side` rows and columns, each on one face.

    Raises ModelFileError when the body has no UV map.
    """
    layout = uv_map(body)
    corners = layout.corners() * side  # [F, 3, 2] texels
    face_ids, rows, columns = _candidates(corners)
    barycentric = _barycentric(corners[face_ids], torch.stack([columns, rows], -1) + 0.5)
    inside = (barycentric >= 0).all(-1)
    face_ids, rows, columns, barycentric = (x[inside] for x in (face_ids, rows, columns, barycentric))
    chosen = _first_of_each(rows * side + columns)
    tangents, sizes, turns = _texel_shapes(body, layout, side)
    face_ids = face_ids[chosen]
    return UVSurface(
        side=side,
        rows=rows[chosen],
        columns=columns[chosen],
        face_ids=face_ids,
        corners=body.faces[face_ids],
        barycentric=barycentric[chosen],
        tangents=tangents[face_ids],
        sizes=sizes[face_ids],
        turns=turns[face_ids],
    )


def _candidates(corners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Face, row and column [N] of every texel with its center in the box of a face; corners [F, 3, 2] in texels."""
    low, high = (corners.amin(1) - 0.5).ceil().long(), (corners.amax(1) - 0.5).floor().long()  # [F, 2]
    width, height = (high - low + 1).clamp(min=0).unbind(-1)
    counts = width * height
    face_ids = torch.arange(len(corners), device=corners.device).repeat_interleave(counts)
    offset = torch.arange(len(face_ids), device=corners.device) - (counts.cumsum(0) - counts)[face_ids]
    rows, columns = offset // width[face_ids], offset % width[face_ids]
    return face_ids, low[face_ids, 1] + rows, low[face_ids, 0] + columns


def _barycentric(corners: Tensor, points: Tensor) -> Tensor:
    """Barycentric coordinates [N, 3] of points [N, 2] in triangles [N, 3, 2]; nan without area."""
    a, b, c = corners.unbind(1)
    area = _cross(b - a, c - a)
    second, third = _cross(points - a, c - a) / area, _cross(b - a, points - a) / area
    return torch.stack([1 - second - third, second, third], dim=-1)


def _first_of_each(texels: Tensor) -> Tensor:
    """Position of the first of each value in texels [N], in the order of the values: some maps overlap a little."""
    order = texels.argsort(stable=True)
    sorted_texels = texels[order]
    first = torch.ones_like(sorted_texels, dtype=torch.bool)
    first[1:] = sorted_texels[1:] != sorted_texels[:-1]
    return order[first]


def _texel_shapes(body: BodyModel, layout: UVMap, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tangents [F, 2], sizes [F, 2] and turns [F] of the texels of each face, as in UVSurface."""
    corners, positions = layout.corners() * side, body.v_template[body.faces]
    (du1, dv1), (du2, dv2) = ((corners[:, k] - corners[:, 0]).unbind(-1) for k in (1, 2))
    area = du1 * dv2 - du2 * dv1
    area = torch.where(area == 0, 1e-9, area)[:, None]
    along_u, along_v = torch.stack([dv2, -dv1], -1) / area, torch.stack([-du2, du1], -1) / area
    edges = positions[:, 1:] - positions[:, :1]  # [F, 2, 3]
    u, v = ((weights[..., None] * edges).sum(1) for weights in (along_u, along_v))  # [F, 3] meters a texel
    # The Jacobian from texels to the skin has the columns (length, 0) and (shear, width) in the tangent frame.
    length = u.norm(dim=-1).clamp(min=1e-9)
    shear = (u * v).sum(-1) / length
    width = torch.linalg.cross(u, v).norm(dim=-1) / length * area[:, 0].sign()
    jacobian = torch.stack(
        [torch.stack([length, shear], -1), torch.stack([torch.zeros_like(width), width], -1)], dim=-2
    )
    gram = jacobian @ jacobian.mT
    turns = 0.5 * torch.atan2(2 * gram[:, 0, 1], gram[:, 0, 0] - gram[:, 1, 1])
    return along_u, torch.linalg.svdvals(jacobian), turns


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
