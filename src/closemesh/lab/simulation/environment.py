"""A made-up place: floor, walls or sky behind people, as the still camera sees it without them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from closemesh.core.arrays import Floats
from closemesh.structures import Camera

_NOISE_SIDE = 512  # Cells of the noise that all textures are made of; it repeats beyond.
_CEILING = (2.6, 4.0)  # Metres.


@dataclass(frozen=True)
class Rays:
    """Where the camera looks."""

    origin: Floats
    """[3] position in the world."""
    directions: Floats
    """[H, W, 3] in the world, unit length."""


def camera_rays(camera: Camera) -> Rays:
    """One ray through the middle of each pixel."""
    width, height = camera.size
    x, y = np.meshgrid(
        np.arange(width) + 0.5 - camera.principal_point[0], np.arange(height) + 0.5 - camera.principal_point[1]
    )
    directions_cam = np.stack([x, y, np.full_like(x, camera.focal)], axis=-1)
    directions_cam /= np.linalg.norm(directions_cam, axis=-1, keepdims=True)
    R, t = camera.T_cam_world[0, :3, :3], camera.T_cam_world[0, :3, 3]
    return Rays(-R.T @ t, directions_cam @ R)


def paint_room(camera: Camera, people_world: Floats, rng: np.random.Generator) -> Floats:
    """[H, W, 3] colours 0..1 of an indoor or outdoor place without people.

    people_world [N, 3] places where people are; walls stand behind them and behind the camera.
    """
    rays, textures = camera_rays(camera), _Textures(rng)
    floor = _distance_to_plane(rays, 1, 0.0)
    picture = textures.floor(_hit(rays, floor)[..., [0, 2]])
    nearest = floor
    indoors = rng.random() < 0.65
    places = np.concatenate([people_world, rays.origin[None]])
    if not indoors:
        sky = ~np.isfinite(floor)
        picture[sky] = textures.sky(rays.directions)[sky]
    for axis in (0, 2):
        for side in (-1, 1):
            margin = rng.uniform(0.8, 4.0) if indoors else rng.uniform(6.0, 25.0)
            place = (places[:, axis] * side).max() * side + margin * side
            distance = _distance_to_plane(rays, axis, float(place))
            hit = _hit(rays, distance)
            wall, top = textures.wall(hit[..., [2 - axis, 1]], indoors)
            seen = (distance < nearest) & (hit[..., 1] < top)
            picture[seen], nearest = wall[seen], np.where(seen, distance, nearest)
    if indoors:
        ceiling = _distance_to_plane(rays, 1, rng.uniform(*_CEILING))
        picture[ceiling < nearest] = rng.uniform(0.7, 0.95)
        nearest = np.minimum(nearest, ceiling)
    fade = np.exp(-np.where(np.isfinite(nearest), nearest, 0) * rng.uniform(0.0, 0.05))[..., None]
    return (picture * (fade if indoors else 1)).clip(0, 1)


def _distance_to_plane(rays: Rays, axis: int, place: float) -> Floats:
    """[H, W] along each ray to the plane where a world coordinate has this value; infinity when never."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = (place - rays.origin[axis]) / rays.directions[..., axis]
    return np.where(distance > 0.05, distance, np.inf)


def _hit(rays: Rays, distance: Floats) -> Floats:
    """[H, W, 3] world points; 0 where the distance is infinite."""
    return rays.origin + rays.directions * np.where(np.isfinite(distance), distance, 0)[..., None]


class _Textures:
    """Surfaces of one place."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        fine = rng.random((_NOISE_SIDE, _NOISE_SIDE)).astype(np.float32)
        layers = [gaussian_filter(fine, s, mode="wrap") for s in (1, 3, 9, 27)]
        self._noise = np.mean([(layer - layer.mean()) / layer.std() for layer in layers], axis=0).astype(np.float32)

    def floor(self, places: Floats) -> Floats:
        """places [H, W, 2] metres -> colours [H, W, 3]."""
        base = self._colour(0.15, 0.75)
        kind = self._rng.choice(["plain", "planks", "tiles"])
        shade = 1 + self._rng.uniform(0.03, 0.2) * self._speckle(places, self._rng.uniform(0.01, 0.06))
        if kind != "plain":
            size = self._rng.uniform(0.08, 0.2) if kind == "planks" else self._rng.uniform(0.25, 0.6)
            length = size * (8 if kind == "planks" else 1)
            column = np.floor(places[..., 0] / size)
            row = np.floor((places[..., 1] + (0.37 * length * column if kind == "planks" else 0)) / length)
            tone = np.modf(np.abs(np.sin(column * 12.9898 + row * 78.233)) * 43758.5453)[0]  # A number for each plank.
            gap = np.minimum(np.mod(places[..., 0], size), np.mod(places[..., 1] + 0.37 * length * column, length))
            gap = gap if kind == "planks" else np.minimum(*np.moveaxis(np.mod(places, size), -1, 0))
            shade *= np.where(gap < 0.006, 0.6, 0.85 + self._rng.uniform(0.05, 0.3) * tone)
        return base * shade[..., None]

    def wall(self, places: Floats, indoors: bool) -> tuple[Floats, float]:
        """places [H, W, 2] along the wall and upwards -> colours [H, W, 3], and how high it is."""
        colours = self._colour(0.3, 0.9) * (1 + 0.04 * self._speckle(places, 0.02))[..., None]
        top = np.inf if indoors else self._rng.uniform(0.0, 6.0)
        if indoors:
            colours[places[..., 1] < self._rng.uniform(0.0, 0.15)] = self._rng.uniform(0.1, 0.9)
        for _ in range(self._rng.integers(0, 9)):
            self._put_rectangle(colours, places)
        return colours, float(top)

    def sky(self, directions: Floats) -> Floats:
        """directions [H, W, 3] -> colours [H, W, 3]."""
        zenith, horizon = np.array([0.35, 0.55, 0.85]), np.full(3, self._rng.uniform(0.75, 0.95))
        share = np.clip(directions[..., 1:2] * 2, 0, 1)
        clouds = 0.05 * self._speckle(directions[..., [0, 1]] / (np.abs(directions[..., 2:]) + 0.2), 0.01)
        return horizon + share * (zenith - horizon) + clouds[..., None]

    def _put_rectangle(self, colours: Floats, places: Floats) -> None:
        """A door, a window, a picture, a shelf."""
        size = self._rng.uniform((0.3, 0.3), (1.6, 2.0))
        corner = np.array([self._rng.uniform(-6, 6), self._rng.choice([0.0, self._rng.uniform(0.3, 1.8)])])
        inside = ((places > corner) & (places < corner + size)).all(-1)
        frame = inside & ~((places > corner + 0.05) & (places < corner + size - 0.05)).all(-1)
        speckle = self._speckle(places, self._rng.uniform(0.005, 0.1))[inside]
        colours[inside] = self._colour(0.1, 0.95) * (1 + self._rng.uniform(0, 0.4) * speckle)[..., None]
        colours[frame] = self._rng.uniform(0.05, 0.9)

    def _colour(self, low: float, high: float) -> Floats:
        """Mostly greyish."""
        return self._rng.uniform(low, high) * (1 - self._rng.uniform(0, 0.5) * self._rng.random(3))

    def _speckle(self, places: Floats, cell: float) -> Floats:
        """[...] noise of mean 0 and deviation about 1 at places [..., 2]; each cell is so many metres wide."""
        column, row = np.moveaxis(np.mod(places / cell, _NOISE_SIDE), -1, 0).astype(np.float32)
        return cv2.remap(self._noise, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
