"""The effect of descriptions: the benchmark without statements, with true ones, and with a fraction of false ones."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.config.loading import to_dict
from closemesh.config.schema import Config
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Progress
from closemesh.lab.evaluation.benchmark_run import BenchmarkScene, WindowResult, build_scene, seed_of
from closemesh.lab.evaluation.benchmark_runner import RunOptions, run_windows
from closemesh.lab.evaluation.benchmark_scenes import Window
from closemesh.lab.evaluation.report import BenchmarkReport, Difference, current_commit, differences
from closemesh.pipeline.stages import Describe, Initialise, Optimise, Refine, run_stages
from closemesh.pipeline.state import PipelineState, Stage
from closemesh.structures import BodyMotion
from closemesh.text.annotate import KeyFrame, select_key_frames, validity_interval
from closemesh.text.calibration import alternative_contacts, alternatives
from closemesh.text.captioner import RuleConfig, candidates, statement_confidences
from closemesh.text.statements import (
    Statement,
    TimedStatement,
    Touch,
)
from closemesh.text.vlm_prompt import vote

LastStage = Literal["refined", "optimised"]
"""The motion up to which a benchmark runs."""


@dataclass(frozen=True)
class SimulatedAnnotator:
    """True and false statements about M key frames of a scene whose truth is known.

    It stands for a vision-language model whose answers all agree. Each statement holds as long as a model's answer
    does. False statements have the same confidence as true ones: a model does not know its errors.
    """

    spans: tuple[tuple[float, float], ...]
    """[M] start and end in seconds."""
    true: tuple[tuple[Statement, ...], ...]
    """[M] statements that hold by the rules of the captioner."""
    false: tuple[frozenset[Statement], ...]
    """[M] statements that do not hold."""

    def annotate(self, false_fraction: float, seed: int, num_answers: int) -> tuple[TimedStatement, ...]:
        """All true statements, this fraction of them replaced by false ones.

        A false statement is about the same people and parts; of a touch, one of both parts differs. For one seed, a
        larger fraction contains the replacements of a smaller one. num_answers: answers of the model that agree.
        """
        rng = np.random.default_rng(seed)
        statements = [list(of_frame) for of_frame in self.true]
        places = [(frame, number) for frame, of_frame in enumerate(statements) for number in range(len(of_frame))]
        remaining = round(false_fraction * len(places))
        for place in rng.permutation(len(places)):
            frame, number = places[place]
            wrong = [one for one in contradictions(statements[frame][number]) if one in self.false[frame]]
            wrong = [one for one in wrong if one not in statements[frame]]
            index = rng.integers(len(wrong)) if wrong else 0
            if wrong and remaining > 0:
                statements[frame][number] = wrong[index]
                remaining -= 1
        answers = ([frozenset(of_frame)] * num_answers for of_frame in statements)
        return tuple(one for answer, span in zip(answers, self.spans, strict=True) for one in vote(answer, *span))


def simulate_annotator(
    key_frames: Sequence[KeyFrame], motion: BodyMotion, body: BodyModel, times: Floats, up_cam: Floats
) -> SimulatedAnnotator:
    """The annotator of the true motion, camera frame. times [T] seconds; up_cam [T, 3] unit vectors against gravity."""
    frames = [key_frame.frame for key_frame in key_frames]
    possible = list(candidates(motion.num_people))
    tested = list(dict.fromkeys([*possible, *(other for one in possible for other in contradictions(one))]))
    holds = np.zeros((len(tested), 0))  # [S, M]
    if key_frames:
        holds = statement_confidences(tested, motion.frames(frames), body, up_cam[frames])
    true, false = holds >= RuleConfig().min_confidence, holds <= 1 - RuleConfig().min_confidence

    def of_key_frame(number: int, which: Bools, among: Sequence[Statement]) -> tuple[Statement, ...]:
        people = set(key_frames[number].people)
        rows = zip(among, which[:, number], strict=False)  # `possible` is the beginning of `tested`.
        return tuple(one for one, selected in rows if selected and people.issuperset(one.people))

    numbers = range(len(key_frames))
    return SimulatedAnnotator(
        tuple(validity_interval(frame, times) for frame in frames),
        tuple(of_key_frame(number, true, possible) for number in numbers),
        tuple(frozenset(of_key_frame(number, false, tested)) for number in numbers),
    )


def contradictions(statement: Statement) -> tuple[Statement, ...]:
    """The false statements that can replace a true one."""
    return alternative_contacts(statement) if isinstance(statement, Touch) else alternatives(statement)


NO_TEXT = "no statements"
ALL_CHANNELS = "statements and alignment"
CHANNELS: dict[str, dict[str, bool]] = {
    ALL_CHANNELS: {},
    "statements only": {"alignment": False},
    "alignment only": {"statements": False},
}
"""Ways in which text acts, by their names in reports -> the settings in the section `language`."""
FALSE_PERCENTAGES = (0, 20, 40)
TARGETS: dict[tuple[str, str], dict[int, float]] = {
    ("occluded", "MPJPE"): {0: -15.0, 20: -8.0, 40: 0.0},
    ("contact", "contact-F1@50mm"): {0: 10.0},
}
"""Group and metric -> percentage of false statements -> intended change with all channels: MPJPE in percent of its
value without text, contact F1 in points."""
Changes = dict[str, dict[str, dict[str, Difference]]]
"""Motion -> group -> metric -> with text minus without."""


@dataclass(frozen=True)
class Row:
    """One setting of the benchmark."""

    name: str
    channels: str = ""
    """Key of CHANNELS; empty without text."""
    false: int = 0
    """Percentage of false statements."""


@dataclass(frozen=True)
class DescriptionsReport:
    """The scores of all rows."""

    rows: tuple[Row, ...]
    reports: tuple[BenchmarkReport, ...]
    """One for each row."""

    @property
    def changes(self) -> tuple[Changes, ...]:
        """How each row differs from the first one, which has no text."""
        return tuple(differences(self.reports[0], report) for report in self.reports)


def rows_of(percentages: Sequence[int], channels: Sequence[str] = tuple(CHANNELS)) -> tuple[Row, ...]:
    """The row without text, then each of these channels at every percentage of false statements."""
    with_text = [Row(f"{name}, {percent} % false", name, percent) for name in channels for percent in percentages]
    return (Row(NO_TEXT), *with_text)


def measure_descriptions(
    windows: Sequence[Window],
    config: Config,
    rows: Sequence[Row],
    last: LastStage,
    progress: Progress,
    options: RunOptions = RunOptions(),
) -> DescriptionsReport:
    """All rows of `rows_of` on all windows, from keypoints, up to the motion `last`. Raises ClosemeshError."""
    commit = current_commit()
    work = functools.partial(run_rows, config=config, rows=rows, last=last, device=options.device)
    names = [row.name for row in rows]
    inputs = {"config": to_dict(config), "rows": names, "last": last, "device": options.device}
    results = run_windows(windows, work, inputs, "benchmark of descriptions", progress, options)
    by_row = zip(*results, strict=True)
    reports = (
        BenchmarkReport(commit, config.seed, config.preset, "keypoints", tuple(row), "estimated") for row in by_row
    )
    return DescriptionsReport(tuple(rows), tuple(reports))


def run_rows(
    window: Window, config: Config, rows: Sequence[Row], last: LastStage, device: str | None
) -> tuple[WindowResult, ...]:
    """The scores of one window for each row; the first motion is made once.

    Raises InputError when the window's file cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        scene = build_scene(window, config, "keypoints", device, Path(folder), "estimated")
        [(_, initial)] = run_stages(scene.ctx, scene.state, (Initialise(),))
        annotator = _annotator_of(scene, initial)
        seed = seed_of(window, config.seed)
        return tuple(_run_row(scene.without_scores(), initial, annotator, row, last, seed) for row in rows)


