"""Report of a benchmark run: all windows, their means with bootstrap intervals, and differences between two runs."""

from __future__ import annotations

import json
import subprocess  # nosec B404  # For git, see below.
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closemesh import __version__
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.core.foreign import (
    expect_list,
    expect_mapping,
    expect_number,
    expect_text,
    expect_whole_number,
    foreign_reader,
    parse_json,
)
from closemesh.lab.evaluation.benchmark_run import WindowResult
from closemesh.lab.evaluation.benchmark_scenes import Focal
from closemesh.lab.evaluation.joint_metrics import METRICS
from closemesh.lab.evaluation.scores import ALL, CONTACT, OCCLUDED, Groups

RESAMPLES = 2000
_LARGEST = 1e12  # Of scores and counts.
_TAIL = 2.5  # Percent on either side of a 95 % interval.


@dataclass(frozen=True)
class Interval:
    """A mean over the values of several windows, with its 95 % bootstrap interval over windows."""

    mean: float
    low: float | None
    """None for a single window."""
    high: float | None
    n: int
    """Number of values, not of windows."""


@dataclass(frozen=True)
class Difference:
    """Two means over the windows that both runs have, and the 95 % interval of new minus old."""

    old: float
    new: float
    low: float | None
    high: float | None
    windows: int

    @property
    def significant(self) -> bool:
        """True when the 95 % interval of the difference excludes 0."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def interval(means: Floats, counts: Floats, rng: np.random.Generator) -> Interval:
    """The mean of all values of windows with means [W] over counts [W] values each; whole windows are resampled."""
    means, counts = np.asarray(means, float), np.asarray(counts, float)
    low, high = _bounds(_pooled(means, counts, _draws(len(means), rng)))
    return Interval(_pool(means, counts), low, high, int(counts.sum()))


def paired_difference(old: tuple[Floats, Floats], new: tuple[Floats, Floats], rng: np.random.Generator) -> Difference:
    """The difference of two runs over the same windows; both are resampled alike.

    old [W] and [W], new [W] and [W]: means and counts of each window.
    """
    old_means, old_counts, new_means, new_counts = (np.asarray(a, float) for a in (*old, *new))
    draws = _draws(len(old_means), rng)
    low, high = _bounds(_pooled(new_means, new_counts, draws) - _pooled(old_means, old_counts, draws))
    return Difference(_pool(old_means, old_counts), _pool(new_means, new_counts), low, high, len(old_means))


def _draws(windows: int, rng: np.random.Generator) -> Floats:
    """[RESAMPLES, W] how often each window is drawn; [0, W] for a single window."""
    size = RESAMPLES if windows > 1 else 0
    return rng.multinomial(windows, np.full(windows, 1 / windows), size=size).astype(float)


def _pool(means: Floats, counts: Floats) -> float:
    return float((means * counts).sum() / counts.sum())


def _pooled(means: Floats, counts: Floats, draws: Floats) -> Floats:
    """[RESAMPLES] mean over all values of the drawn windows."""
    return draws @ (means * counts) / (draws @ counts)


def _bounds(values: Floats) -> tuple[float | None, float | None]:
    if len(values) == 0:
        return None, None
    low, high = np.percentile(values, [_TAIL, 100 - _TAIL])
    return float(low), float(high)


Summary = dict[str, dict[str, Interval]]
"""Group or kind of window -> metric -> mean over windows."""

TRUTH = "truth"


@dataclass(frozen=True)
class BenchmarkReport:
    """All results of one run."""

    commit: str | None
    """Commit of the code, where it is in a git repository."""
    seed: int
    preset: str
    source: str
    """`keypoints` or `pixels`."""
    windows: tuple[WindowResult, ...]
    focal: Focal = "known"

    @property
    def stages(self) -> list[str]:
        """Names of the motions, in the order of the stages."""
        return list(next((window.stages for window in self.windows if window.stages), {}))

    @property
    def expected(self) -> int:
        """People in the image, counted frame by frame."""
        return sum(window.expected for window in self.windows)

    @property
    def found(self) -> int:
        """Those of them that were detected."""
        return sum(window.found for window in self.windows)

    @property
    def focal_error(self) -> float | None:
        """Median over windows of the error of the focal length, percent; None where it was not recorded."""
        errors = [window.focal_error for window in self.windows if window.focal_error is not None]
        return float(np.median(errors)) if errors else None

    def summary(self, stage: str) -> Summary:
        """Means of one motion, or of TRUTH, for the groups all, occluded and contact and for every kind of window."""
        kinds = sorted({window.kind for window in self.windows})
        groups = {group: self._group(stage, group, self.windows) for group in (ALL, OCCLUDED, CONTACT)}
        for kind in kinds:
            groups[kind] = self._group(stage, ALL, tuple(window for window in self.windows if window.kind == kind))
        return {group: metrics for group, metrics in groups.items() if metrics}

    def _group(self, stage: str, group: str, windows: tuple[WindowResult, ...]) -> dict[str, Interval]:
        means_of = {}
        for metric in METRICS:
            values = [_of(window, stage).get(group, {}).get(metric.name) for window in windows]
            known = [value for value in values if value is not None]
            if known:
                rng = np.random.default_rng(self.seed)
                means, counts = np.array([v["mean"] for v in known]), np.array([v["n"] for v in known])
                means_of[metric.name] = interval(means, counts, rng)
        return means_of


def _of(window: WindowResult, stage: str) -> Groups:
    return window.truth if stage == TRUTH else window.stages.get(stage, {})


def write_report(path: Path, report: BenchmarkReport) -> None:
    """Writes the report as JSON. Raises OutputError when the file cannot be written."""
    with atomic_file(path) as part:
        part.write_text(json.dumps(report_values(report), indent=1))


def report_values(report: BenchmarkReport) -> dict[str, Any]:
    """The report as JSON values."""
    return {
        "closemesh": __version__,
        "commit": report.commit,
        "seed": report.seed,
        "preset": report.preset,
        "from": report.source,
        "focal": report.focal,
        "focal_error": report.focal_error,
        "detected": {"found": report.found, "expected": report.expected},
        "stages": {stage: _plain(report.summary(stage)) for stage in report.stages},
        TRUTH: _plain(report.summary(TRUTH)),
        "windows": [asdict(window) for window in report.windows],
    }


@foreign_reader
def read_report(path: Path) -> BenchmarkReport:
    """The report that write_report wrote. Raises InputError when the file cannot be read or is no report."""
    try:
        values: dict[str, Any] = parse_json(path.read_text())
        windows = tuple(_window(path, window) for window in expect_list(path, "windows", values["windows"]))
        focal: Focal = "estimated" if values.get("focal") == "estimated" else "known"  # Earlier ones use words.
        seed = expect_whole_number(path, "seed", values["seed"])
        preset, source = (expect_text(path, name, values[name]) for name in ("preset", "from"))
        return BenchmarkReport(values["commit"], seed, preset, source, windows, focal)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give a file that the benchmark wrote") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no report of this benchmark; give a file that it wrote with --json") from error


def _window(path: Path, values: Any) -> WindowResult:
    """The scores of one window. Raises InputError for values of another type."""
    window = WindowResult(**expect_mapping(path, "a window", values))
    for name in (window.name, window.kind):
        expect_text(path, "a name", name)
    for count in (window.frames, window.people, window.expected, window.found):
        expect_whole_number(path, "a count", count, 0)
    if window.focal_error is not None:
        expect_number(path, "focal_error", window.focal_error)
    for groups in (window.truth, *expect_mapping(path, "stages", window.stages).values()):
        for metrics in expect_mapping(path, "the scores", groups).values():
            for mean in expect_mapping(path, "a group of scores", metrics).values():
                expect_number(path, "mean", expect_mapping(path, "a score", mean)["mean"], -_LARGEST, _LARGEST)
                expect_number(path, "n", mean["n"], 0, _LARGEST)
    return window


def differences(old: BenchmarkReport, new: BenchmarkReport) -> dict[str, dict[str, dict[str, Difference]]]:
    """Motion -> group -> metric -> difference over the windows that both runs have.

    Raises InputError when the runs have different scenes, one of them got the focal length, or no window is in common.
    """
    if (old.seed, old.source) != (new.seed, new.source):
        raise InputError(
            f"the other run has other scenes (seed {old.seed} from {old.source}, now {new.seed} from {new.source}); "
            "give a report with the same seed and source"
        )
    if old.focal != new.focal:
        raise InputError(
            f"the focal length of the other run was {old.focal}, now it is {new.focal}; run with --focal {old.focal}"
        )
    pairs = _paired_windows(old, new)
    if not pairs:
        raise InputError("the other run has no window in common with this one; give a report of the same benchmark")
    kinds = sorted({window.kind for _, window in pairs})
    selected = {group: (group, pairs) for group in (ALL, OCCLUDED, CONTACT)}
    selected |= {kind: (ALL, [pair for pair in pairs if pair[1].kind == kind]) for kind in kinds}
    return {
        stage: {name: _changes(stage, group, part, new.seed) for name, (group, part) in selected.items()}
        for stage in new.stages
        if stage in old.stages
    }


def _paired_windows(old: BenchmarkReport, new: BenchmarkReport) -> list[tuple[WindowResult, WindowResult]]:
    before = {window.name: window for window in old.windows}
    return [(before[window.name], window) for window in new.windows if window.name in before]


def _changes(
    stage: str, group: str, pairs: list[tuple[WindowResult, WindowResult]], seed: int
) -> dict[str, Difference]:
    changes = {}
    for metric in METRICS:
        values = [tuple(_of(w, stage).get(group, {}).get(metric.name) for w in pair) for pair in pairs]
        known = [(a, b) for a, b in values if a is not None and b is not None]
        if known:
            old, new = (
                (np.array([v["mean"] for v in side]), np.array([v["n"] for v in side]))
                for side in zip(*known, strict=True)
            )
            changes[metric.name] = paired_difference(old, new, np.random.default_rng(seed))
    return changes


def current_commit() -> str | None:
    """The commit of the running code, with `+` after it if files have changed; None outside a git repository."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", *arguments]  # Constants only, and no shell.
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)  # nosec B603
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _plain(summary: Summary) -> dict[str, Any]:
    return {group: {name: asdict(value) for name, value in metrics.items()} for group, metrics in summary.items()}
