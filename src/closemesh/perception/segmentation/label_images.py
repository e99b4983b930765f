"""Label images: one person per pixel, at the resolution of the frame, and how sure each mask is; stored as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import cv2
import numpy as np

from closemesh.body.skeleton import LIMBS
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.perception.segmentation.clip_colors import ClipColors, FrameSamples, clip_colors
from closemesh.perception.types import CropEstimate, CropPose, Detection, Image, Segmenter

_FALLOFF = 0.05  # Fraction of the box diagonal: distance from the skeleton at which a mask's score is a quarter.
_MIN_CONFIDENCE = 0.15
_THRESHOLD = 0.5
_PNG = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),  # Trying the filters takes four times as long.
)

_PIXELS_PER_CELL = 1.0  # Working pixels per cell of a network's mask: finer ones give no better masks.
_MAX_PIXELS = 500_000  # Of the working image.
_RADIUS = 2.0  # Cells of a network's mask: half of the blur that the guided filter removes.
_EPSILON = 1e-3  # Variance of gray values 0..1 below which a window counts as plain.
_FLOOR = 0.01  # Probabilities from a network are never surer than this.
_MAX_BACKGROUND, _MAX_PERSON = 3.0, 1.5  # Log odds that the background model adds at most, against and for people.
_MAX_COLOR = 2.0  # Log density of a color under the colors of one person, at most.
_CONTRADICTION = -1.0  # Log odds below which the background model contradicts a mask.


@dataclass(frozen=True)
class FrameMasks:
    """Masks of all people in one frame."""

    labels: Image
    """[H, W] 0 background, p + 1 person p."""
    confidence: Mapping[int, float] = field(default_factory=dict)
    """0..1 by person: how sure the mask is."""


@dataclass(frozen=True)
class _Window:
    """Part of a frame that holds all masks, at the frame's and at the working resolution."""

    corner: Floats
    """[2] x, y of the first pixel in the frame."""
    scale: Floats
    """[2] size of the working image relative to the frame, along x and y."""
    size: tuple[int, int]
    """Width and height of the working image."""
    radius: int
    """Of the guided filter, working pixels."""

    @property
    def frame_part(self) -> tuple[slice, slice]:
        """Rows and columns of the frame."""
        (x0, y0), (w, h) = self.corner.tolist(), np.round(self.size / self.scale).astype(int).tolist()
        return slice(int(y0), int(y0) + h), slice(int(x0), int(x0) + w)

    def from_frame(self, points: Floats) -> Floats:
        """[..., 2] points of the frame in the working image; pixel centers are whole numbers in both."""
        return (points - self.corner + 0.5) * self.scale - 0.5

    def T_window_mask(self, T_image_mask: Floats) -> Floats:
        """[2, 3] map from mask pixels to pixels of the working image."""
        T = np.asarray(T_image_mask, float)
        return np.column_stack([T[:, :2] * self.scale[:, None], self.from_frame(T[:, 2])])

    def T_sample_window(self, sample_scale: Floats) -> Floats:
        """[2, 3] map from working pixels to pixels of a sample that is `sample_scale` [2] times the frame."""
        shift = (0.5 / self.scale + self.corner) * sample_scale - 0.5
        return np.column_stack([np.diag(sample_scale / self.scale), shift])


@dataclass(frozen=True)
class _Guide:
    """The gray image of a window at both resolutions."""

    small: Floats
    full: Floats
    radius: int

    def filter(self, values: Floats) -> Floats:
        return guided_filter(self.small, self.full, values, self.radius, _EPSILON)


def label_image(image: Image, estimates: Mapping[int, CropEstimate], colors: ClipColors | None = None) -> FrameMasks:
    """Masks of the people in an RGB image [H, W, 3].

    A pixel shows a person where the largest probability of the networks, with the evidence of the background model,
    exceeds one half after a guided filter, which moves its boundary to the edges of the image. The person is the one
    with the largest product of probability, density of the pixel's color and 1 / (1 + distance / falloff)^2, with the
    distance to the skeleton.
    """
    labels = np.zeros(image.shape[:2], np.uint8)
    window = _window(estimates, (image.shape[1], image.shape[0]))
    if window is None:
        return FrameMasks(labels, dict.fromkeys(estimates, 0.0))
    colors, people = colors or ClipColors(), list(estimates)
    frame = np.ascontiguousarray(image[window.frame_part])
    small = np.asarray(cv2.resize(frame, window.size, interpolation=cv2.INTER_AREA), np.uint8)
    networks = np.stack([_probability(estimates[person].pose, window) for person in people])
    densities = [colors.person_density(person, small) for person in people]
    identities = _identities(networks, densities, [estimates[person].detection for person in people], window)
    evidence = _background_evidence(colors, image.shape, small, densities, identities, window)
    union = networks.max(0)
    logit = np.log((union + _FLOOR) / (1 - union + _FLOOR)) + evidence
    guide = _Guide(_gray(small), _gray(frame), window.radius)
    part = (guide.filter(1 / (1 + np.exp(-logit))) > _THRESHOLD) * _person_numbers(people, guide, identities)
    labels[window.frame_part] = part
    inside = cv2.resize(part, window.size, interpolation=cv2.INTER_NEAREST)
    confidence = {
        person: estimates[person].pose.presence
        * _mask_confidence(inside == person + 1, networks[n], identities[n], evidence)
        for n, person in enumerate(people)
    }
    return FrameMasks(labels, confidence)


