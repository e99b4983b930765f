"""Colors of a clip from a few of its frames: the background of a camera that stands still, and each person's colors."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from closemesh.body.skeleton import LIMBS
from closemesh.core.arrays import Bools, Floats
from closemesh.perception.types import Detection, Image

_MAX_SAMPLES = 40
_SIDE = 480  # Pixels, the longer side of a sample.
_MIN_CONFIDENCE = 0.15
_TORSO = (5, 6, 12, 11)
_HEAD, _SHOULDERS, _SHINS = range(5), (5, 6), ((13, 15), (14, 16))
_HEAD_SIZE = 0.04  # Radius of the head as a fraction of the box diagonal.
_HAIR = 0.5  # Radii from the face to the middle of the head, away from the shoulders.
_FOOT = 0.15  # Length of a shin by which it goes on below the ankle.

_COVER = 0.08  # Fraction of the box diagonal around the box that a person may cover.
_BORDER = 0.2  # Fraction of the box diagonal: people whose box is nearer to the border may go on up to it.
_NEAR = 0.09  # Fraction of the box diagonal around the skeleton that a person's clothes and hair may cover.
_CORE = 0.012  # Fraction of the box diagonal around the skeleton that shows the person and nothing else.

_MAX_SHIFT = 0.12  # Pixels of a sample by which the picture of a camera that stands still may seem to move.
_MIN_GRADIENT = 10.0  # Gray levels per pixel, above noise.
_MIN_EDGES = 50  # Pixels; with fewer the picture is plain and a motion of the camera would not show.
_MIN_UNCOVERED = 3  # Samples in which a pixel must be uncovered before its background is known.
_NOISE = 6.0  # Gray levels, smallest standard deviation of the background.
_GRADIENT_NOISE = 0.4  # Pixels; the background's deviation at edges, where scaling mixes colors.
_OUTLIER = 0.1  # Probability of a background pixel of any other color: shadows, objects that were moved.

_BINS = 16  # Per color channel: the upper four of its eight bits.
_MIN_PIXELS = 200  # Pixels of one person from which a histogram is reliable.
_UNIFORM = 0.05  # Probability of a color that was not sampled.


class FrameSamples:
    """At most 40 small frames, evenly from a clip: memory does not grow with its length."""

    def __init__(self, num_frames: int) -> None:
        count = min(num_frames, _MAX_SAMPLES)
        self._chosen = set(np.round(np.linspace(0, num_frames - 1, count)).astype(int).tolist())
        self.images: dict[int, Image] = {}
        """Small RGB images [h, w, 3] by frame."""
        self.scale = 1.0
        """Size of the samples relative to the frames."""

    def add(self, frame: int, image: Image) -> None:
        """Keep a small copy of the image [H, W, 3] if the frame is one of the samples."""
        if frame in self._chosen:
            self.scale = min(1.0, _SIDE / max(image.shape[:2]))
            self.images[frame] = small_image(image, self.scale)


def small_image(image: Image, scale: float) -> Image:
    """The image [H, W, 3] times `scale`, at most 1."""
    width, height = (max(1, round(side * scale)) for side in image.shape[1::-1])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class Background:
    """Color of the background per pixel of a sample, where it was seen."""

    mean: Floats
    """[h, w, 3] gray levels."""
    std: Floats
    """[h, w] gray levels; infinite where the background was not seen."""

    def foreground_evidence(self, image: Image, person_density: Floats, T_sample_window: Floats) -> Floats:
        """Log ratio [h, w] of person to background in a window of a frame; 0 where the background is unknown.

        image: [h, w, 3] window. person_density: [h, w] density of its pixels under the colors of people, 1 for a
        uniform one. T_sample_window: [2, 3] map from its pixels to those of the samples.
        """
        flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, image.shape[1::-1]
        precision = np.where(np.isfinite(self.std), 1 / self.std, 0).astype(np.float32)
        mean, precision = (
            cv2.warpAffine(array, T_sample_window, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            for array in (self.mean, precision)
        )
        distance = np.square(image - mean).sum(-1) * np.square(precision)
        peak = np.power(256 / np.sqrt(2 * np.pi) * precision, 3)
        density = (1 - _OUTLIER) * peak * np.exp(-0.5 * distance) + _OUTLIER
        return np.where(precision > 0, np.log(person_density / density), 0).astype(np.float32)


@dataclass(frozen=True)
class ClipColors:
    """Colors of the background and of people, learned from the samples."""

    background: Background | None = None
    """None where the camera moves or people cover everything."""
    people: dict[int, Floats] = field(default_factory=dict)
    """Density [4096] over cells of the RGB cube by person, relative to a uniform one; only of people seen alone."""

    def person_density(self, person: int, image: Image) -> Floats | None:
        """Density [h, w] of each pixel of image [h, w, 3] under the person's colors; 1 is that of a uniform color."""
        density = self.people.get(person)
        return None if density is None else density[_cells(image)]


