"""Random environment behind simulated people: floor, walls or sky, as the still camera sees them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from closemesh.core.arrays import Floats
from closemesh.structures import Camera

_NOISE_SIDE = 512  # Cells of the noise behind all textures; it repeats beyond.
_CEILING = (2.6, 4.0)  # Meters.
_INDOORS = 0.65  # Fraction of environments.
_MIN_DISTANCE = 0.05  # Meters from the camera.


@dataclass(frozen=True)
class Rays:
    """Viewing rays of the pixels, world frame."""

    origin: Floats
    """[3] camera position."""
    directions: Floats
    """[H, W, 3] unit vectors."""


def camera_rays(camera: Camera) -> Rays:
    """One ray through the center of each pixel."""
    width, height = camera.size
    x, y = np.meshgrid(
        np.arange(width) + 0.5 - camera.principal_point[0], np.arange(height) + 0.5 - camera.principal_point[1]
    )
    directions_cam = np.stack([x, y, np.full_like(x, camera.focal)], axis=-1)
    directions_cam /= np.linalg.norm(directions_cam, axis=-1, keepdims=True)
    R, t = camera.T_cam_world[0, :3, :3], camera.T_cam_world[0, :3, 3]
    return Rays(-R.T @ t, directions_cam @ R)


def render_environment(camera: Camera, people_world: Floats, rng: np.random.Generator) -> Floats:
    """[H, W, 3] colors 0..1 of an indoor or outdoor environment without people.

    people_world: [N, 3] positions of people; walls stand behind them and behind the camera.
    """
    rays, textures = camera_rays(camera), _Textures(rng)
    floor = _distance_to_plane(rays, 1, 0.0)
    image = textures.floor(_intersection(rays, floor)[..., [0, 2]])
    nearest = floor
    indoors = rng.random() < _INDOORS
    positions = np.concatenate([people_world, rays.origin[None]])
    if not indoors:
        sky = ~np.isfinite(floor)
        image[sky] = textures.sky(rays.directions)[sky]
    for axis in (0, 2):
        for side in (-1, 1):
            margin = rng.uniform(0.8, 4.0) if indoors else rng.uniform(6.0, 25.0)
            offset = (positions[:, axis] * side).max() * side + margin * side
            distance = _distance_to_plane(rays, axis, float(offset))
            hit = _intersection(rays, distance)
            wall, top = textures.wall(hit[..., [2 - axis, 1]], indoors)
            visible = (distance < nearest) & (hit[..., 1] < top)
            image[visible], nearest = wall[visible], np.where(visible, distance, nearest)
    if indoors:
        ceiling = _distance_to_plane(rays, 1, rng.uniform(*_CEILING))
        image[ceiling < nearest] = rng.uniform(0.7, 0.95)
        nearest = np.minimum(nearest, ceiling)
    fade = np.exp(-np.where(np.isfinite(nearest), nearest, 0) * rng.uniform(0.0, 0.05))[..., None]
    return (image * (fade if indoors else 1)).clip(0, 1)


def _distance_to_plane(rays: Rays, axis: int, offset: float) -> Floats:
    """[H, W] along each ray to the plane where a world coordinate equals `offset`; infinity without intersection."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (offset - rays.origin[axis]) / rays.directions[..., axis]
    return np.where(distance > _MIN_DISTANCE, distance, np.inf)


def _intersection(rays: Rays, distance: Floats) -> Floats:
    """[H, W, 3] world points at these distances; the camera position where the distance is infinite."""
    return rays.origin + rays.directions * np.where(np.isfinite(distance), distance, 0)[..., None]


