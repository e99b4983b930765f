"""What the learned first pose and each part of the interaction prior are worth: the benchmark with and without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from closemesh.config import Config, override
from closemesh.evaluation.benchmark_report import BenchmarkReport, differences
from closemesh.evaluation.benchmark_windows import Window
from closemesh.evaluation.bootstrap import Difference
from closemesh.evaluation.synthetic import benchmark_synthetic
from closemesh.progress import Progress

FIRST_POSE = "the learned first pose"
WITHOUT: dict[str, dict[str, dict[str, object]]] = {
    FIRST_POSE: {"initialise": {"lifter": False}},
    "the prior": {"refine": {"prior": False}},
    "seeing the partner": {"refine": {"partner": False}},
    "seeing the projection": {"refine": {"projection": False}},
    "physics guidance": {"refine": {"physics": False}},
}
"""Part -> the settings, stage by stage, that leave it out."""
WITH: dict[str, dict[str, dict[str, object]]] = {"the book of interactions": {"refine": {"codebook": True}}}
"""Part that is left out by default -> the settings that put it in."""

Ablation = dict[str, dict[str, dict[str, dict[str, Difference]]]]
"""Part -> stage -> group -> metric -> how the figure with it differs from that without."""


def measure_ablation(
    windows: Sequence[Window], config: Config, progress: Progress, device: str | None, jobs: int, cache: Path | None
) -> tuple[BenchmarkReport, Ablation]:
    """The whole pipeline on the windows, and how it differs from the same without one part; from keypoints.

    `cache`: a folder in which finished windows are kept; what is there of the same code is not run again.
    """

    def run(name: str, settings: dict[str, dict[str, object]]) -> BenchmarkReport:
        chosen = override(config, settings) if settings else config
        folder = cache / name.replace(" ", "_") if cache else None
        return benchmark_synthetic(windows, chosen, "keypoints", progress, device, jobs, folder, resume=bool(cache))

    whole = run("everything", {})
    worth = {name: differences(run(name, settings), whole) for name, settings in WITHOUT.items()}
    return whole, worth | {name: differences(whole, run(name, settings)) for name, settings in WITH.items()}
