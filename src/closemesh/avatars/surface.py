"""Points of the skin that carry Gaussians: the texels of a square grid over the texture map that lie on the body."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel, UVMap, uv_map

SIDE_STEP = 8  # Sides are multiples of it, so that a network can halve a map three times.


@dataclass(frozen=True)
class UVSurface:
    """Texels of a square map, row by row, whose middles lie on the skin; rows follow v, columns u."""

    side: int
    rows: Tensor  # [G] int64
    columns: Tensor  # [G] int64
    face_ids: Tensor  # [G] int64
    corners: Tensor  # [G, 3] int64, the vertices of that face
    barycentric: Tensor  # [G, 3]
    tangents: Tensor  # [G, 2] shares of the face's first two edges in the direction in which u grows
    sizes: Tensor  # [G, 2] metres: longest and shortest extent of a texel on the body of zero betas
    turns: Tensor  # [G] radians about the outward normal, from the direction of u to that of the longest extent

    def __len__(self) -> int:
        return len(self.face_ids)

    @property
    def texels(self) -> Tensor:
        """Places [G] in the flattened map."""
        return self.rows * self.side + self.columns

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> UVSurface:
        """The same elsewhere or in another precision."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        moved = {name: t.to(device, dtype if t.is_floating_point() else None) for name, t in tensors.items()}
        return replace(self, **moved)  # type: ignore[arg-type]


def surface_body(body: BodyModel) -> BodyModel:
    """The body that carries the Gaussians of people of `body`: the lightest open one, which has the same betas."""
    if not body.is_bundled:
        return body
    return load_bundled_body("light").to(body.v_template.device, body.v_template.dtype)


def uv_map_side(body: BodyModel, wanted: int) -> int:
    """Side of the map on which about `wanted` texels lie on the skin. Raises ModelFileError without a texture map."""
    corners = uv_map(body).corners()
    share = float(_cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]).abs().sum() / 2)
    return max(1, round(math.sqrt(wanted / share) / SIDE_STEP)) * SIDE_STEP


def sample_surface(body: BodyModel, side: int) -> UVSurface:
    """The texels of a map of `side` rows and columns that lie on the skin, each on one face.

    Raises ModelFileError without a texture map.
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
    """Face, row and column [N] of every texel whose middle lies in the box of a face; corners [F, 3, 2] in texels."""
    low, high = (corners.amin(1) - 0.5).ceil().long(), (corners.amax(1) - 0.5).floor().long()  # [F, 2]
    width, height = (high - low + 1).clamp(min=0).unbind(-1)
    counts = width * height
    face_ids = torch.arange(len(corners), device=corners.device).repeat_interleave(counts)
    place = torch.arange(len(face_ids), device=corners.device) - (counts.cumsum(0) - counts)[face_ids]
    rows, columns = place // width[face_ids], place % width[face_ids]
    return face_ids, low[face_ids, 1] + rows, low[face_ids, 0] + columns


def _barycentric(corners: Tensor, points: Tensor) -> Tensor:
    """[N, 3] of points [N, 2] in triangles [N, 3, 2]; nan in those without area."""
    a, b, c = corners.unbind(1)
    area = _cross(b - a, c - a)
    second, third = _cross(points - a, c - a) / area, _cross(b - a, points - a) / area
    return torch.stack([1 - second - third, second, third], dim=-1)


def _first_of_each(texels: Tensor) -> Tensor:
    """Where in texels [N] each value stands first, in the order of the values: some maps overlap a little."""
    order = texels.argsort(stable=True)
    sorted_texels = texels[order]
    fresh = torch.ones_like(sorted_texels, dtype=torch.bool)
    fresh[1:] = sorted_texels[1:] != sorted_texels[:-1]
    return order[fresh]


def _texel_shapes(body: BodyModel, layout: UVMap, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of the texels of each face: shares of its first two edges along u [F, 2], extents [F, 2] and turns [F]."""
    corners, places = layout.corners() * side, body.v_template[body.faces]
    (du1, dv1), (du2, dv2) = ((corners[:, k] - corners[:, 0]).unbind(-1) for k in (1, 2))
    area = du1 * dv2 - du2 * dv1
    area = torch.where(area == 0, 1e-9, area)[:, None]
    along_u, along_v = torch.stack([dv2, -dv1], -1) / area, torch.stack([-du2, du1], -1) / area
    edges = places[:, 1:] - places[:, :1]  # [F, 2, 3]
    u, v = ((shares[..., None] * edges).sum(1) for shares in (along_u, along_v))  # [F, 3] metres a texel
    # The columns of the map from texels to the skin are (length, 0) and (shear, width) along u and across it.
    length = u.norm(dim=-1).clamp(min=1e-9)
    shear = (u * v).sum(-1) / length
    width = torch.linalg.cross(u, v).norm(dim=-1) / length * area[:, 0].sign()
    both = torch.stack([torch.stack([length, shear], -1), torch.stack([torch.zeros_like(width), width], -1)], dim=-2)
    spread = both @ both.mT
    turns = 0.5 * torch.atan2(2 * spread[:, 0, 1], spread[:, 0, 0] - spread[:, 1, 1])
    return along_u, torch.linalg.svdvals(both), turns


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