class _Textures:
    """Procedural textures of one environment."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        fine = rng.random((_NOISE_SIDE, _NOISE_SIDE)).astype(np.float32)
        layers = [gaussian_filter(fine, s, mode="wrap") for s in (1, 3, 9, 27)]
        self._noise = np.mean([(layer - layer.mean()) / layer.std() for layer in layers], axis=0).astype(np.float32)

    def floor(self, positions: Floats) -> Floats:
        """[H, W, 3] colors at positions [H, W, 2] on the floor, meters."""
        base = self._color(0.15, 0.75)
        kind = self._rng.choice(["plain", "planks", "tiles"])
        shade = 1 + self._rng.uniform(0.03, 0.2) * self._speckle(positions, self._rng.uniform(0.01, 0.06))
        if kind != "plain":
            size = self._rng.uniform(0.08, 0.2) if kind == "planks" else self._rng.uniform(0.25, 0.6)
            length = size * (8 if kind == "planks" else 1)
            column = np.floor(positions[..., 0] / size)
            row = np.floor((positions[..., 1] + (0.37 * length * column if kind == "planks" else 0)) / length)
            tone = np.modf(np.abs(np.sin(column * 12.9898 + row * 78.233)) * 43758.5453)[0]  # A number for each plank.
            along = np.mod(positions[..., 1] + 0.37 * length * column, length)
            joint = np.minimum(np.mod(positions[..., 0], size), along)
            joint = joint if kind == "planks" else np.minimum(*np.moveaxis(np.mod(positions, size), -1, 0))
            shade *= np.where(joint < 0.006, 0.6, 0.85 + self._rng.uniform(0.05, 0.3) * tone)
        return base * shade[..., None]

    def wall(self, positions: Floats, indoors: bool) -> tuple[Floats, float]:
        """Colors [H, W, 3] at positions [H, W, 2] along the wall and upwards, and the height of the wall in meters."""
        colors = self._color(0.3, 0.9) * (1 + 0.04 * self._speckle(positions, 0.02))[..., None]
        top = np.inf if indoors else self._rng.uniform(0.0, 6.0)
        if indoors:
            colors[positions[..., 1] < self._rng.uniform(0.0, 0.15)] = self._rng.uniform(0.1, 0.9)
        for _ in range(self._rng.integers(0, 9)):
            self._paint_rectangle(colors, positions)
        return colors, float(top)

    def sky(self, directions: Floats) -> Floats:
        """[H, W, 3] colors in directions [H, W, 3]."""
        zenith, horizon = np.array([0.35, 0.55, 0.85]), np.full(3, self._rng.uniform(0.75, 0.95))
        elevation = np.clip(directions[..., 1:2] * 2, 0, 1)
        clouds = 0.05 * self._speckle(directions[..., [0, 1]] / (np.abs(directions[..., 2:]) + 0.2), 0.01)
        return horizon + elevation * (zenith - horizon) + clouds[..., None]

    def _paint_rectangle(self, colors: Floats, positions: Floats) -> None:
        """Paint a door, a window, a picture or a shelf in place."""
        size = self._rng.uniform((0.3, 0.3), (1.6, 2.0))
        corner = np.array([self._rng.uniform(-6, 6), self._rng.choice([0.0, self._rng.uniform(0.3, 1.8)])])
        inside = ((positions > corner) & (positions < corner + size)).all(-1)
        frame = inside & ~((positions > corner + 0.05) & (positions < corner + size - 0.05)).all(-1)
        speckle = self._speckle(positions, self._rng.uniform(0.005, 0.1))[inside]
        colors[inside] = self._color(0.1, 0.95) * (1 + self._rng.uniform(0, 0.4) * speckle)[..., None]
        colors[frame] = self._rng.uniform(0.05, 0.9)

    def _color(self, low: float, high: float) -> Floats:
        """[3] mostly grayish color."""
        return self._rng.uniform(low, high) * (1 - self._rng.uniform(0, 0.5) * self._rng.random(3))

    def _speckle(self, positions: Floats, cell: float) -> Floats:
        """[...] noise of mean 0 and standard deviation about 1 at positions [..., 2]; cell: its size in meters."""
        column, row = np.moveaxis(np.mod(positions / cell, _NOISE_SIDE), -1, 0).astype(np.float32)
        return cv2.remap(self._noise, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
