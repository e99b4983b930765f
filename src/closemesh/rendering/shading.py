"""Colors of people, and light on their surface."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from closemesh.core.arrays import Bools, Floats
from closemesh.rendering.zbuffer import compiled

RGB = tuple[int, int, int]
Legend = tuple[tuple[RGB, str], ...]
"""Colors and what they mean."""

# Okabe and Ito 2008: distinct for every kind of color vision. In this order neighbors differ in brightness, too.
PERSON_COLORS: tuple[RGB, ...] = (
    (0, 114, 178),
    (230, 159, 0),
    (240, 228, 66),
    (213, 94, 0),
    (86, 180, 233),
    (0, 158, 115),
    (204, 121, 167),
)

# Directions towards the lights in camera axes (x right, y down, z forward), and their strengths.
_LIGHTS = np.array([[-0.45, -0.65, -0.61], [0.70, -0.20, -0.68], [0.0, -1.0, 0.0]], dtype=np.float32)
_DIRECTIONS = _LIGHTS / np.linalg.norm(_LIGHTS, axis=-1, keepdims=True)
_STRENGTHS = np.array([0.62, 0.18, 0.12], dtype=np.float32)
_AMBIENT = 0.30
_RIM = 0.35  # Fraction of the light that a surface seen edge-on loses, so that bodies of one color stay separate.
_HIGHLIGHT = 26.0  # Brightness 0..255 of the reflection of the first light.


class VertexColors(NamedTuple):
    """Colors of all people in one frame."""

    base: Floats  # [P, V, 3] 0..255, before shading
    seen_through: Bools | None = None  # [P, V] shows through the surfaces before it


@dataclass(frozen=True)
class SurfaceColors:
    """Colors of all people's vertices, and what they mean."""

    frames: Iterable[VertexColors]
    """Those of each frame in turn."""
    legend: Legend = ()


def person_color(person: int) -> RGB:
    """RGB 0..255 of a person, the same in every image of a result."""
    return PERSON_COLORS[person % len(PERSON_COLORS)]


def shade(normals_cam: Floats, color: RGB) -> Floats:
    """Colors [V, 3] in 0..255 of a diffuse surface with normals_cam [V, 3] in camera axes, lit from above and aside."""
    light = _AMBIENT + (normals_cam @ _DIRECTIONS.T).clip(min=0) @ _STRENGTHS  # [V]
    return (light[:, None] * np.asarray(color, dtype=np.float32)).clip(0, 255)


def shade_mesh(vertices_cam: Floats, faces: NDArray[np.int32], colors: Floats) -> NDArray[np.float32]:
    """Colors [V, 3] in 0..255 of a mesh with base colors [V, 3], vertices_cam [V, 3] in camera axes and faces [F, 3].

    The light of `shade`, less of it at the rim, and a soft reflection.
    """
    vertices, base = np.ascontiguousarray(vertices_cam, np.float32), np.ascontiguousarray(colors, np.float32)
    return _shade_mesh(vertices, faces, base, _DIRECTIONS, _STRENGTHS)


@compiled
def _shade_mesh(vertices, faces, base, directions, strengths):
    normals, shaded = np.zeros_like(vertices), np.empty_like(vertices)
    for f in range(len(faces)):
        a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        for corner in range(3):
            normals[faces[f, corner], 0] += uy * vz - uz * vy
            normals[faces[f, corner], 1] += uz * vx - ux * vz
            normals[faces[f, corner], 2] += ux * vy - uy * vx
    for v in range(len(vertices)):
        x, y, z = normals[v]
        scale = 1 / max(np.sqrt(x * x + y * y + z * z), np.float32(1e-12))
        px, py, pz = vertices[v]
        facing = -(x * px + y * py + z * pz) * scale / max(np.sqrt(px * px + py * py + pz * pz), np.float32(1e-6))
        facing = min(max(facing, 0.0), 1.0)
        light, first = _AMBIENT, 0.0
        for k in range(len(directions)):
            toward = max(0.0, (x * directions[k, 0] + y * directions[k, 1] + z * directions[k, 2]) * scale)
            light += strengths[k] * toward
            if k == 0:
                first = toward
        light *= 1 - _RIM * (1 - facing) ** 2
        highlight = _HIGHLIGHT * first**12
        for k in range(3):
            shaded[v, k] = min(255.0, light * base[v, k] + highlight)
    return shaded