def _mask_confidence(inside: Bools, network: Floats, identity: Floats, evidence: Floats) -> float:
    """0..1 for the final mask [h, w] of one person; 0 for an empty one.

    The product of four fractions: overlap of the network's mask and the final one, mean probability of the network,
    mean certainty of the identity, and pixels that the background model does not contradict. All others: [h, w].
    """
    either = inside | (network > _THRESHOLD)
    if not inside.any():
        return 0.0
    overlap = (inside & (network > _THRESHOLD)).sum() / either.sum()
    identity = np.clip(2 * identity[inside] - 1, 0, 1).mean()
    return float(overlap * network[inside].mean() * identity * (evidence[inside] > _CONTRADICTION).mean())


def _person_numbers(people: list[int], guide: _Guide, identities: Floats) -> Image:
    """[H, W] p + 1 of the person p with the largest of the identities [N, h, w] after the guided filter."""
    numbers = np.full(guide.full.shape, people[0] + 1, np.uint8)
    best = guide.filter(identities[0]) if len(people) > 2 else None
    for person, identity in zip(people[1:], identities[1:], strict=True):
        filtered = guide.filter(identity)
        numbers[filtered > (_THRESHOLD if best is None else best)] = person + 1  # Two probabilities add up to one.
        best = None if best is None else np.maximum(best, filtered)
    return numbers


def guided_filter(small: Floats, full: Floats, values: Floats, radius: int, epsilon: float) -> Floats:
    """[H, W] values [h, w] at the resolution of `full`, with their edges where the image has edges nearby.

    small, full: the gray image [h, w] and [H, W], 0..1. radius: pixels of `small`. The linear model of each window is
    found in the small image and applied to the full one (Fast Guided Filter, 2015).
    """
    side = (2 * radius + 1, 2 * radius + 1)
    mean = lambda array: cv2.boxFilter(array, -1, side, borderType=cv2.BORDER_REFLECT)  # noqa: E731
    values = np.asarray(values, np.float32)
    middle, average = mean(small), mean(values)
    slope = (mean(small * values) - middle * average) / (mean(small * small) - middle * middle + epsilon)
    offset = average - slope * middle
    slope, offset = (cv2.resize(mean(array), full.shape[::-1]) for array in (slope, offset))
    return slope * full + offset


def _window(estimates: Mapping[int, CropEstimate], size: tuple[int, int]) -> _Window | None:
    """The window with all masks of one frame; None without any mask pixel in the image."""
    rectangles = np.array([_mask_window(one.pose, size) for one in estimates.values()]).reshape(-1, 4)
    rectangles = rectangles[(rectangles[:, 2:] > rectangles[:, :2]).all(1)]
    if len(rectangles) == 0:
        return None
    cell = min(np.sqrt(abs(np.linalg.det(one.pose.T_image_mask[:, :2]))) for one in estimates.values())
    margin = int(np.ceil(2 * _RADIUS * cell))
    low = np.maximum(rectangles[:, :2].min(0) - margin, 0)
    extent = np.minimum(rectangles[:, 2:].max(0) + margin, size) - low
    scale = min(1.0, _PIXELS_PER_CELL / cell, float(np.sqrt(_MAX_PIXELS / np.prod(extent))))
    working = np.maximum(np.round(extent * scale), 1).astype(int)
    width, height = working.tolist()
    return _Window(low, working / extent, (width, height), max(1, round(_RADIUS * cell * scale)))


