"""The metrics by name, in the order of the tables: what they are told in and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher"]

TOUCH = 0.013
"""Metres between surfaces from which parts touch: BUDDI's and ours."""
NEAR = 0.05
PCC_RADII = (0.05, 0.10, 0.15, 0.20)


@dataclass(frozen=True)
class Metric:
    """How a figure is to be read."""

    name: str
    unit: str
    better: Better
    by_joint: bool = False
    """Its values are [T, P, 14], one for each LSP joint."""
    of_pair: bool = False
    """Its values are [T, pairs], else they begin with [T, P]."""
    needs_truth: bool = True
    """False for what can be told of the truth itself too."""

    @property
    def scale(self) -> float:
        """From the values of `score_motions`, where shares are in 0..1, to the unit."""
        return 100.0 if self.unit == "%" else 1.0


_CONTACT = tuple(
    Metric(f"contact-{score}@{1000 * distance:.0f}mm", "%", "higher", of_pair=True)
    for distance in (TOUCH, NEAR)
    for score in ("P", "R", "F1")
)

METRICS: tuple[Metric, ...] = (
    Metric("MPJPE", "mm", "lower", by_joint=True),
    Metric("PA-MPJPE", "mm", "lower", by_joint=True),
    Metric("MPVPE", "mm", "lower"),
    Metric("Accel", "mm/frame²", "lower", by_joint=True),
    Metric("Inter", "mm", "lower", of_pair=True),
    Metric("Pair-PA-MPJPE", "mm", "lower", of_pair=True),
    Metric("Pair-PA-MPJPE-best", "mm", "lower", of_pair=True),
    Metric("root-depth", "mm", "lower"),
    Metric("PCDR", "%", "higher", of_pair=True),
    Metric("A-PD", "mm", "lower", of_pair=True, needs_truth=False),
    Metric("depth-max", "mm", "lower", of_pair=True, needs_truth=False),
    Metric("depth-mean", "mm", "lower", of_pair=True, needs_truth=False),
    Metric("volume", "cm³", "lower", of_pair=True, needs_truth=False),
    *_CONTACT,
    *(Metric(f"PCC@{100 * radius:.0f}cm", "%", "higher", of_pair=True) for radius in PCC_RADII),
    Metric("jitter", "m/s³", "lower", needs_truth=False),
    Metric("foot-sliding", "mm", "lower", needs_truth=False),
)
METRIC = {metric.name: metric for metric in METRICS}
IN_CAMERA_ONLY = ("root-depth", "PCDR")
"""Mean something only when both motions are in the camera frame."""
