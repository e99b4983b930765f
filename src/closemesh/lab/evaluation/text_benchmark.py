"""Value of true and false statements.

What a model that is shown pictures could say of a scene whose truth is known: true, or false in part.

At each moment that the pipeline would show a model, everything of the vocabulary is said that surely holds of the
people there, by the rules that write descriptions, and is taken to hold as long as an answer to a picture is. The
confidence is that of answers that all agree, of false statements too: a model does not know what it gets wrong.

What descriptions are worth: the benchmark with nothing told, with the truth told, and with a share of it false.

Everything of a window up to the first pose is made once, the rest for each row. What is told, `witness` says.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.config.schema import Config, to_dict
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import NullProgress, Progress
from closemesh.lab.evaluation.benchmark_run import BenchmarkScene, WindowResult, build_scene, seed_of
from closemesh.lab.evaluation.benchmark_runner import run_windows
from closemesh.lab.evaluation.benchmark_scenes import Window
from closemesh.lab.evaluation.benchmark_stages import Estimate, run_stage
from closemesh.lab.evaluation.report import BenchmarkReport, Difference, current_commit, differences
from closemesh.structures import BodyMotion
from closemesh.text.annotate import KeyFrame, select_key_frames, validity_interval
from closemesh.text.calibration import calibrate_confidence
from closemesh.text.captioner import RuleConfig, candidates, statement_confidences
from closemesh.text.statements import Statement, TimedStatement, Touch, alternative_contacts, alternatives
from closemesh.text.vlm_prompt import vote


@dataclass(frozen=True)
class SimulatedAnnotator:
    """What surely holds, and what surely does not, in each of M moments of a scene."""

    spans: tuple[tuple[float, float], ...]
    true: tuple[tuple[Statement, ...], ...]
    false: tuple[frozenset[Statement], ...]

    def told(self, share: float, seed: int, answers: int) -> tuple[TimedStatement, ...]:
        """What is said when this share of the statements is replaced by false ones of the same kind.

        A false one is of the same people and parts and says something else of them; of a touch one of both parts is
        another. What one seed replaces at a small share it replaces at a larger one too.
        """
        rng = np.random.default_rng(seed)
        said = [list(statements) for statements in self.true]
        places = [(moment, number) for moment, statements in enumerate(said) for number in range(len(statements))]
        wanted = round(share * len(places))
        for place in rng.permutation(len(places)):
            moment, number = places[place]
            wrong = [one for one in contradictions(said[moment][number]) if one in self.false[moment]]
            wrong = [one for one in wrong if one not in said[moment]]
            chosen = rng.integers(len(wrong)) if wrong else 0
            if wrong and wanted > 0:
                said[moment][number] = wrong[chosen]
                wanted -= 1
        agreed = ([frozenset(statements)] * answers for statements in said)
        return tuple(one for answer, span in zip(agreed, self.spans, strict=True) for one in vote(answer, *span))


def witness(
    moments: Sequence[KeyFrame], motion: BodyMotion, body: BodyModel, times: Floats, up_cam: Floats
) -> SimulatedAnnotator:
    """Of the true motion, camera frame; times [T] seconds; up_cam [T, 3] unit vectors against gravity."""
    frames = [moment.frame for moment in moments]
    said = list(candidates(motion.num_people))
    tried = list(dict.fromkeys([*said, *(other for one in said for other in contradictions(one))]))
    held = (
        statement_confidences(tried, motion.frames(frames), body, up_cam[frames])
        if moments
        else np.zeros((len(tried), 0))
    )
    true, false = held >= RuleConfig().min_confidence, held <= 1 - RuleConfig().min_confidence  # [S, M]

    def of_moment(number: int, which: Bools, among: Sequence[Statement]) -> tuple[Statement, ...]:
        people = set(moments[number].people)
        rows = zip(among, which[:, number], strict=False)  # What is said comes first in what was tried.
        return tuple(one for one, chosen in rows if chosen and people.issuperset(one.people))

    numbers = range(len(moments))
    return SimulatedAnnotator(
        tuple(validity_interval(frame, times) for frame in frames),
        tuple(of_moment(number, true, said) for number in numbers),
        tuple(frozenset(of_moment(number, false, tried)) for number in numbers),
    )


def contradictions(statement: Statement) -> tuple[Statement, ...]:
    """What can be said falsely in the place of a statement."""
    return alternative_contacts(statement) if isinstance(statement, Touch) else alternatives(statement)


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
        filmed = build_scene(window, config, "keypoints", device, Path(folder))
        assert filmed.task is not None  # Whoever is simulated is found.
        with filmed.watch.time("initial"):
            first = run_stage("initial", filmed.task, None, NullProgress())
        present = _witness(filmed, first)
        return tuple(_run_row(filmed.again(), first, present, row, last, seed_of(window, config.seed)) for row in rows)


def _witness(filmed: BenchmarkScene, first: Estimate) -> SimulatedAnnotator:
    scene, task = filmed.scene, filmed.task
    assert task is not None
    times = scene.clip.times
    moments = select_key_frames(task.observations, first.motion, times, task.config.language.num_frames)
    return witness(moments, scene.motion, scene.body, times, scene.camera.up)


def _run_row(
    filmed: BenchmarkScene, first: Estimate, present: SimulatedAnnotator, row: Row, last: str, seed: int
) -> WindowResult:
    task = filmed.task
    assert task is not None
    if row.heeded:
        said = present.told(row.false / 100, seed, task.config.language.num_samples)
        up_cam = first.camera.up
        with filmed.watch.time("believe"):
            believed = calibrate_confidence(said, first.motion, first.spread, task.body, task.clip.times, up_cam)
        language = replace(task.config.language, **HEEDED[row.heeded])
        task = replace(task, told=believed, config=replace(task.config, language=language))
    estimate = first
    for stage in STAGES[: STAGES.index(last) + 1]:
        with filmed.watch.time(stage):
            estimate = run_stage(stage, task, estimate, NullProgress())
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
