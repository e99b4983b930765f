"""Makes a set of windows: seeded, on all cores, resumable."""

from __future__ import annotations

import json
import multiprocessing
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file, remove
from closemesh.core.progress import Advance, Progress
from closemesh.lab.synthesis.non_contact_pairs import KIND as APART
from closemesh.lab.synthesis.single_person import KINDS as POSTURE_KINDS
from closemesh.lab.synthesis.work_units import (
    RECIPES_BY_NAME,
    Assets,
    KindReport,
    UnitTask,
    WorkUnitResult,
    load_materials,
    load_unit,
    make_unit,
    read_singles,
    report,
    save_unit,
)

SETTINGS_FILE = "interactions.json"
WINDOWS_FOLDER, UNITS_FOLDER = "windows", "units"
_MOST_BARREN_UNITS = 12  # Of a kind, one after the other without a window, before it is given up.


@dataclass(frozen=True)
class InteractionsConfig:
    """Which windows are made. Another count continues a folder; the rest may not change."""

    count: int = 2000
    """Windows in all."""
    kinds: tuple[str, ...] | None = None
    """Names of recipes or postures; all of them when None."""
    seed: int = 0
    negatives: float = 0.1
    """Share of windows of two people who do not touch."""
    postures: float = 0.1
    """Share, of the other windows, of one person who sits, kneels, lies ...; none when kinds are named, or in
    the held-out split: the benchmark is about pairs."""
    split: Literal["train", "held_out"] = "train"
    """Which captured motion is used; what is made from held-out motion is for measuring."""
    jobs: int | None = None
    """Processes; one a core when None."""
    device: str = "cpu"
    """Where key poses are solved; anything but the CPU is used by a single process."""


def make_interactions(data: Path, out: Path, config: InteractionsConfig, progress: Progress) -> list[KindReport]:
    """Writes `out`/windows/*.npz (see `write_window`) until `count` are there, and tells how each kind went.

    data: a folder of motion files (see `read_pose_file`), single people of which are used. What an earlier run made is
    kept; a stopped run leaves whole files. Same seed, same machine, same windows, however many cores work.
    Raises InputError and OutputError.
    """
    _check(config)
    _claim(out, data, config)
    quotas = _quotas(config)
    kinds = {kind: _KindMaker(kind, quota, out, config) for kind, quota in quotas.items()}
    there = sum(kind.done for kind in kinds.values())
    with _workers(data, config) as run, progress.task("Making windows", sum(quotas.values()), there) as advance:
        _run_all(kinds, run, advance)
    for kind in kinds.values():
        if kind.given_up:
            progress.note(f"{kind.name}: no window in {_MOST_BARREN_UNITS} units one after the other; given up")
    return report(result for kind in kinds.values() for result in kind.counted())


class _KindMaker:
    """The units of one kind: which are done, which is next, when there are enough windows."""

    def __init__(self, name: str, quota: int, out: Path, config: InteractionsConfig) -> None:
        self.name, self.quota, self._out = name, quota, out
        self._seed = config.seed
        self.results: dict[int, WorkUnitResult] = {}
        self.running: set[int] = set()
        for path in sorted((out / UNITS_FOLDER).glob(f"{name}_[0-9]*.json")):
            result = load_unit(path)
            self.results[result.unit] = result

    @property
    def done(self) -> int:
        return min(sum(len(result.windows) for result in self.counted()), self.quota)

    @property
    def given_up(self) -> bool:
        units = self._consecutive()
        return len(units) >= _MOST_BARREN_UNITS and not any(u.windows for u in units[-_MOST_BARREN_UNITS:])

    @property
    def open(self) -> bool:
        return self.done < self.quota and not self.given_up

    def next_task(self) -> UnitTask:
        unit = next(i for i in range(10**9) if i not in self.results and i not in self.running)
        self.running.add(unit)
        # The name and not its place in the table decides, so that other kinds do not change these.
        seed = [self._seed, zlib.crc32(self.name.encode()), unit]
        return UnitTask(self.name, unit, seed, self._out / WINDOWS_FOLDER)

    def take(self, result: WorkUnitResult) -> None:
        self.running.discard(result.unit)
        self.results[result.unit] = result
        save_unit(self._out / UNITS_FOLDER / f"{result.kind}_{result.unit:05d}.json", result)

    def counted(self) -> Iterator[WorkUnitResult]:
        """The units, in order, that make up the quota."""
        total = 0
        for result in self._consecutive():
            if total >= self.quota:
                return
            total += len(result.windows)
            yield result

    def drop_surplus(self) -> None:
        """Removes units that ran ahead and were not needed, so that the set does not depend on the number of cores."""
        counted = {result.unit for result in self.counted()}
        for unit in [unit for unit in self.results if unit not in counted]:
            remove(self._out / UNITS_FOLDER / f"{self.name}_{unit:05d}.json")
            for name in self.results.pop(unit).windows:
                remove(self._out / WINDOWS_FOLDER / name)

    def _consecutive(self) -> list[WorkUnitResult]:
        units = []
        while len(units) in self.results:
            units.append(self.results[len(units)])
        return units


