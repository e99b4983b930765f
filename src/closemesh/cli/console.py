"""Consoles, exit codes, progress bars, run summary.

The two consoles, results on stdout and messages on stderr, and how a command ends.

The progress display: a bar for each task in a terminal, plain lines elsewhere.

The quick look at quality that ends a run, read from what it wrote.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, Group, RenderableType
from rich.markup import escape
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
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from closemesh.core.errors import ClosemeshError
from closemesh.core.progress import Advance, Progress

_THEME = Theme({"good": "green", "doubtful": "yellow", "bad": "bold red", "quiet": "dim", "title": "bold"})

results = Console(theme=_THEME, highlight=False)
messages = Console(theme=_THEME, highlight=False, stderr=True)

STOPPED = 130
AT_FAULT = 1


def print_line(line: str, style: str = "") -> None:
    """One line on stderr, never wrapped or read as markup: it may hold file names."""
    messages.print(line, style=style, markup=False, soft_wrap=True)


@contextmanager
def exit_codes(when_stopped: str = "") -> Iterator[None]:
    """Ends a command's body with one line and the right exit code.

    1 when the input or the environment is at fault, 130 when the user stopped it (then `when_stopped` is said too).
    Usage errors pass through to Typer, which ends them with 2.
    """
    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except KeyboardInterrupt:
        print_line(f"stopped{'; ' + when_stopped if when_stopped else ''}", "doubtful")
        raise typer.Exit(STOPPED) from None
    except ClosemeshError as error:
        _fail(str(error))
    except MemoryError:
        _fail("out of memory; give fewer frames with --start and --end, or close other programs")
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    except Exception as error:
        _fail(f"unexpected {type(error).__name__}: {error}; set CLOSEMESH_DEBUG=1 for the traceback")


def _fail(line: str) -> None:
    if os.environ.get("CLOSEMESH_DEBUG"):
        messages.print(traceback.format_exc(), markup=False, soft_wrap=True)
    print_line(f"error: {' '.join(line.split())}", "bad")
    raise typer.Exit(AT_FAULT) from None


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
        print_line(f"note: {message}", "doubtful")


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
                print_line(_running_line(description, done + steps_here, total, rate, self._megabytes))

        yield advance
        print_line(f"{description}: done in {self._clock() - started:.1f} s")

    def note(self, message: str) -> None:
        print_line(f"note: {message}")


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


# Figure of scene.json, what it is called here, how it is written.
_FIGURES = (
    ("reprojection_median_px", "reprojection error, median", "{:.1f} px"),
    ("reprojection_median_percent_of_height", "  of a person's height", "{:.2f} %"),
    ("reprojection_p95_percent_of_height", "  worst twentieth of it", "{:.2f} %"),
    ("penetration_max_mm", "penetration, deepest", "{:.0f} mm"),
    ("penetration_mean_mm", "  mean over frames", "{:.1f} mm"),
    ("frames_crossing_percent", "  frames with any", "{:.0f} %"),
    ("contacts", "contact intervals", "{:.0f}"),
    ("jitter_m_s3", "jitter", "{:.0f} m/s³"),
)
_FILES = ("people/", "contacts.json", "meshes/", "overlay.mp4", "scene.json")


def summary(scene: Mapping[str, Any], out: Path) -> RenderableType:
    """What a run found, how good it is and what it cost. scene: the values of scene.json."""
    files = ", ".join(name for name in _FILES if (out / name).exists())
    return Group(
        "",
        _headline(scene),
        _quality(scene["quality"]),
        _costs(scene["stages"]),
        f"results in [title]{escape(str(out))}[/title]: {files}",
    )


def _headline(scene: Mapping[str, Any]) -> str:
    people, clip, camera = scene["people"], scene["input"], scene["camera"]
    who = "one person, so no pair to refine" if len(people) == 1 else f"{len(people)} people"
    seen = ", ".join(str(person["frames_valid"]) for person in people)
    return (
        f"[title]{who}[/title], in {seen} of {clip['frames']} frames at {clip['fps']:.1f} a second; "
        f"focal length {camera['focal_px']:.0f} px ({camera['focal_source']}); body {scene['body_model']['name']}"
    )


def _quality(quality: Mapping[str, Mapping[str, float | None]]) -> Table:
    table = Table(title="Quality", title_style="title", title_justify="left")
    table.add_column("")
    for motion in quality:
        table.add_column(motion, justify="right")
    for figure, name, form in _FIGURES:
        values = [figures.get(figure) for figures in quality.values()]
        if any(value is not None for value in values):
            table.add_row(name, *("" if value is None else form.format(value) for value in values))
    return table


def _costs(stages: list[Mapping[str, Any]]) -> Table:
    table = Table(title="Cost", title_style="title", title_justify="left")
    for column in ("stage", "seconds", "peak MB until then"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in stages:
        kept = " [quiet](kept)[/quiet]" if stage["reused"] else ""
        peak = stage["peak_megabytes"]
        table.add_row(stage["name"] + kept, f"{stage['seconds']:.1f}", "" if peak is None else f"{peak:.0f}")
    return table
