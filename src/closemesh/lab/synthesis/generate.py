"""Generation of a set of windows: seeded, in several processes, resumable."""

from __future__ import annotations

import json
import multiprocessing
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file, remove
from closemesh.core.progress import Advance, Progress
from closemesh.lab.datasets.registry import TEST_KINDS
from closemesh.lab.synthesis.non_contact_pairs import KIND as NON_CONTACT
from closemesh.lab.synthesis.single_person import KINDS as POSTURE_KINDS
from closemesh.lab.synthesis.work_units import (
    TEMPLATES_BY_NAME,
    Assets,
    KindReport,
    WorkUnit,
    WorkUnitResult,
    load_assets,
    read_result,
    read_single_people,
    report_by_kind,
    run_unit,
    write_result,
)

SETTINGS_FILE = "interactions.json"
WINDOWS_FOLDER, UNITS_FOLDER = "windows", "units"
_MAX_EMPTY_UNITS = 12  # Consecutive units of a kind without a window, after which the kind is given up.


@dataclass(frozen=True)
class InteractionsConfig:
    """Settings of a set of windows. A folder can be continued with another count, not with other settings."""

    count: int = 2000
    """Number of windows."""
    kinds: tuple[str, ...] | None = None
    """Names of templates or postures; None for all."""
    seed: int = 0
    non_contact: float = 0.1
    """Fraction of the windows that show two people without contact."""
    postures: float = 0.1
    """Fraction of the other windows that show one person in a posture (sitting, kneeling, lying, ...).

    0 when kinds are named, and in the test split, which measures pairs."""
    split: Literal["train", "held_out"] = "train"
    """Captured motion to use; `held_out` is the test split."""
    jobs: int | None = None
    """Processes; None for one per core."""
    device: str = "cpu"
    """Device of the key-pose solver; only the CPU is used by several processes unless jobs is given."""


def make_interactions(data: Path, out: Path, config: InteractionsConfig, progress: Progress) -> list[KindReport]:
    """Write `out`/windows/*.npz (see `write_window`) until there are `count`, and return the totals of each kind.

    data: a folder of motion files (see `read_motion`), of which those of single people are used. Windows of an earlier
    run are reused; a stopped run leaves whole files. Same seed, same machine, same windows, for any number of
    processes. Raises InputError and OutputError.
    """
    _check_config(config)
    _claim_folder(out, data, config)
    quotas = _quotas(config)
    kinds = {kind: _KindQueue(kind, quota, out, config) for kind, quota in quotas.items()}
    done = sum(kind.done for kind in kinds.values())
    with _workers(data, config) as workers, progress.task("windows", sum(quotas.values()), done) as advance:
        _run_all(kinds, workers, advance)
    for kind in kinds.values():
        if kind.given_up:
            progress.note(f"{kind.name}: no window in {_MAX_EMPTY_UNITS} consecutive units; given up")
    return report_by_kind(result for kind in kinds.values() for result in kind.counted())


class _KindQueue:
    """Units of one kind: finished ones, the next one, and whether there are enough windows."""

    def __init__(self, name: str, quota: int, out: Path, config: InteractionsConfig) -> None:
        self.name, self.quota, self._out = name, quota, out
        self._seed = config.seed
        self.results: dict[int, WorkUnitResult] = {}
        self.running: set[int] = set()
        for path in sorted((out / UNITS_FOLDER).glob(f"{name}_[0-9]*.json")):
            result = read_result(path)
            self.results[result.unit] = result

    @property
    def done(self) -> int:
        """Windows that count towards the quota."""
        return min(sum(len(result.windows) for result in self.counted()), self.quota)

    @property
    def given_up(self) -> bool:
        """The last units had no window."""
        units = self._consecutive()
        return len(units) >= _MAX_EMPTY_UNITS and not any(u.windows for u in units[-_MAX_EMPTY_UNITS:])

    @property
    def open(self) -> bool:
        """More units are needed."""
        return self.done < self.quota and not self.given_up

    def next_unit(self) -> WorkUnit:
        """The first unit that is neither finished nor running; it is then running."""
        unit = next(i for i in range(10**9) if i not in self.results and i not in self.running)
        self.running.add(unit)
        # The seed depends on the name, not on the position in the table, so that other kinds do not change it.
        seed = [self._seed, zlib.crc32(self.name.encode()), unit]
        return WorkUnit(self.name, unit, seed, self._out / WINDOWS_FOLDER)

    def add(self, result: WorkUnitResult) -> None:
        """Record a finished unit and write its log. Raises OutputError."""
        self.running.discard(result.unit)
        self.results[result.unit] = result
        write_result(self._out / UNITS_FOLDER / f"{result.kind}_{result.unit:05d}.json", result)

    def counted(self) -> Iterator[WorkUnitResult]:
        """The units, in order, that make up the quota."""
        total = 0
        for result in self._consecutive():
            if total >= self.quota:
                return
            total += len(result.windows)
            yield result

    def remove_surplus(self) -> None:
        """Remove finished units beyond the quota, so that the set does not depend on the number of processes."""
        counted = {result.unit for result in self.counted()}
        for unit in [unit for unit in self.results if unit not in counted]:
            remove(self._out / UNITS_FOLDER / f"{self.name}_{unit:05d}.json")
            for name in self.results.pop(unit).windows:
                remove(self._out / WINDOWS_FOLDER / name)

    def _consecutive(self) -> list[WorkUnitResult]:
        """Finished units from the first one to the first gap."""
        units = []
        while len(units) in self.results:
            units.append(self.results[len(units)])
        return units