def _run_all(kinds: dict[str, _KindMaker], run: _Here | _Elsewhere, advance: Advance) -> None:
    """Hands out units, the emptiest kind first, until every kind has its windows."""
    pending: dict[Future[WorkUnitResult], _KindMaker] = {}
    while True:
        open_kinds = [kind for kind in kinds.values() if kind.open]
        while open_kinds and len(pending) < run.cores:
            kind = min(open_kinds, key=lambda k: (len(k.running), k.done / k.quota))
            pending[run.submit(kind.next_task())] = kind
        if not pending:
            break
        for job in wait(pending, return_when=FIRST_COMPLETED).done:
            kind = pending.pop(job)
            before = kind.done
            kind.take(job.result())
            advance(kind.done - before)
    for kind in kinds.values():
        kind.drop_surplus()


class _Here:
    """Does the work in this process, when it is asked for."""

    cores = 1

    def __init__(self, data: Path, config: InteractionsConfig) -> None:
        self._materials = load_materials(data, config.split, config.device)

    def submit(self, task: UnitTask) -> Future[WorkUnitResult]:
        done: Future[WorkUnitResult] = Future()
        done.set_result(make_unit(task, self._materials))
        return done


class _Elsewhere:
    """Hands the work to processes that each hold the captured motion."""

    def __init__(self, pool: ProcessPoolExecutor, cores: int) -> None:
        self._pool, self.cores = pool, cores

    def submit(self, task: UnitTask) -> Future[WorkUnitResult]:
        return self._pool.submit(_work, task)


@contextmanager
def _workers(data: Path, config: InteractionsConfig) -> Iterator[_Here | _Elsewhere]:
    cores = config.jobs or (os.cpu_count() or 1 if config.device == "cpu" else 1)
    if cores == 1:
        yield _Here(data, config)
        return
    read_singles(data, config.split)  # What is wrong with the data is told here rather than by every process.
    context = multiprocessing.get_context("spawn")
    arguments = (data, config.split, config.device)
    pool = ProcessPoolExecutor(cores, context, _start_worker, arguments)
    try:
        yield _Elsewhere(pool, cores)
    except BaseException:
        for process in list(pool._processes.values()):  # What they are at is lost; files are whole or absent.
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_materials: dict[str, Assets] = {}  # Of this worker process, set once when it starts.


def _start_worker(data: Path, split: str, device: str) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The process that handed out the work ends it.
    torch.set_num_threads(1)
    _materials["here"] = load_materials(data, split, device)


def _work(task: UnitTask) -> WorkUnitResult:
    return make_unit(task, _materials["here"])


def _quotas(config: InteractionsConfig) -> dict[str, int]:
    """Windows of each kind, as even as the count allows."""
    apart = round(config.count * config.negatives)
    alone = 0 if config.kinds or config.split == "held_out" else round((config.count - apart) * config.postures)
    quotas = _evenly(config.count - apart - alone, config.kinds or tuple(RECIPES_BY_NAME))
    quotas |= {APART: apart} | (_evenly(alone, POSTURE_KINDS) if alone else {})
    return {kind: quota for kind, quota in quotas.items() if quota > 0}


def _evenly(count: int, names: Sequence[str]) -> dict[str, int]:
    each, more = divmod(count, len(names))
    return {name: each + (i < more) for i, name in enumerate(names)}


def _check(config: InteractionsConfig) -> None:
    for kind in config.kinds or ():
        if kind not in RECIPES_BY_NAME and kind not in POSTURE_KINDS:
            raise InputError(f"unknown kind '{kind}'; the kinds are {', '.join((*RECIPES_BY_NAME, *POSTURE_KINDS))}")
    if config.count < 1 or not (0 <= config.negatives <= 1 and 0 <= config.postures <= 1):
        raise InputError("count must be at least 1, and the shares of negatives and postures between 0 and 1")


def _claim(out: Path, data: Path, config: InteractionsConfig) -> None:
    """Makes the folder, or checks that it holds windows of the same settings."""
    if not data.is_dir():
        raise InputError(f"{data} is no folder; give one with motion files (.npz with poses and trans)")
    settings = {name: value for name, value in asdict(config).items() if name in ("seed", "split")}
    path = out / SETTINGS_FILE
    if not path.exists():
        with atomic_file(path) as part:
            part.write_text(json.dumps(settings, indent=1))
        return
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged; choose another folder with -o") from error
    if found != settings:
        raise InputError(f"{out} holds windows of other settings {found}; choose another folder with -o")
