"""The effect of each part of the method: the benchmark with the part and without it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from closemesh.config.loading import override, to_dict
from closemesh.config.schema import Config
from closemesh.core.progress import Progress
from closemesh.lab.evaluation.benchmark_run import BenchmarkScene, WindowResult, build_scene
from closemesh.lab.evaluation.benchmark_runner import RunOptions, run_windows
from closemesh.lab.evaluation.benchmark_scenes import Focal, Source, Window, with_known_focal
from closemesh.lab.evaluation.report import BenchmarkReport, Difference, current_commit, differences
from closemesh.pipeline.stages import MOTION_STAGES

LIFTER = "lifting network"
Settings = dict[str, dict[str, object]]
REMOVED: dict[Source, dict[str, Settings]] = {
    "keypoints": {
        LIFTER: {"initialise": {"lifter": False}},
        "interaction prior": {"refine": {"prior": False}},
        "cross-attention to the partner": {"refine": {"cross_attention": False}},
        "projection condition": {"refine": {"projection_condition": False}},
        "interaction codebook": {"refine": {"codebook": False}},
        "physics guidance": {"refine": {"physics": False}},
        "physics of the last stage": {"optimise": {"physics": False}},
    },
    "pixels": {
        "appearance": {"optimise": {"appearance": {"enabled": False}}},
        "interaction prior": {"refine": {"prior": False}},
        "physics": {"refine": {"physics": False}, "optimise": {"physics": False}},
    },
}
"""Source -> part of the default method -> the settings that remove it."""
ADDED: dict[Source, dict[str, Settings]] = {
    "keypoints": {
        "network fine-tuning": {"optimise": {"motion": "network"}},
    },
    "pixels": {
        "alignment to silhouettes": {"optimise": {"appearance": {"silhouette_alignment": True}}},
        "appearance in the joint fit": {"optimise": {"appearance": {"joint": True}}},
    },
}
"""Source -> part that the default method lacks -> the settings that add it."""

PAPER: dict[str, dict[str, float]] = {
    "appearance": {"MPJPE": 59.06 - 60.68, "Inter": 80.18 - 81.01, "A-PD": 0.81 - 0.83},
    "interaction prior": {"MPJPE": 59.06 - 61.52, "Inter": 80.18 - 87.13, "A-PD": 0.81 - 0.85},
    "physics": {"MPJPE": 59.06 - 57.01, "Inter": 80.18 - 78.50, "A-PD": 0.81 - 1.30},
}
"""With minus without in CloseApp's Table 3 (CVPR 2025), on Hi4D, as secondary sources report it."""

Ablation = dict[str, dict[str, dict[str, dict[str, Difference]]]]
"""Part -> motion -> group -> metric -> with the part minus without it."""


def measure_ablation(
    windows: Sequence[Window],
    config: Config,
    source: Source,
    progress: Progress,
    options: RunOptions,
    focal: Focal = "estimated",
) -> tuple[BenchmarkReport, Ablation]:
    """The report of the whole method, and the effect of each part of it.

    Stages whose inputs a part does not change run once per window. Raises ClosemeshError.
    """
    settings = {"": {}} | REMOVED[source] | ADDED[source]
    configs = {name: override(config, values) if values else config for name, values in settings.items()}
    rows = tuple(configs.values())
    work = functools.partial(run_configs, configs=rows, source=source, focal=focal, device=options.device)
    inputs = {"configs": [to_dict(one) for one in configs.values()], "source": source, "focal": focal}
    inputs |= {"device": options.device}
    results = run_windows(windows, work, inputs, f"ablation from {source}", progress, options)
    commit = current_commit()
    reports = {
        name: BenchmarkReport(commit, config.seed, config.preset, source, of_config, focal)
        for name, of_config in zip(configs, zip(*results, strict=True), strict=True)
    }
    whole = reports[""]
    effect = {name: differences(reports[name], whole) for name in REMOVED[source]}
    return whole, effect | {name: differences(whole, reports[name]) for name in ADDED[source]}


def run_configs(
    window: Window, configs: Sequence[Config], source: Source, focal: Focal, device: str | None
) -> tuple[WindowResult, ...]:
    """The scores of one window for each configuration; all have the same settings of the stage `observe`.

    Raises InputError when the window's file cannot be read.
    """
    assert all(one.observe == configs[0].observe for one in configs)
    with tempfile.TemporaryDirectory() as folder:
        scene = build_scene(window, configs[0], source, device, Path(folder), focal)
        return tuple(_run_config(scene.without_scores(), one, focal) for one in configs)


def _run_config(scene: BenchmarkScene, config: Config, focal: Focal) -> WindowResult:
    if scene.state.observations is not None:
        known = focal == "known"
        ctx = replace(scene.ctx, config=with_known_focal(config, scene.scene.camera.focal) if known else config)
        scene.run(ctx, scene.state, MOTION_STAGES)
    return scene.result()
