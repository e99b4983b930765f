"""Measured noise of keypoints on real clips (`keypoint_noise.toml`), relative to the person's height in the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from closemesh.body.skeleton import KEYPOINT_NAMES
from closemesh.config.loading import read_toml
from closemesh.core.errors import InputError, ModelFileError

_FILE = Path(__file__).with_name("keypoint_noise.toml")
_MIN_CONFIDENCE = 0.3  # Of both ends of a segment that the height comes from.
_SEGMENTS = (
    *(((5, 6), (11, 12), 0.288),),
    *(((5,), (7,), 0.186), ((6,), (8,), 0.186), ((7,), (9,), 0.146), ((8,), (10,), 0.146)),
    *(((11,), (13,), 0.245), ((12,), (14,), 0.245), ((13,), (15,), 0.246), ((14,), (16,), 0.246)),
)
"""Trunk, arms and legs: ends by keypoint, several are averaged, and length over stature (Drillis and Contini 1964)."""
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
"""[17] standard deviations of COCO's annotators, relative to the square root of the object's area."""
_FOOT_SIGMA = 0.079
_TRAINED_SIGMA = 0.5  # Of the annotators' standard deviation, which is relative to the square root of the box area.
_BOX_HEIGHT = 0.65  # Square root of the area of a standing person's box over the height.


@dataclass(frozen=True)
class JointNoise:
    """Errors of one joint as a mixture of two isotropic normal distributions; standard deviations along each axis."""

    core: float
    """Of confident keypoints, as a fraction of the person's height in the image."""
    tail: float
    """Of the wide part."""
    tail_fraction: float
    """0..1 of the keypoints that belong to the wide part."""


@dataclass(frozen=True)
class NoiseFactors:
    """Factors on the core, each as pairs of a value and its factor, linear between them and constant outside."""

    confidence: tuple[tuple[float, float], ...]
    partner: tuple[tuple[float, float], ...]
    """By the distance to a partner's nearest limb, in widths of a limb."""
    border: tuple[tuple[float, float], ...]
    """By the distance to the border of the image, as a fraction of the person's height."""


@dataclass(frozen=True)
class KeypointNoise:
    """Content of `keypoint_noise.toml`."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    measured_on: str
    limb_width: float
    """Fraction of the person's height."""
    disagreement_weight: float
    """Standard deviation over the distance between detection and crop pose."""
    speed_weight: float
    """Standard deviation over the motion from frame to frame."""
    factors: NoiseFactors
    networks: dict[str, dict[str, JointNoise]]
    """By network, then by joint without its side; `fused` are the keypoints of Observations."""

    def scales(self, network: str = "fused") -> Tensor:
        """[133] core standard deviation of each keypoint of a network, as a fraction of the person's height."""
        joints = self.networks[network]
        return torch.tensor([joints[joint_name(name)].core for name in KEYPOINT_NAMES], dtype=torch.float64)


@lru_cache
def load_keypoint_noise() -> KeypointNoise:
    """The measured noise. Raises ModelFileError when its file is damaged."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(KeypointNoise).validate_python(read_toml(_FILE))
    except (ValidationError, InputError) as error:
        raise ModelFileError(f"{_FILE} does not hold the noise of keypoints; reinstall closemesh") from error


def inv_sigma_in_training(inv_sigma: Tensor) -> Tensor:
    """[..., 23] inverse sigmas on the scale of those that the bundled lifter was trained with.

    Its sigmas were half those of COCO's annotators. inv_sigma: [..., 23] of today's keypoints.
    """
    trained = _TRAINED_SIGMA * _BOX_HEIGHT * torch.tensor((*COCO_SIGMAS, *[_FOOT_SIGMA] * 6), dtype=torch.float64)
    return inv_sigma * (load_keypoint_noise().scales()[: len(trained)] / trained).to(inv_sigma)


def joint_name(keypoint: str) -> str:
    """Name of the joint of a keypoint, the same for both sides; fingers are `hand`, points of the face `face`."""
    for group in ("face", "hand"):
        if f"{group}_" in keypoint:
            return group
    return keypoint.removeprefix("left_").removeprefix("right_")


def interpolate_factor(table: tuple[tuple[float, float], ...], values: Tensor) -> Tensor:
    """Factors [...] at values [...] of a table of pairs, which rises in its first column."""
    at, factors = torch.tensor(table, dtype=values.dtype, device=values.device).T.contiguous().unbind(0)
    above = torch.searchsorted(at, values.contiguous()).clamp(1, len(at) - 1)
    weight = ((values - at[above - 1]) / (at[above] - at[above - 1])).clamp(0, 1)
    return torch.lerp(factors[above - 1], factors[above], weight)


def apparent_height(keypoints: Tensor, boxes: Tensor) -> Tensor:
    """[...] height of each person standing upright at the same distance, pixels; the same for half figures.

    The second largest of the heights that trunk, arms and legs give: foreshortened segments are shorter, and one
    wrong keypoint does not count. Without any segment it comes from the box. keypoints: [..., K, 3] with K >= 17.
    boxes: [..., 4].
    """
    heights = []
    for start, end, fraction in _SEGMENTS:
        a, b = keypoints[..., list(start), :], keypoints[..., list(end), :]
        length = (a[..., :2].mean(-2) - b[..., :2].mean(-2)).norm(dim=-1) / fraction
        given = torch.minimum(a[..., 2].amin(-1), b[..., 2].amin(-1)) > _MIN_CONFIDENCE
        heights.append(torch.where(given, length, 0.0))
    first, second = torch.stack(heights, -1).topk(2, dim=-1).values.unbind(-1)
    extent = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1)
    height = torch.where(second > 0, second, torch.where(first > 0, first, extent.prod(-1).sqrt() / _BOX_HEIGHT))
    return height.clamp(min=1)
