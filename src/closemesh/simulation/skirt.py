"""A skirt: a tube that hangs around hips and thighs, made anew for every pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from closemesh.contact.parts import PART_INDEX
from closemesh.scene import Floats

_RINGS, _ANGLES = 9, 32
_SLICE = 0.12  # Of the way from waist to knees: vertices this near to a ring hold it up.
_HIPS = [PART_INDEX["hips"], PART_INDEX["buttocks"]]
_THIGHS = [PART_INDEX["left_thigh"], PART_INDEX["right_thigh"]]


@dataclass(frozen=True)
class Skirt:
    """What stays the same while it moves."""

    waist: NDArray[np.integer]
    """Vertices of the body that its upper edge goes around."""
    knees: NDArray[np.integer]
    covered: NDArray[np.integer]
    """Vertices that it goes around."""
    sides: tuple[NDArray[np.integer], NDArray[np.integer]]
    """Vertices of the left and of the right thigh."""
    length: float
    """1 reaches the knees."""
    flare: float
    """By how much of its width it widens until the knees."""
    colours: Floats
    """[N, 3] 0..1."""

    def drape(self, vertices: Floats) -> Floats:
        """[N, 3] around the posed body vertices [V, 3]."""
        waist = vertices[self.waist].mean(0)
        axis = vertices[self.knees].mean(0) - waist
        down = axis / np.linalg.norm(axis)
        across = vertices[self.sides[0]].mean(0) - vertices[self.sides[1]].mean(0)
        across -= (across @ down) * down
        across /= np.linalg.norm(across)
        basis = np.stack([across, np.cross(down, across)])  # [2, 3]
        angles = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
        around = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # [A, 2]
        held = vertices[self.covered] - waist
        along, outwards = held @ axis / (axis @ axis), held @ basis.T @ around.T  # [N], [N, A]
        places = np.linspace(0, self.length, _RINGS)
        near = np.abs(along[:, None] - places) < _SLICE  # [N, R]
        width = np.where(near[..., None], outwards[:, None], 0.05).max(0)  # [R, A]
        width = np.maximum.accumulate(width) * (1 + self.flare * places[:, None]) + 0.01
        rings = waist + places[:, None, None] * axis + (width[..., None] * around) @ basis
        return rings.reshape(-1, 3).astype(vertices.dtype)


def make_skirt(vertices: Floats, parts: NDArray[np.integer], fabric: Floats, rng: np.random.Generator) -> Skirt:
    """vertices [V, 3] at rest and their parts [V]; fabric [V, 3] is the colour of a cloth at each vertex."""
    hips, thighs = np.isin(parts, _HIPS), np.isin(parts, _THIGHS)
    top, low = vertices[hips, 1].max(), np.quantile(vertices[thighs, 1], 0.1)
    covered = np.flatnonzero(hips | thighs)
    left, right = (np.flatnonzero(parts == part) for part in _THIGHS)
    colours = fabric[rng.choice(covered)] * np.ones((_RINGS * _ANGLES, 1))
    if rng.random() < 0.3:  # Stripes around.
        colours[np.repeat(np.arange(_RINGS) % 2, _ANGLES) == 0] = fabric[rng.choice(covered)]
    return Skirt(
        waist=np.flatnonzero(hips & (vertices[:, 1] > top - 0.03)),
        knees=np.flatnonzero(thighs & (vertices[:, 1] < low)),
        covered=covered,
        sides=(left, right),
        length=rng.uniform(0.5, 1.3),
        flare=rng.uniform(0.0, 0.5),
        colours=colours,
    )


def skirt_faces() -> NDArray[np.int32]:
    """[F, 3] of every skirt, turned outwards."""
    ring, angle = (grid.ravel() for grid in np.meshgrid(np.arange(_RINGS - 1), np.arange(_ANGLES), indexing="ij"))
    a, b = ring * _ANGLES + angle, ring * _ANGLES + (angle + 1) % _ANGLES
    c, d = a + _ANGLES, b + _ANGLES
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)