def _run_all(kinds: dict[str, _KindQueue], workers: _Inline | _Processes, advance: Advance) -> None:
    """Submit units, those of the kind with the fewest windows first, until every kind has its quota."""
    pending: dict[Future[WorkUnitResult], _KindQueue] = {}
    while True:
        open_kinds = [kind for kind in kinds.values() if kind.open]
        while open_kinds and len(pending) < workers.count:
            kind = min(open_kinds, key=lambda k: (len(k.running), k.done / k.quota))
            pending[workers.submit(kind.next_unit())] = kind
        if not pending:
            break
        for job in wait(pending, return_when=FIRST_COMPLETED).done:
            kind = pending.pop(job)
            before = kind.done
            kind.add(job.result())
            advance(kind.done - before)
    for kind in kinds.values():
        kind.remove_surplus()


class _Inline:
    """Runs units in this process."""

    count = 1

    def __init__(self, assets: Assets) -> None:
        self._assets = assets

    def submit(self, unit: WorkUnit) -> Future[WorkUnitResult]:
        """A future with the result of the unit."""
        done: Future[WorkUnitResult] = Future()
        done.set_result(run_unit(unit, self._assets))
        return done


_AssetsKey = tuple[Path, str, str]
"""Folder of motion files, split and device."""


class _Processes:
    """Runs units in processes that each load the captured motion once."""

    def __init__(self, pool: ProcessPoolExecutor, count: int, key: _AssetsKey) -> None:
        self._pool, self.count, self._key = pool, count, key

    def submit(self, unit: WorkUnit) -> Future[WorkUnitResult]:
        """A future with the result of the unit."""
        return self._pool.submit(_run_in_worker, unit, self._key)


@contextmanager
def _workers(data: Path, config: InteractionsConfig) -> Iterator[_Inline | _Processes]:
    """Workers of the config; on an error or interrupt, running processes are ended."""
    count = config.jobs or (os.cpu_count() or 1 if config.device == "cpu" else 1)
    key = (data, config.split, config.device)
    if count == 1:
        with _one_thread():
            yield _Inline(load_assets(data, config.split, config.device))
        return
    read_single_people(data, config.split)  # Bad data raises here once instead of in every process.
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _start_worker, (key,))
    try:
        yield _Processes(pool, count, key)
    except BaseException:
        for process in list(pool._processes.values()):  # Their units are lost; files are whole or absent.
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread() -> Iterator[None]:
    """PyTorch on one thread, as in worker processes: sums depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _start_worker(key: _AssetsKey) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent process ends it.
    torch.set_num_threads(1)
    _worker_assets(key)


@lru_cache(maxsize=1)
def _worker_assets(key: _AssetsKey) -> Assets:
    data, split, device = key
    return load_assets(data, split, device)


def _run_in_worker(unit: WorkUnit, key: _AssetsKey) -> WorkUnitResult:
    return run_unit(unit, _worker_assets(key))


def _quotas(config: InteractionsConfig) -> dict[str, int]:
    """Number of windows of each kind, as even as possible; kinds of the test split only there, or when named."""
    by_default = (name for name in TEMPLATES_BY_NAME if config.split == "held_out" or name not in TEST_KINDS)
    non_contact = round(config.count * config.non_contact)
    only_pairs = config.kinds or config.split == "held_out"
    single = 0 if only_pairs else round((config.count - non_contact) * config.postures)
    quotas = _split_evenly(config.count - non_contact - single, config.kinds or tuple(by_default))
    quotas |= {NON_CONTACT: non_contact} | (_split_evenly(single, POSTURE_KINDS) if single else {})
    return {kind: quota for kind, quota in quotas.items() if quota > 0}


def _split_evenly(count: int, names: Sequence[str]) -> dict[str, int]:
    each, more = divmod(count, len(names))
    return {name: each + (i < more) for i, name in enumerate(names)}


def _check_config(config: InteractionsConfig) -> None:
    """Raises InputError for an unknown kind or a value out of range."""
    names = (*TEMPLATES_BY_NAME, *POSTURE_KINDS)
    for kind in config.kinds or ():
        if kind not in names:
            raise InputError(f"unknown kind '{kind}'; the kinds are {', '.join(names)}")
    if config.count < 1 or not (0 <= config.non_contact <= 1 and 0 <= config.postures <= 1):
        raise InputError("count must be at least 1, and non_contact and postures must be between 0 and 1")


def _claim_folder(out: Path, data: Path, config: InteractionsConfig) -> None:
    """Create the folder with its settings file, or check that it has windows of the same settings.

    Raises InputError for a missing data folder, a damaged settings file or other settings.
    """
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
