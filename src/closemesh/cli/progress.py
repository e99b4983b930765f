"""The progress display: a bar for each task in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from closemesh.cli.console import messages, say
from closemesh.progress import Advance, Progress

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def show_progress(console: Console = messages) -> Iterator[Progress]:
    """A Progress for as long as the block lasts."""
    if not console.is_terminal:
        yield PlainLines()
        return
    with Bars(
        SpinnerColumn(finished_text="[good]✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
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

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

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
                say(_running_line(description, done + steps_here, total, steps_here / (now - started)))

        yield advance
        say(f"{description}: done in {self._clock() - started:.1f} s")

    def note(self, message: str) -> None:
        say(f"note: {message}")


class _RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text(f"{rate:.1f}/s" if rate else "", style="quiet")


def _running_line(description: str, done: int, total: int | None, rate: float) -> str:
    """rate: steps a second of this run."""
    if not total or not rate:
        return f"{description}: {done} ({rate:.1f}/s)"
    return f"{description}: {done}/{total} ({rate:.1f}/s, {(total - done) / rate:.0f} s to go)"
