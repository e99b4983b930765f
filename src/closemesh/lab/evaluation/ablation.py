"""What each part of the method is worth: the benchmark with it and without it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from closemesh.config.loading import override
from closemesh.config.schema import Config, to_dict
from closemesh.core.progress import NullProgress, Progress
from closemesh.lab.evaluation.benchmark_run import BenchmarkScene, WindowResult, build_scene
from closemesh.lab.evaluation.benchmark_runner import run_windows
from closemesh.lab.evaluation.benchmark_scenes import Source, Window
from closemesh.lab.evaluation.benchmark_stages import STAGES, Estimate, run_stage, with_known_focal
from closemesh.lab.evaluation.report import BenchmarkReport, Difference, current_commit, differences

FIRST_POSE = "the learned first pose"
Settings = dict[str, dict[str, object]]
REMOVED: dict[Source, dict[str, Settings]] = {
    "keypoints": {
        FIRST_POSE: {"initialise": {"lifter": False}},
        "the prior": {"refine": {"prior": False}},
        "seeing the partner": {"refine": {"cross_attention": False}},
        "seeing the projection": {"refine": {"projection_condition": False}},
        "physics guidance": {"refine": {"physics": False}},
    },
    "pixels": {
        "everybody's look": {"optimise": {"appearance": {"enabled": False}}},
        "the prior": {"refine": {"prior": False}},
        "physics": {"refine": {"physics": False}, "optimise": {"physics": False}},
    },
}
"""What is seen -> part -> the settings, stage by stage, that leave it out."""
ADDED: dict[Source, dict[str, Settings]] = {
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

    What a part does not change is made once for each window. `cache`: a folder in which finished windows are kept; what
    is there of the same code is not run again.
    """
    settings = {"": {}} | REMOVED[source] | ADDED[source]
    configs = {name: override(config, chosen) if chosen else config for name, chosen in settings.items()}
    work = functools.partial(run_configs, configs=tuple(configs.values()), source=source, device=device)
    made_from = {"configs": [to_dict(one) for one in configs.values()], "source": source, "device": device}
    found = run_windows(windows, work, made_from, f"ablation from {source}", progress, jobs, cache, bool(cache))
    commit = current_commit()
    reports = {
        name: BenchmarkReport(commit, config.seed, config.preset, source, results)
        for name, results in zip(configs, zip(*found, strict=True), strict=True)
    }
    whole = reports[""]
    worth = {name: differences(reports[name], whole) for name in REMOVED[source]}
    return whole, worth | {name: differences(whole, reports[name]) for name in ADDED[source]}


def run_configs(
    window: Window, configs: Sequence[Config], source: Source, device: str | None
) -> tuple[WindowResult, ...]:
    """One window in several configurations that see the same; raises InputError when its file cannot be read."""
    assert all(one.observe == configs[0].observe for one in configs)
    made: dict[tuple[str, ...], Estimate] = {}
    with tempfile.TemporaryDirectory() as folder:
        filmed = build_scene(window, configs[0], source, device, Path(folder))
        return tuple(_run_config(filmed.again(), one, made) for one in configs)


def _run_config(filmed: BenchmarkScene, config: Config, made: dict[tuple[str, ...], Estimate]) -> WindowResult:
    """All stages; `made` has what came of stages by their configurations, and of those before."""
    if filmed.task is None:
        return filmed.result()
    task = replace(filmed.task, config=with_known_focal(config, filmed.scene.camera.focal))
    configs = repr(task.config.initialise), repr(task.config.refine), repr(task.config.optimise)
    estimate = None
    for number, stage in enumerate(STAGES, start=1):
        if configs[:number] not in made:
            with filmed.watch.time(stage):
                made[configs[:number]] = run_stage(stage, task, estimate, NullProgress())
        estimate = made[configs[:number]]
        filmed.score(stage, estimate.motion)
    return filmed.result()
