"""The progress display: a bar for each task in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from closemesh.cli.console import messages, say
from closemesh.progress import Advance, Progress

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def show_progress(console: Console = messages, steps_are_bytes: bool = False) -> Iterator[Progress]:
    """A Progress for as long as the block lasts."""
    if not console.is_terminal:
        yield PlainLines(steps_are_bytes=steps_are_bytes)
        return
    counted = (DownloadColumn(), TransferSpeedColumn()) if steps_are_bytes else (MofNCompleteColumn(), _RateColumn())
    with Bars(
        SpinnerColumn(finished_text="[good]✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        *counted,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as bars:
        yield TerminalBars(bars)


class TerminalBars:
    """One bar for each task; a task that ends well reaches 100 %."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    @contextmanager
    def task(self, description: str, total: int | None, done: int = 0) -> Iterator[Advance]:
        bar = self._bars.add_task(description, total=total, completed=done)

        def advance(steps: int) -> None:
            self._bars.advance(bar, steps)

        yield advance
        whole = total if total is not None else self._bars.tasks[bar].completed
        self._bars.update(bar, completed=whole, total=whole)

    def note(self, message: str) -> None:
        say(f"note: {message}", "doubtful")


class PlainLines:
    """A line when a task ends, and one every ten seconds while it runs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, steps_are_bytes: bool = False) -> None:
        self._clock = clock
        self._megabytes = steps_are_bytes

    @contextmanager
    def task(self, description: str, total: int | None, done: int = 0) -> Iterator[Advance]:
        started = last_line = self._clock()
        steps_here = 0

        def advance(steps: int) -> None:
            nonlocal steps_here, last_line
            steps_here += steps
            now = self._clock()
            if now - last_line >= SECONDS_BETWEEN_LINES:
                last_line = now
                rate = steps_here / (now - started)
                say(_running_line(description, done + steps_here, total, rate, self._megabytes))

        yield advance
        say(f"{description}: done in {self._clock() - started:.1f} s")

    def note(self, message: str) -> None:
        say(f"note: {message}")


class _RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text(f"{rate:.1f}/s" if rate else "", style="quiet")


def _running_line(description: str, done: int, total: int | None, rate: float, megabytes: bool) -> str:
    """rate: steps a second of this run; megabytes: the steps are bytes."""
    counted, in_all, speed = (
        (f"{done / 1e6:.1f}", f"{(total or 0) / 1e6:.1f} MB", f"{rate / 1e6:.1f} MB/s")
        if megabytes
        else (str(done), str(total), f"{rate:.1f}/s")
    )
    if not total or rate <= 0:
        return f"{description}: {counted}{' MB' if megabytes else ''} ({speed})"
    return f"{description}: {counted}/{in_all} ({speed}, {(total - done) / rate:.0f} s to go)"