def _mask_window(pose: CropPose, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of the image window that the mask covers."""
    rows, columns = np.nonzero(pose.mask > _THRESHOLD)
    if len(rows) == 0:
        return 0, 0, 0, 0
    low, high = np.array([columns.min(), rows.min()]) - 1, np.array([columns.max(), rows.max()]) + 1
    corners = np.array([[low[0], low[1], 1], [high[0], low[1], 1], [low[0], high[1], 1], [high[0], high[1], 1]])
    pixels = corners @ pose.T_image_mask.T
    start = np.clip(np.floor(pixels.min(0)), 0, size).astype(int)
    stop = np.clip(np.ceil(pixels.max(0)) + 1, 0, size).astype(int)
    return int(start[0]), int(start[1]), int(stop[0]), int(stop[1])


def _probability(pose: CropPose, window: _Window) -> Floats:
    """[h, w] probability of one person in the working image."""
    T = window.T_window_mask(pose.T_image_mask)
    return np.asarray(cv2.warpAffine(np.asarray(pose.mask, np.float32), T, window.size), np.float32)


def _identities(
    networks: Floats, densities: list[Floats | None], detections: list[Detection], window: _Window
) -> Floats:
    """[N, h, w] probability that a pixel which shows a person shows this one, by mask, skeleton and colors."""
    scores = np.log(networks + _FLOOR)
    if len(networks) > 1:
        scores += np.stack([_skeleton_score(one, window) for one in detections])
        if all(density is not None for density in densities):
            scores += np.clip(np.log(np.stack(densities)), -_MAX_COLOR, _MAX_COLOR)  # type: ignore[arg-type]
    scores = np.exp(scores - scores.max(0))
    return scores / scores.sum(0)


def _skeleton_score(person: Detection, window: _Window) -> Floats:
    """[h, w] log of 1 / (1 + distance to the skeleton / falloff)^2: colors outweigh a skeleton that is wrong."""
    background = np.full(window.size[::-1], 255, np.uint8)
    points = window.from_frame(person.keypoints[:, :2])
    for a, b in LIMBS:
        if min(person.keypoints[a, 2], person.keypoints[b, 2]) > _MIN_CONFIDENCE:
            start, end = (np.round(points[k]).astype(int).tolist() for k in (a, b))
            cv2.line(background, start, end, 0, 2)
    distance = cv2.distanceTransform(background, cv2.DIST_L2, 3) / window.scale.mean()
    return -2 * np.log1p(distance / (_FALLOFF * person.diagonal))


def _background_evidence(
    colors: ClipColors,
    shape: tuple[int, ...],
    small: Image,
    densities: list[Floats | None],
    identities: Floats,
    window: _Window,
) -> Floats:
    """[h, w] log odds that a pixel shows a person and not the background; 0 where the background is unknown.

    shape: height and width of the frame. small: [h, w, 3] the working image.
    """
    if colors.background is None:
        return np.zeros(small.shape[:2], np.float32)
    parts = [one if density is None else one * density for density, one in zip(densities, identities, strict=True)]
    density = np.sum(parts, axis=0)
    sample_scale = np.array(colors.background.std.shape[::-1]) / np.array(shape[1::-1])
    evidence = colors.background.foreground_evidence(small, density, window.T_sample_window(sample_scale))
    return np.clip(evidence, -_MAX_BACKGROUND, _MAX_PERSON)


def _gray(image: Image) -> Floats:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255


def read_labels(path: Path) -> Image:
    """The label image [H, W] of a PNG. Raises InputError when the file is missing or damaged."""
    try:
        labels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
    except (OSError, cv2.error):  # Missing or empty.
        labels = None
    if labels is None:
        raise InputError(f"mask {path} is missing or damaged; run closemesh reconstruct --fresh again")
    return np.asarray(labels, np.uint8)


def write_labels(path: Path, labels: Image) -> None:
    """Write labels [H, W] as 8-bit PNG. Raises OutputError when the file cannot be written."""
    encoded = cv2.imencode(".png", labels, _PNG)[1]
    with atomic_file(path) as part:
        part.write_bytes(encoded.tobytes())


class MaskWriter:
    """Writes one label image per frame: sees samples of the clip first, then each frame with its people."""

    def __init__(self, folder: Path, num_frames: int, segmenter: Segmenter | None = None) -> None:
        """folder: created if missing. segmenter: replaces the masks of the crop estimates."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._segmenter, self._lock = folder, segmenter, Lock()
        self.samples = FrameSamples(num_frames)
        """Frames of the first pass, of which the colors are learned."""
        self._colors = ClipColors()

    def learn_colors(self, people: list[dict[int, Detection]]) -> None:
        """Learn the colors of background and people from the samples. people: detections of each person by frame."""
        self._colors = clip_colors(self.samples, people)
        self.samples.images.clear()

    def write(self, frame: int, image: Image, estimates: dict[int, CropEstimate]) -> Mapping[int, float]:
        """Write the masks of a frame; returns how sure they are, 0..1 by person. Several threads may call it.

        Raises OutputError.
        """
        if self._segmenter:
            with self._lock:  # Networks of ultralytics keep the state of a call.
                estimates = self._segmenter.refine_masks(image, estimates)
        masks = label_image(image, estimates, self._colors)
        write_labels(self._folder / f"{frame:06d}.png", masks.labels)
        return masks.confidence
