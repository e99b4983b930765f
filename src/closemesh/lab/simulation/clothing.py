"""Random appearance of simulated people: skin, hair, face and clothing on the vertices, and a draped skirt."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import wholebody_keypoints
from closemesh.contact.body_parts import PART_INDEX, part_labels
from closemesh.core.arrays import Bools, Floats

_SKIN = ((0.93, 0.76, 0.66), (0.86, 0.66, 0.53), (0.74, 0.54, 0.41), (0.55, 0.38, 0.27), (0.36, 0.24, 0.18))
_HAIR = ((0.07, 0.06, 0.05), (0.20, 0.13, 0.08), (0.36, 0.23, 0.12), (0.68, 0.52, 0.30), (0.48, 0.46, 0.45))
_FACE = slice(23, 91)  # Its part of the 133 keypoints.
_BROWS, _EYES, _MOUTH = (range(17, 22), range(22, 27)), (range(36, 42), range(42, 48)), range(48, 60)
_SKIRTS = 0.2  # Fraction of people with a skirt.
_HEAD_JOINTS = [JOINT_INDEX[name] for name in ("head", "jaw", "left_eye", "right_eye")]

_RINGS, _ANGLES = 9, 32
_SLICE = 0.12  # Fraction of the distance from waist to knees: vertices this near to a ring of the skirt support it.
_HIPS = [PART_INDEX["hips"], PART_INDEX["buttocks"]]
_THIGHS = [PART_INDEX["left_thigh"], PART_INDEX["right_thigh"]]


@dataclass(frozen=True)
class Clothing:
    """Appearance of one person."""

    colors: Floats
    """[V, 3] albedo 0..1."""
    thickness: Floats
    """[V] meters of cloth and hair above the skin."""
    cloth: Bools
    """[V] creased rather than smooth."""
    skirt: Skirt | None = None


@dataclass(frozen=True)
class _Regions:
    """Regions of the body in its rest pose."""

    vertices: Floats
    """[V, 3]."""
    parts: np.ndarray
    """[V] part labels."""
    face: Floats
    """[68, 3] landmarks."""
    hair: Bools
    """[V]."""
    neck: Floats
    """[3] the joint at the lower end of the neck."""
    shoe_top: float
    """Height, meters."""


def random_clothing(body: BodyModel, rng: np.random.Generator) -> Clothing:
    """Random clothing, from a dress to shorts alone."""
    regions = _find_regions(body)
    colors = np.tile(np.array(_SKIN[rng.integers(len(_SKIN))]) * rng.uniform(0.92, 1.05), (len(regions.vertices), 1))
    thickness, cloth = np.zeros(len(colors)), np.zeros(len(colors), bool)
    _paint_face(colors, regions, rng)
    if rng.random() < 0.93:
        colors[regions.hair] = _HAIR[rng.integers(len(_HAIR))]
        thickness[regions.hair] = rng.uniform(0.005, 0.03)
    for covered, offset in _garments(regions, rng):
        colors[covered] = _fabric(regions.vertices, rng)[covered]
        thickness[covered] = offset
        cloth |= covered
    shoes = np.isin(regions.parts, _indices("foot")) & (regions.vertices[:, 1] < regions.shoe_top)
    colors[shoes], thickness[shoes] = rng.uniform(0.03, 0.9) * rng.uniform(0.8, 1.0, 3), 0.008
    skirt = None
    if rng.random() < _SKIRTS:
        skirt = make_skirt(regions.vertices, regions.parts, _fabric(regions.vertices, rng), rng)
    return Clothing(colors.clip(0.02, 0.95), thickness, cloth & ~shoes, skirt)


def _find_regions(body: BodyModel) -> _Regions:
    with torch.inference_mode():
        face = wholebody_keypoints(body, body.v_template, body.joint_template)[_FACE].cpu().numpy()
    vertices = body.v_template.cpu().numpy()
    parts = part_labels(body).cpu().numpy()
    head = body.skin_weights[:, _HEAD_JOINTS].sum(-1).cpu().numpy() > 0.5
    brow, chin, tip = face[19], face[8], face[30]
    height = brow[1] - chin[1]
    # The hairline falls from a third of the face above the brows in front to half way down the face behind the ears.
    forward = np.clip((vertices[:, 2] - 0.1 * tip[2]) / (0.75 * tip[2]), 0, 1)
    hairline = brow[1] - 0.55 * height + forward * (0.55 + 0.28) * height
    hair = head & (vertices[:, 1] > hairline)
    ankle = body.joint_template[JOINT_INDEX["left_ankle"], 1].item()
    neck = body.joint_template[JOINT_INDEX["neck"]].cpu().numpy()
    return _Regions(vertices, parts, face, hair, neck, ankle + 0.02)


def _paint_face(colors: Floats, regions: _Regions, rng: np.random.Generator) -> None:
    """Paint brows, eyes and mouth in place, a few millimeters around their landmarks."""
    skin = colors[0].copy()
    for brow in _BROWS:
        colors[_near_landmarks(regions, brow, 0.0045)] = 0.3 * skin
    for eye in _EYES:
        colors[_near_landmarks(regions, eye, 0.0055)] = 0.25 * skin + 0.1
        middle = regions.face[list(eye)].mean(0)
        colors[np.linalg.norm(regions.vertices - middle, axis=1) < 0.0075] = (0.08, 0.06, 0.05)
    mouth = _near_landmarks(regions, _MOUTH, 0.005)
    colors[mouth] = skin * np.array([0.85, 0.5, 0.5]) * rng.uniform(0.8, 1.1)


def _near_landmarks(regions: _Regions, landmarks: range, distance: float) -> Bools:
    """[V] near the line through these landmarks."""
    points = regions.face[list(landmarks)]
    dense = np.concatenate([np.linspace(a, b, 6) for a, b in pairwise(points)])
    return np.linalg.norm(regions.vertices[:, None] - dense, axis=-1).min(1) < distance


def _garments(regions: _Regions, rng: np.random.Generator) -> list[tuple[Bools, float]]:
    """Vertices [V] covered by each garment, and its distance from the skin in meters."""
    top = _indices("chest", "upper_back", "abdomen", "lower_back", "shoulder")
    bottom = _indices("hips", "buttocks")
    sleeve, leg = rng.uniform(-0.1, 2.0), rng.uniform(0.25, 2.0)
    from_neck = np.linalg.norm((regions.vertices - regions.neck) * (1, 0.9, 1), axis=1)
    torso = np.isin(regions.parts, top) & (from_neck > rng.uniform(0.075, 0.13))
    shirt = torso | _limb_until(regions, ("upper_arm", "forearm"), 0, sleeve)
    trousers = np.isin(regions.parts, bottom) | _limb_until(regions, ("thigh", "lower_leg"), 1, leg)
    offsets = rng.uniform(0.003, 0.018, 2)
    if rng.random() < 0.06:
        return [(trousers, float(offsets[1]))]
    if rng.random() < 0.15:
        return [(trousers | shirt, float(offsets[0]))]
    over = np.isin(regions.parts, bottom) & (rng.random() < 0.5)
    return [(trousers & ~over, float(offsets[1])), (shirt | over, float(offsets[0] + 0.004))]


def _limb_until(regions: _Regions, limbs: tuple[str, str], axis: int, length: float) -> Bools:
    """[V] of two limb parts in a row, up to `length` (1: end of the first part, 2: of the second) along an axis."""
    covered = np.zeros(len(regions.vertices), bool)
    along = np.abs(regions.vertices[:, axis])
    for number, limb in enumerate(limbs):
        part = np.isin(regions.parts, _indices(limb))
        low, high = along[part].min(), along[part].max()
        covered |= part & (along < low + (high - low) * (length - number))
    return covered


def _fabric(vertices: Floats, rng: np.random.Generator) -> Floats:
    """[V, 3] colors of a plain, striped, checked or blotched cloth."""
    first, second = (rng.uniform(0.04, 0.9) * (0.35 + 0.65 * rng.random(3)) for _ in range(2))
    kind = rng.choice(["plain", "stripes", "checks", "blotches"], p=[0.55, 0.2, 0.1, 0.15])
    if kind == "plain":
        return np.tile(first, (len(vertices), 1))
    period = rng.uniform(0.05, 0.16)
    waves = np.sin(2 * np.pi * vertices / period + rng.uniform(0, 6, 3))
    if kind == "stripes":
        pattern = waves[:, rng.integers(2)] > rng.uniform(-0.5, 0.5)
    elif kind == "checks":
        pattern = waves[:, 0] * waves[:, 1] > 0
    else:
        pattern = waves.sum(1) > 0.4
    return np.where(pattern[:, None], second, first)


def _indices(*names: str) -> list[int]:
    """Indices of the parts with these names, on both sides."""
    return [index for part, index in PART_INDEX.items() if part in names or part.split("_", 1)[-1] in names]


@dataclass(frozen=True)
class Skirt:
    """A tube around hips and thighs that is draped anew for every pose."""

    waist: NDArray[np.integer]
    """Vertices of the body around its upper edge."""
    knees: NDArray[np.integer]
    """Vertices of the body above the knees."""
    covered: NDArray[np.integer]
    """Vertices inside the skirt."""
    sides: tuple[NDArray[np.integer], NDArray[np.integer]]
    """Vertices of the left and of the right thigh."""
    length: float
    """1 ends at the knees."""
    flare: float
    """Relative increase of the width down to the knees."""
    colors: Floats
    """[N, 3] 0..1."""

    def drape(self, vertices: Floats) -> Floats:
        """[N, 3] vertices of the skirt around the posed body, vertices [V, 3]."""
        waist = vertices[self.waist].mean(0)
        axis = vertices[self.knees].mean(0) - waist
        down = axis / np.linalg.norm(axis)
        across = vertices[self.sides[0]].mean(0) - vertices[self.sides[1]].mean(0)
        across -= (across @ down) * down
        across /= np.linalg.norm(across)
        basis = np.stack([across, np.cross(down, across)])  # [2, 3]
        angles = np.arange(_ANGLES) * 2 * np.pi / _ANGLES
        around = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # [A, 2]
        offsets = vertices[self.covered] - waist
        along, radii = offsets @ axis / (axis @ axis), offsets @ basis.T @ around.T  # [N], [N, A]
        heights = np.linspace(0, self.length, _RINGS)
        near = np.abs(along[:, None] - heights) < _SLICE  # [N, R]
        width = np.where(near[..., None], radii[:, None], 0.05).max(0)  # [R, A]
        width = np.maximum.accumulate(width) * (1 + self.flare * heights[:, None]) + 0.01
        rings = waist + heights[:, None, None] * axis + (width[..., None] * around) @ basis
        return rings.reshape(-1, 3).astype(vertices.dtype)


def make_skirt(vertices: Floats, parts: NDArray[np.integer], fabric: Floats, rng: np.random.Generator) -> Skirt:
    """A random skirt. vertices: [V, 3] at rest. parts: [V] labels. fabric: [V, 3] color of a cloth at each vertex."""
    hips, thighs = np.isin(parts, _HIPS), np.isin(parts, _THIGHS)
    top, low = vertices[hips, 1].max(), np.quantile(vertices[thighs, 1], 0.1)
    covered = np.flatnonzero(hips | thighs)
    left, right = (np.flatnonzero(parts == part) for part in _THIGHS)
    colors = fabric[rng.choice(covered)] * np.ones((_RINGS * _ANGLES, 1))
    if rng.random() < 0.3:  # Horizontal stripes.
        colors[np.repeat(np.arange(_RINGS) % 2, _ANGLES) == 0] = fabric[rng.choice(covered)]
    return Skirt(
        waist=np.flatnonzero(hips & (vertices[:, 1] > top - 0.03)),
        knees=np.flatnonzero(thighs & (vertices[:, 1] < low)),
        covered=covered,
        sides=(left, right),
        length=rng.uniform(0.5, 1.3),
        flare=rng.uniform(0.0, 0.5),
        colors=colors,
    )


def skirt_faces() -> NDArray[np.int32]:
    """[F, 3] faces of every skirt, with normals that point away from the body."""
    ring, angle = (grid.ravel() for grid in np.meshgrid(np.arange(_RINGS - 1), np.arange(_ANGLES), indexing="ij"))
    a, b = ring * _ANGLES + angle, ring * _ANGLES + (angle + 1) % _ANGLES
    c, d = a + _ANGLES, b + _ANGLES
    return np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]).astype(np.int32)
