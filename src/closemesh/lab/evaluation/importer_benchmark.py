"""Benchmark of reconstruction from another tool's result: simulated results, read from files, before and after."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from closemesh.config.schema import Config, to_dict
from closemesh.core.progress import Progress
from closemesh.lab.evaluation.benchmark_run import BenchmarkScene, WindowResult, build_scene, seed_of
from closemesh.lab.evaluation.benchmark_runner import RunOptions, run_windows
from closemesh.lab.evaluation.benchmark_scenes import Window
from closemesh.lab.evaluation.report import BenchmarkReport, Difference, current_commit, differences
from closemesh.lab.evaluation.scores import Groups
from closemesh.lab.evaluation.simulated_tool import VARIANTS, Variant, simulate_tool, write_tool_result
from closemesh.pipeline.stages import MOTION_STAGES

IMPORTED = "imported"
"""Name of the tool's own motion among the motions of a report."""


def benchmark_importers(
    windows: Sequence[Window],
    config: Config,
    progress: Progress,
    options: RunOptions = RunOptions(),
    variants: Sequence[Variant] = tuple(VARIANTS),
) -> dict[Variant, BenchmarkReport]:
    """For each kind of tool the scores of its simulated poses and of the motions that start from them.

    The file has the true focal length. Raises ClosemeshError.
    """
    work = functools.partial(_run_window, config=config, device=options.device, variants=tuple(variants))
    inputs = {"config": to_dict(config), "variants": list(variants), "device": options.device}
    results = run_windows(windows, work, inputs, "benchmark of imported poses", progress, options)
    rows = zip(*results, strict=True)
    commit = current_commit()
    return {
        variant: BenchmarkReport(commit, config.seed, config.preset, "keypoints", tuple(row))
        for variant, row in zip(variants, rows, strict=True)
    }


def import_changes(report: BenchmarkReport) -> dict[str, dict[str, dict[str, Difference]]]:
    """Each motion against the tool's own: motion -> all, occluded and contact -> metric -> difference."""
    start = replace(report, windows=tuple(replace(w, stages=_as_all_stages(w)) for w in report.windows))
    changes = differences(start, report)
    return {stage: groups for stage, groups in changes.items() if stage != IMPORTED}


def _as_all_stages(window: WindowResult) -> dict[str, Groups]:
    return {stage: window.stages[IMPORTED] for stage in window.stages}


def _run_window(
    window: Window, config: Config, device: str | None, variants: tuple[Variant, ...]
) -> tuple[WindowResult, ...]:
    with tempfile.TemporaryDirectory() as folder:
        scene = build_scene(window, config, "keypoints", device, Path(folder))
        return tuple(
            _run_variant(scene.without_scores(), variant, Path(folder) / f"{variant}.pkl", seed_of(window, config.seed))
            for variant in variants
        )


def _run_variant(scene: BenchmarkScene, variant: Variant, path: Path, seed: int) -> WindowResult:
    touching = np.asarray(scene.scorer.touching.any(1))
    rng = np.random.default_rng([seed, list(VARIANTS).index(variant)])
    motion = simulate_tool(scene.scene, scene.scorer.hidden, touching, variant, rng)
    write_tool_result(path, motion, scene.scene.body, scene.scene.camera)
    scene.score(IMPORTED, motion)
    config = scene.ctx.config
    started = replace(config, initialise=replace(config.initialise, init=str(path)))
    scene.run(replace(scene.ctx, config=started), scene.state, MOTION_STAGES)
    return scene.result()
