"""The synthetic benchmark: held-out motion filmed by made-up cameras, reconstructed stage by stage, scored."""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch

from closemesh.config.schema import Config, to_dict
from closemesh.core.files import atomic_file
from closemesh.core.progress import Progress
from closemesh.lab.evaluation.benchmark_run import WindowResult, run_window
from closemesh.lab.evaluation.benchmark_scenes import Source, Window
from closemesh.lab.evaluation.report import BenchmarkReport, current_commit
from closemesh.weights.locate import sha256_of
from closemesh.weights.registry import KNOWN_FILES

Work = Callable[[Window], tuple[WindowResult, ...]]
"""What is done with a window; processes must be able to load it."""


def benchmark_synthetic(
    windows: Sequence[Window],
    config: Config,
    source: Source,
    progress: Progress,
    device: str | None = None,
    jobs: int = 1,
    cache: Path | None = None,
    resume: bool = False,
) -> BenchmarkReport:
    """Run the pipeline's stages on every window and score them, `jobs` windows at a time.

    Each result is kept in the folder `cache` when it is done; with `resume` those that the same code made from the
    same things are taken from there. Raises ClosemeshError.
    """
    commit = current_commit()
    work = functools.partial(_whole, config=config, source=source, device=device)
    made_from = {"config": to_dict(config), "source": source, "device": device}
    found = run_windows(windows, work, made_from, f"benchmark from {source}", progress, jobs, cache, resume)
    return BenchmarkReport(commit, config.seed, config.preset, source, tuple(result for [result] in found))


def _whole(window: Window, config: Config, source: Source, device: str | None) -> tuple[WindowResult, ...]:
    return (run_window(window, config, source, device),)


def run_windows(
    windows: Sequence[Window],
    work: Work,
    made_from: dict[str, object],
    title: str,
    progress: Progress,
    jobs: int,
    cache: Path | None,
    resume: bool,
) -> list[tuple[WindowResult, ...]]:
    """What `work` makes of each window, in their order, `jobs` windows at a time.

    What is done is kept in the folder `cache`; with `resume` that is taken from there which the same code made with the
    same work, told apart by `made_from`. Raises ClosemeshError.
    """
    kept = _Kept(cache, resume, {"program": _program(), **made_from})
    results = {window.name: result for window in windows if (result := kept.get(window))}
    missing = [window for window in windows if window.name not in results]
    with progress.task(title, len(windows), len(results)) as advance:
        for window, result in _run_all(missing, work, jobs):
            kept.put(window, result)
            results[window.name] = result
            advance(1)
    return [results[window.name] for window in windows]


def _run_all(windows: Sequence[Window], work: Work, jobs: int) -> Iterator[tuple[Window, tuple[WindowResult, ...]]]:
    """Results as they come."""
    if jobs == 1 or len(windows) < 2:
        with _one_thread():
            for window in windows:
                yield window, work(window)
        return
    with _processes(min(jobs, len(windows))) as pool:
        waiting = {pool.submit(work, window): window for window in windows}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


@contextmanager
def _one_thread() -> Iterator[None]:
    """So that no sum depends on how many windows are run at a time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes of one thread each; what has not begun is dropped when the block ends early."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, context, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _program() -> str:
    """Hash of the code, the command line apart, and of the weights that are there."""
    package = Path(__file__).resolve().parents[2]
    code = [file for file in package.rglob("*.py") if file.relative_to(package).parts[0] != "cli"]
    weights = [path for known in KNOWN_FILES if (path := known.locate())]
    return hashlib.sha256("".join(sha256_of(file) for file in sorted(code) + weights).encode()).hexdigest()


class _Kept:
    """Results of windows in a folder, each with the hash of what it was made from."""

    def __init__(self, folder: Path | None, resume: bool, made_from: dict[str, object]) -> None:
        self._folder = folder
        self._made_from = made_from
        self._hash_of = functools.cache(sha256_of)  # Many windows are of one file.
        if folder is not None and not resume:
            shutil.rmtree(folder, ignore_errors=True)

    def get(self, window: Window) -> tuple[WindowResult, ...] | None:
        """The results of an earlier run, if they are those that this run would make."""
        if self._folder is None:
            return None
        try:
            values = json.loads(self._file(window).read_text())
            made = values["key"] == self._key(window)
            return tuple(WindowResult(**result) for result in values["results"]) if made else None
        except (OSError, ValueError, KeyError, TypeError):  # Whatever is wrong with them, they are made again.
            return None

    def put(self, window: Window, results: tuple[WindowResult, ...]) -> None:
        """Raises OutputError when it cannot be written."""
        if self._folder is not None:
            with atomic_file(self._file(window)) as part:
                part.write_text(
                    json.dumps({"key": self._key(window), "results": [asdict(result) for result in results]})
                )

    def _file(self, window: Window) -> Path:
        assert self._folder is not None
        return self._folder / f"{window.name}.json"

    def _key(self, window: Window) -> str:
        frames = [window.name, self._hash_of(window.path), window.start, window.stop]
        return hashlib.sha256(json.dumps([self._made_from, frames], sort_keys=True).encode()).hexdigest()