def clip_colors(samples: FrameSamples, people: list[dict[int, Detection]]) -> ClipColors:
    """Colors of background and people. people: the detections of each person by frame."""
    seen, cores = {}, {person: [] for person in range(len(people))}
    for frame, image in samples.images.items():
        found = {p: _scaled(frames[frame], samples.scale) for p, frames in enumerate(people) if frame in frames}
        covers = {p: covered_area(one, image.shape[:2]) for p, one in found.items()}
        for person, one in found.items():
            partners = [skeleton_area(two, image.shape[:2], _NEAR) for other, two in found.items() if other != person]
            core = skeleton_area(one, image.shape[:2], _CORE) & ~np.any([np.zeros_like(covers[person]), *partners], 0)
            cores[person].append(image[core])
        if len(found) == len(people):  # A person who was not detected may stand anywhere.
            seen[frame] = ~np.any(list(covers.values()), axis=0)
    pixels = {person: np.concatenate(parts) for person, parts in cores.items() if parts}
    densities = {person: color_density(one) for person, one in pixels.items() if len(one) >= _MIN_PIXELS}
    images = [samples.images[frame] for frame in seen]
    return ClipColors(learn_background(images, list(seen.values())), densities)


def learn_background(images: list[Image], uncovered: list[Bools]) -> Background | None:
    """Median and spread of the uncovered pixels; None where the camera moves or too little was seen.

    images: RGB [h, w, 3]. uncovered: [h, w] each, where no person can be.
    """
    if len(images) < _MIN_UNCOVERED:
        return None
    stack, seen = np.stack(images), np.stack(uncovered)
    count = seen.sum(0)
    mean, std = np.zeros(stack.shape[1:], np.float32), np.full(stack.shape[1:3], np.inf, np.float32)
    for row in range(stack.shape[1]):  # Row by row: sorting needs several times the memory of the images.
        enough = count[row] >= _MIN_UNCOVERED
        if enough.any():
            values, hidden, n = stack[:, row, enough].astype(np.int16), ~seen[:, row, enough, None], count[row, enough]
            mean[row, enough] = middle = _median(values, hidden, n)
            std[row, enough] = 1.48 * _median(np.abs(values - middle), hidden, n).max(-1)
    if not np.isfinite(std).any() or apparent_motion(stack, seen, mean, np.isfinite(std)) > _MAX_SHIFT:
        return None
    gray = np.asarray(cv2.cvtColor(mean, cv2.COLOR_RGB2GRAY), np.float32)
    return Background(mean, np.sqrt(np.square(std) + _NOISE**2 + np.square(_GRADIENT_NOISE * _gradient(gray))))


