"""What each part of the method is worth: the benchmark with it and without it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from closemesh.config import Config
from closemesh.config_file import override
from closemesh.evaluation.benchmark_report import BenchmarkReport, differences
from closemesh.evaluation.benchmark_sighting import Source
from closemesh.evaluation.benchmark_windows import Window
from closemesh.evaluation.bootstrap import Difference
from closemesh.evaluation.synthetic import benchmark_synthetic
from closemesh.progress import Progress

FIRST_POSE = "the learned first pose"
Settings = dict[str, dict[str, object]]
WITHOUT: dict[Source, dict[str, Settings]] = {
    "keypoints": {
        FIRST_POSE: {"initialise": {"lifter": False}},
        "the prior": {"refine": {"prior": False}},
        "seeing the partner": {"refine": {"partner": False}},
        "seeing the projection": {"refine": {"projection": False}},
        "physics guidance": {"refine": {"physics": False}},
    },
    "pixels": {
        "everybody's look": {"optimise": {"appearance": {"use": False}}},
        "the prior": {"refine": {"prior": False}},
        "physics": {"refine": {"physics": False}, "optimise": {"physics": False}},
    },
}
"""What is seen -> part -> the settings, stage by stage, that leave it out."""
WITH: dict[Source, dict[str, Settings]] = {
    "keypoints": {
        "the book of interactions": {"refine": {"codebook": True}},
        "fine-tuning the network": {"optimise": {"motion": "network"}},
    },
    "pixels": {},
}
"""What is seen -> part that is left out by default -> the settings that put it in."""

PAPER: dict[str, dict[str, float]] = {
    "everybody's look": {"MPJPE": 59.06 - 60.68, "Inter": 80.18 - 81.01, "A-PD": 0.81 - 0.83},
    "the prior": {"MPJPE": 59.06 - 61.52, "Inter": 80.18 - 87.13, "A-PD": 0.81 - 0.85},
    "physics": {"MPJPE": 59.06 - 57.01, "Inter": 80.18 - 78.50, "A-PD": 0.81 - 1.30},
}
"""With minus without in CloseApp's Table 3 (CVPR 2025), on Hi4D, as far as secondary sources tell it."""

Ablation = dict[str, dict[str, dict[str, dict[str, Difference]]]]
"""Part -> stage -> group -> metric -> how the figure with it differs from that without."""


def measure_ablation(
    windows: Sequence[Window],
    config: Config,
    source: Source,
    progress: Progress,
    device: str | None,
    jobs: int,
    cache: Path | None,
) -> tuple[BenchmarkReport, Ablation]:
    """The whole pipeline on the windows, and how it differs from the same without one part.

    `cache`: a folder in which finished windows are kept; what is there of the same code is not run again.
    """

    def run(name: str, settings: Settings) -> BenchmarkReport:
        chosen = override(config, settings) if settings else config
        folder = cache / name.replace(" ", "_") if cache else None
        return benchmark_synthetic(windows, chosen, source, progress, device, jobs, folder, resume=bool(cache))

    whole = run("everything", {})
    worth = {name: differences(run(name, settings), whole) for name, settings in WITHOUT[source].items()}
    extra = {name: differences(whole, run(name, settings)) for name, settings in WITH[source].items()}
    return whole, worth | extra
