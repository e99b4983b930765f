"""The synthetic benchmark over many windows: several processes, and results of finished windows kept in a folder."""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from closemesh.config.loading import to_dict
from closemesh.config.schema import Config
from closemesh.core.files import atomic_file, sha256_of
from closemesh.core.output_folder import claim_folder
from closemesh.core.progress import Progress
from closemesh.lab.evaluation.benchmark_run import WindowResult, run_window
from closemesh.lab.evaluation.benchmark_scenes import Focal, Source, Window
from closemesh.lab.evaluation.report import BenchmarkReport, current_commit
from closemesh.pipeline.cache import fingerprint
from closemesh.weights.registry import KNOWN_FILES

Work = Callable[[Window], tuple[WindowResult, ...]]
"""Runs one window, once for each row of the benchmark. Picklable, for worker processes."""


@dataclass(frozen=True)
class RunOptions:
    """Where and how windows are run."""

    device: str | None = None
    jobs: int = 1
    """Windows at a time, each in a process of its own."""
    cache: Path | None = None
    """Folder for the results of finished windows."""
    resume: bool = False
    """Use results in `cache` that the same code made from the same inputs; else they are replaced."""


def benchmark_synthetic(
    windows: Sequence[Window],
    config: Config,
    source: Source,
    progress: Progress,
    options: RunOptions = RunOptions(),
    focal: Focal = "estimated",
) -> BenchmarkReport:
    """The scores of all motions that the pipeline makes of the windows. Raises ClosemeshError."""
    commit = current_commit()
    work = functools.partial(_run_window, config=config, source=source, focal=focal, device=options.device)
    inputs = {"config": to_dict(config), "source": source, "focal": focal, "device": options.device}
    results = run_windows(windows, work, inputs, f"benchmark from {source}", progress, options)
    windows_scored = tuple(result for [result] in results)
    return BenchmarkReport(commit, config.seed, config.preset, source, windows_scored, focal)


def _run_window(
    window: Window, config: Config, source: Source, focal: Focal, device: str | None
) -> tuple[WindowResult, ...]:
    return (run_window(window, config, source, focal, device),)


def run_windows(
    windows: Sequence[Window],
    work: Work,
    inputs: Mapping[str, object],
    title: str,
    progress: Progress,
    options: RunOptions,
) -> list[tuple[WindowResult, ...]]:
    """The results of `work` for each window, in their order.

    inputs: everything besides the window and the code that decides a result, as JSON values. title: of the progress.
    Raises ClosemeshError.
    """
    cache = _WindowCache(options.cache, options.resume, {"program": _program_fingerprint(), **inputs})
    results = {window.name: result for window in windows if (result := cache.get(window))}
    missing = [window for window in windows if window.name not in results]
    with progress.task(title, len(windows), len(results)) as advance:
        for window, result in _run_all(missing, work, options.jobs):
            cache.put(window, result)
            results[window.name] = result
            advance(1)
    return [results[window.name] for window in windows]


def _run_all(windows: Sequence[Window], work: Work, jobs: int) -> Iterator[tuple[Window, tuple[WindowResult, ...]]]:
    """Results in the order in which they are ready."""
    if jobs == 1 or len(windows) < 2:
        with one_thread():
            for window in windows:
                yield window, work(window)
        return
    with _processes(min(jobs, len(windows))) as pool:
        waiting = {pool.submit(work, window): window for window in windows}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread, so that no sum depends on how many windows run at a time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """New processes of one thread each; waiting work is canceled when the block ends early."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _program_fingerprint() -> str:
    """SHA-256 of the code without the command line, and of all weights on this machine."""
    package = Path(__file__).resolve().parents[2]
    code = [file for file in package.rglob("*.py") if file.relative_to(package).parts[0] != "cli"]
    weights = [path for known in KNOWN_FILES if (path := known.locate())]
    return hashlib.sha256("".join(sha256_of(file) for file in sorted(code) + weights).encode()).hexdigest()


class _WindowCache:
    """Results of windows in a folder, one JSON file each, with the fingerprint of their inputs."""

    def __init__(self, folder: Path | None, resume: bool, inputs: Mapping[str, object]) -> None:
        self._folder = folder
        self._inputs = inputs
        self._sha256_of = functools.cache(sha256_of)  # Many windows share one file.
        self._resume = resume
        if folder is not None:
            claim_folder(folder, "--json")

    def get(self, window: Window) -> tuple[WindowResult, ...] | None:
        """The results of an earlier run with the same inputs; None when there are none."""
        if self._folder is None or not self._resume:
            return None
        try:
            values = json.loads(self._file(window).read_text())
            same = values["key"] == self._key(window)
            return tuple(WindowResult(**result) for result in values["results"]) if same else None
        except (OSError, ValueError, KeyError, TypeError):  # A damaged result is as good as none.
            return None

    def put(self, window: Window, results: tuple[WindowResult, ...]) -> None:
        """Writes the results. Raises OutputError when the file cannot be written."""
        if self._folder is not None:
            with atomic_file(self._file(window)) as part:
                part.write_text(
                    json.dumps({"key": self._key(window), "results": [asdict(result) for result in results]})
                )

    def _file(self, window: Window) -> Path:
        assert self._folder is not None
        return self._folder / f"{window.name}.json"

    def _key(self, window: Window) -> str:
        frames = [window.name, self._sha256_of(window.path), window.start, window.stop]
        return fingerprint({"inputs": self._inputs, "window": frames})
