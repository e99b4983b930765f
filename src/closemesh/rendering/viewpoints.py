"""Side and top cameras that have all people in view, and the floor grid."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from closemesh.core.arrays import Floats
from closemesh.structures import Camera

_FIELD_OF_VIEW = 0.5  # Radians across the height; a long lens has little perspective.
_MARGIN = 0.25  # Meters around the joints, for heads, hands and feet.
_SIDE_PITCH = 0.2  # Radians of the side view, downwards, so that the floor is visible.
_BACKGROUND = (236, 238, 240)
_GRID_COLOR = (190, 194, 198)
_GRID_STEP = 0.5  # Meters.


def view_camera(view: Literal["side", "top"], camera: Camera, points_world: Floats, size: tuple[int, int]) -> Camera:
    """A static camera facing the left of `camera` (`side`) or straight down (`top`).

    All points_world [N, 3], meters, are in its image of `size` (width, height) pixels.
    """
    R_view_world = _axes(view, camera)
    focal = size[1] / 2 / np.tan(_FIELD_OF_VIEW / 2)
    tangents = np.array(size) / 2 / focal  # Of the half angles across width and height.
    points = points_world @ R_view_world.T if len(points_world) else np.zeros((1, 3))
    middle = (points.min(0) + points.max(0)) / 2
    distance = (np.abs(points - middle)[:, :2] + _MARGIN) / tangents - (points - middle)[:, 2:]  # [N, 2]
    T_view_world = np.eye(4)
    T_view_world[:3, :3] = R_view_world
    T_view_world[:3, 3] = np.array([0, 0, distance.max()]) - middle
    return Camera(
        focal=float(focal),
        principal_point=(size[0] / 2, size[1] / 2),
        size=size,
        focal_source="option",
        T_cam_world=T_view_world[None],
        floor_found=camera.floor_found,
    )


def draw_floor(observer: Camera, points_world: Floats) -> np.ndarray:
    """An image [H, W, 3] of the floor grid at y = 0 around points_world [N, 3], meters, for a static observer."""
    width, height = observer.size
    image = np.full((height, width, 3), _BACKGROUND, dtype=np.uint8)
    points = points_world if len(points_world) else np.zeros((1, 3))
    low = np.floor((points.min(0) - 1) / _GRID_STEP) * _GRID_STEP
    high = np.ceil((points.max(0) + 1) / _GRID_STEP) * _GRID_STEP
    for x in np.arange(low[0], high[0] + _GRID_STEP / 2, _GRID_STEP):
        _draw_line(image, observer, [x, 0, low[2]], [x, 0, high[2]])
    for z in np.arange(low[2], high[2] + _GRID_STEP / 2, _GRID_STEP):
        _draw_line(image, observer, [low[0], 0, z], [high[0], 0, z])
    return image


def _axes(view: Literal["side", "top"], camera: Camera) -> Floats:
    """R_view_world [3, 3]: rows are the image's right, down and forward in the world."""
    down = np.array([0.0, -1.0, 0.0])
    ahead = _horizontal(camera.T_cam_world[0, 2, :3], fallback=-camera.T_cam_world[0, 1, :3])
    if view == "top":
        return np.stack([np.cross(-ahead, down), -ahead, down])
    left = np.cross(ahead, down)
    forward = np.cos(_SIDE_PITCH) * left + np.sin(_SIDE_PITCH) * down
    right = np.cross(down, left)
    return np.stack([right, np.cross(forward, right), forward])


def _horizontal(direction: Floats, fallback: Floats) -> Floats:
    """Unit vector of the horizontal part of a direction; of `fallback` for a vertical one."""
    level = np.array([direction[0], 0.0, direction[2]])
    if np.linalg.norm(level) < 1e-3:
        level = np.array([fallback[0], 0.0, fallback[2]])
    return level / np.linalg.norm(level)


def _draw_line(image: np.ndarray, observer: Camera, start: list[float], end: list[float]) -> None:
    """Draw a line of the world into `image`, without the part behind the observer."""
    T = observer.T_cam_world[0]
    line = np.linspace(start, end, 64) @ T[:3, :3].T + T[:3, 3]
    line = line[line[:, 2] > 0.1]
    if len(line) < 2:
        return
    ends = line[[0, -1], :2] / line[[0, -1], 2:] * observer.focal + np.asarray(observer.principal_point)
    (x0, y0), (x1, y1) = np.round(ends * 16).astype(int).tolist()  # Sixteenths of a pixel.
    cv2.line(image, (x0, y0), (x1, y1), _GRID_COLOR, 1, cv2.LINE_AA, shift=4)
