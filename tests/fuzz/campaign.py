"""Runs of the fuzzer: workers that are replaced when they crash or hang, findings by kind, files to keep."""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HANG = 10.0
"""Seconds after which a reader counts as hung."""
_START = 300.0  # Seconds for imports and the valid file.
_SAMPLES = 3  # Files kept of each kind.
_CHUNK = 250  # Runs of one reader before the next one's turn.


class WorkerError(Exception):
    """The worker ended or hung."""


@dataclass
class Report:
    """Verdicts of all readers."""

    runs: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Reader -> how often each of ok, refused and fault."""
    faults: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    """Reader and kind -> number and detail of each."""
    seconds: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """The table of readers, then the faults by kind."""
        rows = [f"{'reader':<24}{'runs':>8}{'ok':>8}{'refused':>9}{'faults':>8}{'per s':>8}"]
        for name, counts in self.runs.items():
            total = counts.total()
            pace = total / max(self.seconds[name], 1e-3)
            rows.append(f"{name:<24}{total:>8}{counts['ok']:>8}{counts['refused']:>9}{counts['fault']:>8}{pace:>8.0f}")
        rows.append(f"{sum(counts.total() for counts in self.runs.values())} runs, {len(self.faults)} kinds of faults")
        for (name, kind), details in sorted(self.faults.items()):
            rows.append(f"{name}: {kind}, {len(details)} times; {' '.join(details[0].split())[:400]}")
        return rows


class Worker:
    """A process of `tests.fuzz.worker`."""

    def __init__(self) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONWARNINGS": "always,ignore::ResourceWarning",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout and self._process.stdin
        self._input, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)
        self._unread = b""

    def send(self, line: str) -> None:
        self._input.write(line.encode() + b"\n")
        self._input.flush()

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next line. Raises WorkerError when none comes in time or the process has ended."""
        end = time.monotonic() + seconds
        while b"\n" not in self._unread:
            if not self._selector.select(max(end - time.monotonic(), 0)):
                raise WorkerError("hang")
            more = self._output.read()
            if not more:
                code = self._process.wait()
                raise WorkerError(f"crash {signal.Signals(-code).name if code < 0 else f'exit {code}'}")
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._input.close()
        self._output.close()


class Campaign:
    """Runs readers one after the other on one worker."""

    def __init__(self, seed: int, keep: Path | None = None) -> None:
        self.seed, self.keep, self.report = seed, keep, Report()
        self._worker: Worker | None = None
        self._next: Counter[str] = Counter()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.stop()

    def run(self, reader: str, count: int) -> None:
        """`count` more damaged files of one reader."""
        last = self._next[reader] + count
        start = time.monotonic()
        while self._next[reader] < last:
            self._run_until(reader, last)
        self.report.seconds[reader] += time.monotonic() - start

    def run_for(self, readers: Sequence[str], seconds: float) -> None:
        """All readers in turn until the time is over, at least one turn each."""
        end = time.monotonic() + seconds
        while True:
            for reader in readers:
                self.run(reader, _CHUNK)
            if time.monotonic() > end:
                return

    def _run_until(self, reader: str, last: int) -> None:
        worker = self._worker = self._worker or Worker()
        order = {"reader": reader, "seed": self.seed, "first": self._next[reader], "count": last - self._next[reader]}
        worker.send(json.dumps(order))
        folder = Path(worker.answer(_START)["ready"])
        try:
            while "done" not in (answer := worker.answer(HANG)):
                self._next[reader] = answer["number"] + 1
                self._count(reader, answer, folder)
                if answer["kind"] not in ("ok", "refused"):
                    worker.send("")
        except WorkerError as reason:
            answer = {"number": self._next[reader], "kind": str(reason), "detail": str(reason)}
            self._count(reader, answer, folder)
            self._next[reader] += 1
            worker.stop()
            shutil.rmtree(folder.parents[1], ignore_errors=True)
            self._worker = None

    def _count(self, reader: str, answer: dict[str, Any], folder: Path) -> None:
        kind = answer["kind"]
        self.report.runs[reader][kind if kind in ("ok", "refused") else "fault"] += 1
        if kind in ("ok", "refused"):
            return
        details = self.report.faults[reader, kind]
        details.append(f"run {answer['number']}: {answer['detail']}")
        if self.keep is not None and len(details) <= _SAMPLES:
            name = f"{re.sub(r'[^A-Za-z0-9.]+', '_', kind)[:60]}_{answer['number']}"
            shutil.copytree(folder, self.keep / reader / name, dirs_exist_ok=True)