def _median(values: NDArray[np.int16], hidden: Bools, count: NDArray[np.integer]) -> NDArray[np.int16]:
    """[n, 3] lower median over the samples of values [N, n, 3] that are not hidden [N, n, 1]; count: [n] of them."""
    ordered = np.sort(np.where(hidden, np.int16(1000), values), axis=0)
    return np.take_along_axis(ordered, ((count - 1) // 2)[None, :, None], axis=0)[0]


def apparent_motion(stack: Image, uncovered: Bools, mean: Floats, known: Bools) -> float:
    """Pixels by which edges of the background seem to move, the 90th percentile over the samples.

    stack: [N, h, w, 3]. uncovered: [N, h, w]. mean: [h, w, 3] the median. known: [h, w]. 0 for a plain picture.
    """
    reference = np.asarray(cv2.cvtColor(mean, cv2.COLOR_RGB2GRAY), np.float32)
    inside = cv2.erode(known.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    gradient = _gradient(reference)
    edges = inside & (gradient > _MIN_GRADIENT)
    shifts = []
    for image, seen in zip(stack, uncovered, strict=True):
        used = edges & seen
        if used.sum() >= _MIN_EDGES:
            gray = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
            shifts.append(float(np.median(np.abs(gray - reference)[used] / gradient[used])))
    return float(np.percentile(shifts, 90)) if shifts else 0.0


def color_density(pixels: Image) -> Floats:
    """[4096] smoothed density of the colors of pixels [N, 3] over cells of the RGB cube, relative to a uniform one."""
    counts = np.bincount(_cells(pixels), minlength=_BINS**3).astype(np.float32).reshape(_BINS, _BINS, _BINS)
    for axis in range(3):
        padded = np.pad(counts, [(int(k == axis), int(k == axis)) for k in range(3)], mode="edge")
        below, above = (np.take(padded, range(k, k + _BINS), axis) for k in (0, 2))
        counts = 0.5 * counts + 0.25 * (below + above)
    return ((1 - _UNIFORM) * counts.ravel() / counts.sum() * _BINS**3 + _UNIFORM).astype(np.float32)


def covered_area(person: Detection, shape: tuple[int, ...]) -> Bools:
    """[h, w] all pixels that the person may cover, whatever the pose."""
    size = np.array(shape[1::-1])
    low, high = person.box[:2] - _COVER * person.diagonal, person.box[2:] + _COVER * person.diagonal
    near = (_BORDER - _COVER) * person.diagonal
    x0, y0 = np.where(low < near, 0, np.floor(low)).astype(int).tolist()
    x1, y1 = np.where(high > size - near, size, np.ceil(high)).astype(int).tolist()
    area = skeleton_area(person, shape, _NEAR)
    area[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return area


def skeleton_area(person: Detection, shape: tuple[int, ...], radius: float) -> Bools:
    """[h, w] pixels within `radius` box diagonals of the skeleton, the torso and the head."""
    area = np.zeros(shape[:2], np.uint8)
    thickness = max(1, round(2 * radius * person.diagonal))
    points, confident = person.keypoints[:, :2], person.keypoints[:, 2] > _MIN_CONFIDENCE
    pixels = np.clip(np.round(points), -10_000, 10_000).astype(np.int32)
    for a, b in LIMBS:
        if confident[a] and confident[b]:
            cv2.line(area, pixels[a].tolist(), pixels[b].tolist(), 1, thickness)
    if confident[list(_TORSO)].all():
        cv2.fillConvexPoly(area, cv2.convexHull(pixels[list(_TORSO)]), 1)
    head, shoulders = [k for k in _HEAD if confident[k]], [k for k in _SHOULDERS if confident[k]]
    if head and shoulders:
        center, neck = points[head].mean(0), points[shoulders].mean(0)
        size = _HEAD_SIZE * person.diagonal
        center = center + _HAIR * size * (center - neck) / max(float(np.linalg.norm(center - neck)), 1.0)
        cv2.circle(area, np.round(center).astype(int).tolist(), max(1, round(size)) + thickness // 2, 1, -1)
    for knee, ankle in _SHINS:
        if confident[knee] and confident[ankle]:
            toes = np.round(points[ankle] + _FOOT * (points[ankle] - points[knee])).astype(int).tolist()
            cv2.line(area, pixels[ankle].tolist(), toes, 1, thickness)
    return area > 0


def _scaled(person: Detection, scale: float) -> Detection:
    return Detection(person.box * scale, person.keypoints * (scale, scale, 1), person.score)


def _cells(image: Image) -> NDArray[np.integer]:
    """Index of the cell of the RGB cube of each pixel: [...] for [..., 3]."""
    cells = (image >> 4).astype(np.uint16)
    return (cells[..., 0] << 8) | (cells[..., 1] << 4) | cells[..., 2]


def _gradient(gray: Floats) -> Floats:
    """[h, w] steepness in gray levels per pixel."""
    return np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(gray, cv2.CV_32F, 0, 1, scale=0.125))
