"""The floor of the world at y = 0: a grid of lines, and the soft shadow of people."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from closemesh.core.arrays import Floats
from closemesh.geometry.mesh import face_normals
from closemesh.structures import Camera
from closemesh.video.video_files import Image

GRID_STEP = 0.5
"""Meters between the lines of the grid; every second line is stronger."""
_BACKGROUND = (238, 240, 242)
_FLOOR = (228, 231, 234)
_LINES = {False: (206, 210, 214), True: (160, 166, 172)}
_MARGIN = 1.0  # Meters of floor around the joints.

_CELL = 0.015  # Meters: side of a cell of the shadow's map.
_BLUR = 0.06  # Meters: standard deviation of the shadow's edge.
_FADE = 0.6  # Meters of height at which a point's shadow is weaker by a factor of e.
_LAYER = 1.3  # How much light a layer of skin near the floor absorbs: a factor of exp(-1.3) remains.
_DARKNESS = 0.5  # Fraction of the light that the darkest shadow takes.


def draw_floor(observer: Camera, points_world: Floats, frame: int = 0) -> Image:
    """An image [H, W, 3] of the floor at y = 0 around points_world [N, 3], meters, with a metric grid.

    frame: that of the observer, if it moves.
    """
    width, height = observer.size
    image = np.full((height, width, 3), _BACKGROUND, dtype=np.uint8)
    low, high = _bounds(points_world, _MARGIN, GRID_STEP)
    corners = np.array([[low[0], 0, low[1]], [high[0], 0, low[1]], [high[0], 0, high[1]], [low[0], 0, high[1]]])
    pixels = [_project_line(observer, frame, corners[k - 1], corners[k]) for k in range(4)]
    if all(line is not None for line in pixels):
        outline = np.array([line[1] for line in pixels if line is not None])
        cv2.fillPoly(image, [outline], _FLOOR, cv2.LINE_AA, shift=4)
    for axis in (0, 1):
        for value in np.arange(low[axis], high[axis] + GRID_STEP / 2, GRID_STEP):
            ends = np.array([[low[0], 0, low[1]], [high[0], 0, high[1]]])
            ends[:, 2 * axis] = value
            line = _project_line(observer, frame, *ends)
            if line is not None:
                strong = round(value / GRID_STEP) % 2 == 0
                cv2.line(image, line[0], line[1], _LINES[strong], 1, cv2.LINE_AA, shift=4)
    return image


def vertex_areas(vertices: Floats, faces: NDArray[np.integer]) -> Floats:
    """Area [V] in square meters of the surface around each of vertices [V, 3]; faces [F, 3]."""
    normals = face_normals(vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]])
    thirds = np.linalg.norm(normals, axis=1) / 6
    return np.bincount(faces.ravel(), np.repeat(thirds, 3), len(vertices)).astype(np.float64)


def draw_shadow(image: Image, observer: Camera, vertices_world: Floats, areas: Floats, frame: int = 0) -> Image:
    """A copy of the image [H, W, 3] with the soft shadow of vertices_world [P, V, 3], meters, on the floor.

    Light falls straight down; what is near the floor is darkest. areas [V]: of `vertex_areas`. frame: that of the
    observer, if it moves.
    """
    points = vertices_world.reshape(-1, 3)
    if len(points) == 0:
        return image.copy()
    low, high = _bounds(points, 4 * _BLUR, _CELL)
    columns, rows = np.ceil((high - low) / _CELL).astype(int) + 1
    cells = ((points[:, [0, 2]] - low) / _CELL).astype(int)
    weight = np.exp(-points[:, 1].clip(min=0) / _FADE) * np.tile(areas, len(vertices_world))
    light = np.bincount(cells[:, 1] * columns + cells[:, 0], weight, rows * columns).reshape(rows, columns)
    light = cv2.GaussianBlur((light / _CELL**2).astype(np.float32), (0, 0), _BLUR / _CELL)
    darkness = _DARKNESS * (1 - np.exp(-_LAYER * light))
    H_image_cell = _floor_homography(observer, frame) @ np.array([[_CELL, 0, low[0]], [0, _CELL, low[1]], [0, 0, 1]])
    shadow = cv2.warpPerspective(darkness, H_image_cell, observer.size, flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.multiply(image, cv2.merge([1 - shadow] * 3), dtype=cv2.CV_8U), np.uint8)


def _bounds(points_world: Floats, margin: float, step: float) -> tuple[Floats, Floats]:
    """Smallest and largest x and z of points [N, 3] with a margin, in whole steps."""
    points = points_world[:, [0, 2]] if len(points_world) else np.zeros((1, 2))
    return np.floor((points.min(0) - margin) / step) * step, np.ceil((points.max(0) + margin) / step) * step


def _floor_homography(observer: Camera, frame: int) -> Floats:
    """The matrix [3, 3] from points (x, z, 1) of the floor, meters, to homogeneous pixels."""
    T = observer.T_cam_world[min(frame, len(observer.T_cam_world) - 1)]
    x, y = observer.principal_point
    K = np.array([[observer.focal, 0, x - 0.5], [0, observer.focal, y - 0.5], [0, 0, 1]])  # Pixel centers of OpenCV.
    return K @ np.stack([T[:3, 0], T[:3, 2], T[:3, 3]], axis=-1)


def _project_line(observer: Camera, frame: int, start: Floats, end: Floats) -> tuple[tuple[int, int], ...] | None:
    """Ends of a line of the world in sixteenths of a pixel, without the part behind the observer."""
    T = observer.T_cam_world[min(frame, len(observer.T_cam_world) - 1)]
    line = np.linspace(start, end, 64) @ T[:3, :3].T + T[:3, 3]
    line = line[line[:, 2] > 0.1]
    if len(line) < 2:
        return None
    ends = line[[0, -1], :2] / line[[0, -1], 2:] * observer.focal + np.asarray(observer.principal_point)
    (x0, y0), (x1, y1) = np.round(ends * 16).clip(-(2**26), 2**26).astype(int).tolist()
    return (x0, y0), (x1, y1)
