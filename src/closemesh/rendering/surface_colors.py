"""Colors of vertices by what is measured there: the distance to other people, or the depth in the clip."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_joints, stream_vertices
from closemesh.contact.measure import ContactConfig
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.contact.vertex_contacts import within_box
from closemesh.contact.watertight import watertight_body
from closemesh.core.arrays import Bools, Floats
from closemesh.rendering.shading import RGB, SurfaceColors, VertexColors
from closemesh.structures import BodyMotion, Camera

NEAR_DISTANCE = 0.1
"""Meters; a surface farther from all other people is gray."""
TOUCH_DISTANCE = ContactConfig().touch_distance
# Okabe and Ito 2008. From gray on, each is distinct from the one before in brightness too.
CROSSING: RGB = (213, 94, 0)
TOUCHING: RGB = (240, 228, 66)
NEAR: RGB = (0, 114, 178)
_GRAYS: tuple[RGB, ...] = ((206, 208, 212), (150, 153, 158))

_LEVEL = 0.5  # Length of the horizontal part of the optical axis of a camera that is tilted by 60 degrees.
_DEPTH_MARGIN = 0.1  # Meters of body before and behind the outermost joints.


def contact_colors(motion: BodyMotion, body: BodyModel) -> SurfaceColors:
    """Colors by the distance to the nearest other person who is valid, from the exact distance to their closed mesh."""
    legend = (
        (CROSSING, "crossing, seen through"),
        (TOUCHING, f"touching, < {1000 * TOUCH_DISTANCE:.0f} mm"),
        (NEAR, f"near, < {100 * NEAR_DISTANCE:.0f} cm"),
    )
    return SurfaceColors(_contact_frames(motion, body), legend)


def _contact_frames(motion: BodyMotion, body: BodyModel) -> Iterator[VertexColors]:
    closed = watertight_body(body, "fine")
    mesh = WatertightMesh(closed.faces.cpu().numpy(), closed.v_template.cpu().double().numpy())
    meshes = zip(stream_vertices(motion, body), stream_vertices(motion, closed), motion.valid, strict=True)
    for vertices, surfaces, valid in meshes:
        distances = signed_distances(mesh, vertices, surfaces, valid)
        yield VertexColors(distance_colors(distances), distances < 0)


def signed_distances(mesh: WatertightMesh, vertices: Floats, surfaces: Floats, valid: Bools) -> Floats:
    """Distances [P, V] in meters of vertices [P, V, 3] to the nearest surface of another valid [P] person.

    surfaces [P, W, 3]: vertices of `mesh` of each person. Negative inside; infinite farther than NEAR_DISTANCE.
    """
    nearest = np.full(vertices.shape[:2], np.inf)
    for a in np.flatnonzero(valid):
        for b in np.flatnonzero(valid):
            chosen = within_box(vertices[a], surfaces[b], NEAR_DISTANCE) if a != b else []
            ids, found = mesh.closest_within(vertices[a][chosen], surfaces[b].astype(np.float64), NEAR_DISTANCE)
            signed = np.where(found.inside, -found.distance, found.distance)
            rows = np.asarray(chosen, np.int64)[ids]
            nearest[a, rows] = np.minimum(nearest[a, rows], signed)
    return nearest


def distance_colors(distances: Floats) -> Floats:
    """Colors [P, V, 3] in 0..255 of signed distances [P, V] in meters; gray far from others."""
    grays = np.array([_GRAYS[person % len(_GRAYS)] for person in range(len(distances))], np.float32)
    fade = ((distances - TOUCH_DISTANCE) / (NEAR_DISTANCE - TOUCH_DISTANCE)).clip(0, 1)[..., None] ** 2
    colors = (1 - fade) * np.array(NEAR, np.float32) + fade * grays[:, None]
    colors[distances < TOUCH_DISTANCE] = TOUCHING
    colors[distances < 0] = CROSSING
    return colors.astype(np.float32)


def depth_colors(motion: BodyMotion, camera: Camera, body: BodyModel) -> SurfaceColors:
    """Colors by the distance from the camera along the floor: yellow is nearest in the clip, violet farthest (viridis).

    Along the floor, because a camera that is tilted is nearer to heads than to feet. motion: camera frame.
    """
    ahead = _directions_ahead(camera)  # [T, 3]
    depths = np.einsum("tpjc,tc->tpj", motion_joints(motion, body), ahead)[motion.valid]
    nearest, farthest = (depths.min() - _DEPTH_MARGIN, depths.max() + _DEPTH_MARGIN) if depths.size else (0.0, 1.0)

    def color(depth: Floats) -> Floats:
        return _VIRIDIS[(255 * (farthest - depth) / (farthest - nearest)).clip(0, 255).astype(int)]

    steps = np.linspace(nearest, farthest, 4)
    notes = ("in front", "", "", "behind")
    legend = tuple(
        ((int(r), int(g), int(b)), f"{step:.1f} m {note}".rstrip())
        for step, note, (r, g, b) in zip(steps, notes, color(steps), strict=True)
    )
    meshes = zip(stream_vertices(motion, body), ahead, strict=True)
    return SurfaceColors((VertexColors(color(vertices @ direction)) for vertices, direction in meshes), legend)


def _directions_ahead(camera: Camera) -> Floats:
    """The horizontal direction of view [T, 3] in camera axes; the optical axis of a camera that is nearly vertical."""
    up = camera.up  # [T, 3]
    level = np.array([0.0, 0.0, 1.0]) - up[:, 2:] * up
    length = np.linalg.norm(level, axis=-1, keepdims=True)
    return np.where(length > _LEVEL, level / length.clip(min=1e-9), [0.0, 0.0, 1.0])


_VIRIDIS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].astype(
    np.float32
)
"""[256, 3] RGB from far to near."""
