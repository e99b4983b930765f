"""The pipeline on real clips and photos with facts: finds them, runs or reads results, reports and compares scores."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from closemesh import __version__
from closemesh.config.schema import Config
from closemesh.core.device import choose_device
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.core.foreign import (
    expect_mapping,
    expect_number,
    expect_text,
    expect_whole_number,
    foreign_reader,
    parse_json,
)
from closemesh.core.progress import Progress
from closemesh.lab.evaluation.benchmark_scenes import with_known_focal
from closemesh.lab.evaluation.real_contacts import FactScore
from closemesh.lab.evaluation.real_facts import SUFFIX, ClipFacts, read_facts
from closemesh.lab.evaluation.real_masks import reference_masks
from closemesh.lab.evaluation.real_result import load_result
from closemesh.lab.evaluation.real_scores import OBSERVED, REAL_METRICS, ClipScores, failed_clip, score_clip
from closemesh.lab.evaluation.report import current_commit
from closemesh.pipeline.cache import STAGE_OF_MOTION
from closemesh.pipeline.reconstruct import reconstruct
from closemesh.video import open_clip

STAGES: tuple[str, ...] = (OBSERVED, *STAGE_OF_MOTION)
"""Columns of the tables."""


@dataclass(frozen=True)
class RealItem:
    """A clip or photo with its facts."""

    clip: Path
    facts: ClipFacts
    masks: Path | None
    """Folder NAME.masks."""
    keypoints: Path | None
    """The file that the facts name."""


@dataclass(frozen=True)
class RealOptions:
    """How clips are run, or where their results are."""

    device: str | None = None
    work: Path | None = None
    """Folder with a result folder for each clip, which is filled or continued; None uses a temporary one."""
    results: Path | None = None
    """Folder with finished results, which are scored without running anything."""
    known_focal: bool = False
    """Give the pipeline the focal length of the facts."""


@dataclass(frozen=True)
class RealReport:
    """All scores of one run."""

    commit: str | None
    """Commit of the code that scored, where it is in a git repository."""
    preset: str | None
    """None when finished results were scored."""
    seed: int | None
    focal: str
    """Where the focal length came from: `estimated`, `known`, or `results`."""
    clips: tuple[ClipScores, ...]

    def values(self, stage: str, metric: str) -> list[float]:
        """One value for each clip that has it."""
        found = (clip.values.get(stage, {}).get(metric) for clip in self.clips)
        return [value for value in found if value is not None]


@dataclass(frozen=True)
class Change:
    """A score of one clip before and now."""

    clip: str
    stage: str
    metric: str
    old: float
    new: float


@dataclass(frozen=True)
class MeanChange:
    """A score over all clips that both runs have, and how much the change differs from clip to clip."""

    stage: str
    metric: str
    old: float
    new: float
    deviation: float
    """Standard deviation of the change over the clips."""
    clips: int

    @property
    def significant(self) -> bool:
        """True when the mean change is more than two standard errors from 0; never for a single clip."""
        return self.clips > 1 and abs(self.new - self.old) > 2 * self.deviation / (self.clips - 1) ** 0.5


def find_clips(
    folder: Path, facts_folder: Path | None, only: Sequence[str], limit: int | None, progress: Progress
) -> list[RealItem]:
    """The clips of `folder` that have facts beside them or in `facts_folder`, by name.

    only: names; all if empty. Facts without their clip are left out. Raises InputError when facts are wrong, a name is
    not there, a file that facts name is missing, or no clip is left.
    """
    source = facts_folder or folder
    for one in (folder, source):
        if not one.is_dir():
            raise InputError(f"{one}: no such folder; give the folder with clips and NAME{SUFFIX}")
    paths = {path.name.removesuffix(SUFFIX): path for path in sorted(source.glob(f"*{SUFFIX}"))}
    unknown = [name for name in only if name not in paths]
    if unknown:
        raise InputError(f"{source}: no facts of {', '.join(unknown)}; there are {', '.join(paths) or 'none'}")
    items = []
    for name in only or paths:
        facts = read_facts(paths[name])
        if (folder / facts.clip).exists():
            items.append(_item(folder, facts))
        else:
            progress.note(f"{facts.path.name}: {facts.clip} is not in {folder}; left out")
    if not items:
        raise InputError(f"no clip of {folder} has facts in {source}; write NAME{SUFFIX} beside NAME.mp4")
    return items[:limit]


def _item(folder: Path, facts: ClipFacts) -> RealItem:
    beside = (facts.path.parent, folder)
    masks = next((path for one in beside if (path := one / f"{facts.name}.masks").is_dir()), None)
    keypoints = None
    if facts.keypoints is not None:
        keypoints = next((path for one in beside if (path := one / str(facts.keypoints)).is_file()), None)
        if keypoints is None:
            raise InputError(
                f"{facts.path}: keypoints names {facts.keypoints}, which is neither beside it nor in {folder}"
            )
    return RealItem(folder / facts.clip, facts, masks, keypoints)


def benchmark_real(items: Sequence[RealItem], config: Config, options: RealOptions, progress: Progress) -> RealReport:
    """The scores of all clips; those without a finished result in `options.results` are left out.

    Raises ClosemeshError, among them InputError when no clip is left.
    """
    choose_device(options.device)
    commit = current_commit()
    if options.results is not None:
        items = [item for item in items if _is_finished(item, options.results, progress)]
        if not items:
            raise InputError(f"{options.results} holds no finished result of a clip; run closemesh reconstruct first")
    clips = []
    with progress.task("real clips", len(items)) as advance:
        for item in items:
            clips.append(_score_item(item, config, options, progress))
            advance(1)
    if options.results is not None:
        return RealReport(commit, None, None, "results", tuple(clips))
    focal = "known" if options.known_focal else "estimated"
    return RealReport(commit, config.preset, config.seed, focal, tuple(clips))


def _is_finished(item: RealItem, folder: Path, progress: Progress) -> bool:
    finished = (folder / item.facts.name / "scene.json").is_file()
    if not finished:
        progress.note(f"{item.facts.name}: no finished result in {folder}; left out")
    return finished


def _score_item(item: RealItem, config: Config, options: RealOptions, progress: Progress) -> ClipScores:
    name = item.facts.name
    if options.results is not None:
        return _score_result(item, options.results / name)
    if options.known_focal and item.facts.focal_px is not None:
        config = with_known_focal(config, item.facts.focal_px)
    elif options.known_focal:
        progress.note(f"{name}: the facts hold no focal_px, so the focal length is estimated")
    open_clip(item.clip, config.clip)  # A clip that cannot be read is an error; one without people is a result.
    with tempfile.TemporaryDirectory() as temporary:
        if options.work is None:
            config = replace(config, output=replace(config.output, overlay=False, report=False))
        out = (options.work or Path(temporary)) / name
        try:
            reconstruct(item.clip, out, config, options.device, progress)
        except InputError as error:
            progress.note(f"{name}: {error}")
            return failed_clip(item.facts, str(error))
        return _score_result(item, out)


def _score_result(item: RealItem, out: Path) -> ClipScores:
    result = load_result(out)
    clip = replace(result.clip, path=item.clip)
    return score_clip(result, item.facts, item.keypoints, reference_masks(item.facts, item.masks, clip))


def write_real_report(path: Path, report: RealReport) -> None:
    """Writes the report as JSON. Raises OutputError when the file cannot be written."""
    summary: dict[str, Any] = {}
    for stage in STAGES:
        means = {metric.name: report.values(stage, metric.name) for metric in REAL_METRICS}
        summary[stage] = {
            name: {"mean": float(np.mean(some)), "deviation": float(np.std(some)), "clips": len(some)}
            for name, some in means.items()
            if some
        }
    values = {"closemesh": __version__, **asdict(report), "summary": summary}
    with atomic_file(path) as part:
        part.write_text(json.dumps(values, indent=1))


@foreign_reader
def read_real_report(path: Path) -> RealReport:
    """The report that write_real_report wrote. Raises InputError when the file cannot be read or is no report."""
    try:
        values: dict[str, Any] = parse_json(path.read_text())
        clips = []
        for clip in values["clips"]:
            facts = tuple(FactScore(**{**one, "frames": tuple(one["frames"])}) for one in clip["facts"])
            clips.append(ClipScores(**{**clip, "facts": facts}))
            expect_text(path, "name", clips[-1].name)
            numbers = (clips[-1].frames, clips[-1].tracks, *(frame for one in facts for frame in one.frames))
            for number in numbers:
                expect_whole_number(path, "frames", number, 0)
            if clips[-1].focal_px is not None:
                expect_number(path, "focal_px", clips[-1].focal_px, 1e-3, 1e7)
            for scores in expect_mapping(path, "values", clips[-1].values).values():
                for name, value in expect_mapping(path, "the scores of a motion", scores).items():
                    expect_number(path, name, value)
        focal = expect_text(path, "focal", values["focal"])
        return RealReport(values["commit"], values["preset"], values["seed"], focal, tuple(clips))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a file that the benchmark wrote") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no report of this benchmark; give a file that it wrote with --json") from error


def real_changes(old: RealReport, new: RealReport) -> list[Change]:
    """Every score of a clip that both runs have, in the order of clips, stages and metrics.

    Raises InputError when they have no clip in common.
    """
    before = {clip.name: clip for clip in old.clips}
    pairs = [(before[clip.name], clip) for clip in new.clips if clip.name in before]
    if not pairs:
        raise InputError("the other run has no clip in common with this one; give a report of the same clips")
    changes = []
    for earlier, now in pairs:
        for stage in STAGES:
            was, present = earlier.values.get(stage, {}), now.values.get(stage, {})
            for metric in (one.name for one in REAL_METRICS):
                if metric in was and metric in present:
                    changes.append(Change(now.name, stage, metric, was[metric], present[metric]))
    return changes


def mean_changes(changes: Sequence[Change]) -> list[MeanChange]:
    """The mean over clips for every stage and metric."""
    grouped: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        grouped.setdefault((change.stage, change.metric), []).append(change)
    means = []
    for stage in STAGES:
        for metric in (one.name for one in REAL_METRICS):
            some = grouped.get((stage, metric))
            if some:
                old, new = np.array([one.old for one in some]), np.array([one.new for one in some])
                deviation = float(np.std(new - old))
                means.append(MeanChange(stage, metric, float(old.mean()), float(new.mean()), deviation, len(some)))
    return means