def _annotator_of(scene: BenchmarkScene, initial: PipelineState) -> SimulatedAnnotator:
    """It describes the frames about which the pipeline would ask a model."""
    true, times, observations = scene.scene, scene.scene.clip.times, initial.observations
    assert observations is not None
    count = scene.ctx.config.language.num_frames
    key_frames = select_key_frames(observations, initial.motions["initial"], times, count)
    return simulate_annotator(key_frames, true.motion, true.body, times, true.camera.up)


def _run_row(
    scene: BenchmarkScene,
    initial: PipelineState,
    annotator: SimulatedAnnotator,
    row: Row,
    last: LastStage,
    seed: int,
) -> WindowResult:
    ctx, stages = scene.ctx, _stages_up_to(last)
    if row.channels:
        language = replace(ctx.config.language, **CHANNELS[row.channels])
        ctx = replace(ctx, config=replace(ctx.config, language=language))
        statements = annotator.annotate(row.false / 100, seed, ctx.config.language.num_samples)
        stages = (Describe(lambda *_: statements), *stages)
    scene.run(ctx, initial, stages)
    return scene.result()


def _stages_up_to(last: LastStage) -> tuple[Stage, ...]:
    return (Refine(),) if last == "refined" else (Refine(), Optimise())


def as_json(report: DescriptionsReport) -> dict[str, Any]:
    """The whole report as JSON values."""
    first = report.reports[0]
    rows = zip(report.rows, report.reports, report.changes, strict=True)
    return {
        "commit": first.commit,
        "seed": first.seed,
        "preset": first.preset,
        "windows": [window.name for window in first.windows],
        "aims": [{"group": g, "metric": m, "at": at} for (g, m), at in TARGETS.items()],
        "rows": {
            row.name: {
                motion: {
                    group: {name: asdict(change) for name, change in metrics.items()}
                    for group, metrics in changes[motion].items()
                }
                for motion in changes
            }
            for row, _, changes in rows
        },
    }
