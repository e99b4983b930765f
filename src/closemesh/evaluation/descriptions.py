"""What descriptions are worth: the benchmark with nothing told, with the truth told, and with a share of it false.

Everything of a window up to the first pose is made once, the rest for each row. What is told, `witness` says.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from closemesh.config import Config, to_dict
from closemesh.evaluation.benchmark_report import BenchmarkReport, current_commit, differences
from closemesh.evaluation.benchmark_run import Filmed, WindowResult, film_window, seed_of
from closemesh.evaluation.benchmark_stages import Estimate, run_stage
from closemesh.evaluation.benchmark_windows import Window
from closemesh.evaluation.bootstrap import Difference
from closemesh.evaluation.synthetic import run_windows
from closemesh.evaluation.witness import Witness, witness
from closemesh.language.key_frames import doubtful_moments
from closemesh.language.trust import weigh
from closemesh.progress import Progress, Silent

NOTHING = "nothing told"
ALL_HEEDED = "all heeded"
HEEDED: dict[str, dict[str, bool]] = {
    ALL_HEEDED: {},
    "statements alone": {"alignment": False},
    "alignment alone": {"statements": False},
}
"""What is heeded -> the settings of the refinement."""
SHARES = (0, 20, 40)
AIMS: dict[tuple[str, str], dict[int, float]] = {
    ("occluded", "MPJPE"): {0: -15.0, 20: -8.0, 40: 0.0},
    ("contact", "contact-F1@50mm"): {0: 10.0},
}
"""Group and metric -> percent of false statements -> what is aimed at when all is heeded: MPJPE in percent of what it
is when nothing is told, contact F1 in points."""
STAGES = ("refined", "optimised")
Changes = dict[str, dict[str, dict[str, Difference]]]
"""Stage -> group -> metric -> told minus nothing told."""


@dataclass(frozen=True)
class Row:
    """One way of being told."""

    name: str
    heeded: str = ""
    false: int = 0
    """Percent of the statements."""


@dataclass(frozen=True)
class DescriptionsReport:
    """A whole run."""

    rows: tuple[Row, ...]
    reports: tuple[BenchmarkReport, ...]
    """Of each row."""

    @property
    def changes(self) -> tuple[Changes, ...]:
        """How each row differs from the first one, in which nothing is told."""
        return tuple(differences(self.reports[0], report) for report in self.reports)


def rows_of(shares: Sequence[int]) -> tuple[Row, ...]:
    """Nothing told; then everything heeded, and each of both ways alone, at each percentage of false statements."""
    told = [Row(f"{heeded}, {share} % false", heeded, share) for heeded in HEEDED for share in shares]
    return (Row(NOTHING), *told)


def measure_descriptions(
    windows: Sequence[Window],
    config: Config,
    shares: Sequence[int],
    last: str,
    progress: Progress,
    device: str | None = None,
    jobs: int = 1,
    cache: Path | None = None,
    resume: bool = False,
) -> DescriptionsReport:
    """All rows on all windows, from keypoints, as far as the stage `last`; cache and resume as in the benchmark."""
    commit, rows = current_commit(), rows_of(shares)
    work = functools.partial(run_rows, config=config, rows=rows, last=last, device=device)
    made_from = {"config": to_dict(config), "rows": [row.name for row in rows], "last": last, "device": device}
    found = run_windows(windows, work, made_from, "benchmark of descriptions", progress, jobs, cache, resume)
    results = zip(*found, strict=True)  # By row.
    reports = (BenchmarkReport(commit, config.seed, config.preset, "keypoints", tuple(row)) for row in results)
    return DescriptionsReport(rows, tuple(reports))


def run_rows(
    window: Window, config: Config, rows: Sequence[Row], last: str, device: str | None
) -> tuple[WindowResult, ...]:
    """Every row of one window. Raises InputError when the window's file cannot be read."""
    with tempfile.TemporaryDirectory() as folder:
        filmed = film_window(window, config, "keypoints", device, Path(folder))
        assert filmed.task is not None  # Whoever is simulated is found.
        with filmed.watch.time("initial"):
            first = run_stage("initial", filmed.task, None, Silent())
        present = _witness(filmed, first)
        return tuple(_run_row(filmed.again(), first, present, row, last, seed_of(window, config.seed)) for row in rows)


def _witness(filmed: Filmed, first: Estimate) -> Witness:
    scene, task = filmed.scene, filmed.task
    assert task is not None
    times = scene.clip.times
    moments = doubtful_moments(task.observations, first.motion, times, task.config.language.pictures)
    return witness(moments, scene.motion, scene.body, times, scene.camera.T_cam_world[:, :3, 1])


def _run_row(filmed: Filmed, first: Estimate, present: Witness, row: Row, last: str, seed: int) -> WindowResult:
    task = filmed.task
    assert task is not None
    if row.heeded:
        said = present.told(row.false / 100, seed, task.config.language.answers)
        up_cam = first.camera.T_cam_world[:, :3, 1]
        with filmed.watch.time("believe"):
            believed = weigh(said, first.motion, first.spread, task.body, task.clip.times, up_cam)
        refine = replace(task.config.refine, **HEEDED[row.heeded])
        task = replace(task, told=believed, config=replace(task.config, refine=refine))
    estimate = first
    for stage in STAGES[: STAGES.index(last) + 1]:
        with filmed.watch.time(stage):
            estimate = run_stage(stage, task, estimate, Silent())
        filmed.score(stage, estimate.motion)
    return filmed.result()


def as_json(report: DescriptionsReport) -> dict[str, Any]:
    """Everything, for a file."""
    first = report.reports[0]
    rows = zip(report.rows, report.reports, report.changes, strict=True)
    return {
        "commit": first.commit,
        "seed": first.seed,
        "preset": first.preset,
        "windows": [window.name for window in first.windows],
        "aims": [{"group": g, "metric": m, "at": at} for (g, m), at in AIMS.items()],
        "rows": {
            row.name: {
                stage: {
                    group: {name: asdict(change) for name, change in figures.items()}
                    for group, figures in changes[stage].items()
                }
                for stage in changes
            }
            for row, _, changes in rows
        },
    }
