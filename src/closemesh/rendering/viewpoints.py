"""Cameras from which a result is seen: that of the clip at another size, from the side, from above, and around."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from closemesh.core.arrays import Floats
from closemesh.structures import Camera

_FIELD_OF_VIEW = 0.5  # Radians across the height; a long lens has little perspective.
_MARGIN = 0.25  # Meters around the joints, for heads, hands and feet.
_SIDE_PITCH = 0.2  # Radians of the side view, downwards, so that the floor is visible.
_RING = 24  # Points of the circle in which people stay when the camera goes around them.


def scale_camera(camera: Camera, size: tuple[int, int]) -> Camera:
    """The same camera for images of another size (width, height) in pixels; the shape is about that of the clip."""
    factor = size[0] / camera.size[0]
    x, y = camera.principal_point
    return replace(
        camera,
        focal=camera.focal * factor,
        principal_point=(x * factor, y * size[1] / camera.size[1]),
        size=size,
    )


def view_camera(view: Literal["side", "top"], camera: Camera, points_world: Floats, size: tuple[int, int]) -> Camera:
    """A static camera facing the left of `camera` (`side`) or straight down (`top`).

    All points_world [N, 3], meters, are in its image of `size` (width, height) pixels.
    """
    return _facing(_axes(view, camera)[None], points_world, size, camera)


def turntable_camera(camera: Camera, points_world: Floats, size: tuple[int, int], turns: Floats) -> Camera:
    """A camera around the people, whose frames look at them after turns [T], in whole turns; it starts at `camera`.

    All points_world [N, 3], meters, are in every image of `size` (width, height) pixels.
    """
    points = points_world if len(points_world) else np.zeros((1, 3))
    low, high = points.min(0), points.max(0)
    middle = (low + high) / 2
    radius = np.linalg.norm((points - middle)[:, [0, 2]], axis=1).max()
    angles = 2 * np.pi * np.arange(_RING) / _RING
    ring = middle + radius * np.stack([np.cos(angles), 0 * angles, np.sin(angles)], axis=-1)  # [N, 3]
    ring = np.concatenate([ring * [1, 0, 1] + [0, y, 0] for y in (low[1], high[1])])
    ahead = _axes("top", camera)[1] * -1
    R_view_world = np.stack([_level_axes(_turned(ahead, 2 * np.pi * turn)) for turn in turns])
    return _facing(R_view_world, ring, size, camera)


def _facing(R_view_world: Floats, points_world: Floats, size: tuple[int, int], camera: Camera) -> Camera:
    """A camera with axes R_view_world [T, 3, 3] and all points in its first image, whose center is their middle."""
    focal = size[1] / 2 / np.tan(_FIELD_OF_VIEW / 2)
    tangents = np.array(size) / 2 / focal  # Of the half angles across width and height.
    points = points_world @ R_view_world[0].T if len(points_world) else np.zeros((1, 3))
    middle = (points.min(0) + points.max(0)) / 2
    distance = (np.abs(points - middle)[:, :2] + _MARGIN) / tangents - (points - middle)[:, 2:]  # [N, 2]
    center_world = middle @ R_view_world[0]
    T_view_world = np.tile(np.eye(4), (len(R_view_world), 1, 1))
    T_view_world[:, :3, :3] = R_view_world
    T_view_world[:, :3, 3] = np.array([0, 0, distance.max()]) - R_view_world @ center_world
    return Camera(
        focal=float(focal),
        principal_point=(size[0] / 2, size[1] / 2),
        size=size,
        focal_source="option",
        T_cam_world=T_view_world,
        floor_found=camera.floor_found,
    )


def _axes(view: Literal["side", "top"], camera: Camera) -> Floats:
    """R_view_world [3, 3]: rows are the image's right, down and forward in the world."""
    down = np.array([0.0, -1.0, 0.0])
    ahead = _horizontal(camera.T_cam_world[0, 2, :3], fallback=-camera.T_cam_world[0, 1, :3])
    if view == "top":
        return np.stack([np.cross(-ahead, down), -ahead, down])
    return _level_axes(np.cross(ahead, down))


def _level_axes(ahead: Floats) -> Floats:
    """R_view_world [3, 3] of a view along the horizontal unit vector `ahead` [3], a little downwards."""
    down = np.array([0.0, -1.0, 0.0])
    forward = np.cos(_SIDE_PITCH) * ahead + np.sin(_SIDE_PITCH) * down
    right = np.cross(down, ahead)
    return np.stack([right, np.cross(forward, right), forward])


def _turned(direction: Floats, angle: float) -> Floats:
    """A horizontal vector [3] turned about the vertical by an angle in radians."""
    x, y, z = direction
    return np.array([np.cos(angle) * x + np.sin(angle) * z, y, np.cos(angle) * z - np.sin(angle) * x])


def _horizontal(direction: Floats, fallback: Floats) -> Floats:
    """Unit vector of the horizontal part of a direction; of `fallback` for a vertical one."""
    level = np.array([direction[0], 0.0, direction[2]])
    if np.linalg.norm(level) < 1e-3:
        level = np.array([fallback[0], 0.0, fallback[2]])
    return level / np.linalg.norm(level)
