"""What every command shows: results on stdout, messages and progress on stderr, exit codes, the summary of a run."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
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
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from closemesh.core.device import fault_of
from closemesh.core.errors import ClosemeshError, escape_controls
from closemesh.core.progress import Advance, Progress

_THEME = Theme({"good": "green", "doubtful": "yellow", "bad": "bold red", "quiet": "dim", "title": "bold"})

results = Console(theme=_THEME, highlight=False)
messages = Console(theme=_THEME, highlight=False, stderr=True)

STOPPED = 130
FAILED = 1
SECONDS_BETWEEN_LINES = 10.0
HOW_TO_RESUME = "repeat the command to resume"


def print_line(line: str, style: str = "") -> None:
    """Print one line on stderr without wrapping, markup and control characters: it may contain file names."""
    messages.print(escape_controls(line), style=style, markup=False, soft_wrap=True)


@contextmanager
def exit_codes(when_stopped: str = "") -> Iterator[None]:
    """End the body of a command with one line and the exit code of its error.

    The code is 1 when the input or the environment is wrong, and 130 when the user stopped the command, 143 or 129
    after SIGTERM or SIGHUP; then `when_stopped` is printed too. Usage errors pass through to Typer, which exits with 2.
    """
    try:
        with _stop_signals():
            yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # After SIGHUP the terminal is gone.
            print_line(f"stopped{'; ' + when_stopped if when_stopped else ''}", "doubtful")
        raise typer.Exit(stop.code if isinstance(stop, _StopSignal) else STOPPED) from None
    except Exception as error:
        print_line(f"error: {error_text(error)}", "bad")
        raise typer.Exit(FAILED) from None


class _StopSignal(KeyboardInterrupt):
    """A signal that ends the process, as an exception, so that nothing temporary stays behind."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number


@contextmanager
def _stop_signals() -> Iterator[None]:
    """Raise _StopSignal on SIGTERM and SIGHUP, unless the caller of the process ignores them as nohup does."""
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP.
    numbers = [number for name in names if signal.getsignal(number := getattr(signal, name)) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        numbers = []

    def stop(number: int, frame: FrameType | None) -> None:
        raise _StopSignal(number)

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def error_text(error: Exception) -> str:
    """Return one line about an error; prints its traceback where $CLOSEMESH_DEBUG is set, but not to 0, no or false."""
    if os.environ.get("CLOSEMESH_DEBUG", "").strip().lower() not in {"", "0", "no", "false", "off"}:
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        messages.print("".join(lines), markup=False, soft_wrap=True)
    if isinstance(error, ClosemeshError):
        return str(error)
    elif (fault := fault_of(error, on_gpu=True)) and fault.kind == "memory":
        text = "out of memory; give fewer frames with --start and --end, or close other programs"
    elif isinstance(error, OSError):
        text = f"{error.filename or 'the system'}: {error.strerror or error}"
    else:
        text = f"unexpected {type(error).__name__}: {error}; set CLOSEMESH_DEBUG=1 for the traceback"
    return " ".join(text.split())


@contextmanager
def show_progress(console: Console = messages, steps_are_bytes: bool = False) -> Iterator[Progress]:
    """Yield a Progress: bars in a terminal, plain lines elsewhere. With `steps_are_bytes` they show megabytes."""
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
    """One bar for each task; a task without an error ends at 100 %.

    Bars of tasks inside another task are removed when that advances: those of one photo when the next begins.
    """

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._running: list[list[TaskID]] = []
        """For each task that runs, the outermost first, the bars inside it."""

    @contextmanager
    def task(self, description: str, total: int | None, done: int = 0) -> Iterator[Advance]:
        """Show a bar while the task runs."""
        bar = self._bars.add_task(description, total=total, completed=done)
        inner: list[TaskID] = []

        def advance(steps: int) -> None:
            self._bars.advance(bar, steps)
            while inner:
                self._bars.remove_task(inner.pop())

        if self._running:
            self._running[-1].append(bar)
        self._running.append(inner)
        try:
            yield advance
        finally:
            self._running.remove(inner)
        whole = total if total is not None else self._bars.tasks[bar].completed
        self._bars.update(bar, completed=whole, total=whole)

    def note(self, message: str) -> None:
        """Print one line above the bars."""
        print_line(f"note: {message}", "doubtful")


class PlainLines:
    """A line when a task ends, and one every ten seconds while it runs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, steps_are_bytes: bool = False) -> None:
        self._clock = clock
        self._megabytes = steps_are_bytes

    @contextmanager
    def task(self, description: str, total: int | None, done: int = 0) -> Iterator[Advance]:
        """Print the progress of the task."""
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
        """Print one line."""
        print_line(f"note: {message}")


class _RateColumn(ProgressColumn):
    """Steps per second."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text(f"{rate:.1f}/s" if rate else "", style="quiet")


def _running_line(description: str, done: int, total: int | None, rate: float, megabytes: bool) -> str:
    """rate: steps per second of this run; megabytes: the steps are bytes."""
    counted, whole, speed = (
        (f"{done / 1e6:.1f}", f"{(total or 0) / 1e6:.1f} MB", f"{rate / 1e6:.1f} MB/s")
        if megabytes
        else (str(done), str(total), f"{rate:.1f}/s")
    )
    if not total or rate <= 0:
        return f"{description}: {counted}{' MB' if megabytes else ''} ({speed})"
    return f"{description}: {counted}/{whole} ({speed}, {(total - done) / rate:.0f} s to go)"


# Key in scene.json, name in the table, format.
_METRICS = (
    ("reprojection_median_px", "reprojection error, median", "{:.1f} px"),
    ("reprojection_median_percent_of_height", "  relative to body height", "{:.2f} %"),
    ("reprojection_p95_percent_of_height", "  95th percentile of this", "{:.2f} %"),
    ("penetration_max_mm", "penetration, maximum", "{:.0f} mm"),
    ("penetration_mean_mm", "  mean over frames", "{:.1f} mm"),
    ("frames_crossing_percent", "  frames with penetration", "{:.0f} %"),
    ("contacts", "contacts", "{:.0f}"),
    ("jitter_m_s3", "jitter", "{:.0f} m/s³"),
)
_OVER_TIME = {"frames_crossing_percent", "penetration_mean_mm"}
"""Metrics without meaning for one frame."""
_FILES = ("people/", "contacts.json", "meshes/", "overlay.png", "overlay.mp4", "report.html", "scene.json")


def summary(scene: Mapping[str, Any], out: Path) -> RenderableType:
    """Return people, quality, cost and files of a run in `out`. scene: the values of scene.json."""
    files = ", ".join(name for name in _FILES if (out / name).exists())
    return Group(
        "",
        _headline(scene),
        _quality(scene["quality"], scene["input"]["frames"]),
        _costs(scene["stages"]),
        f"results in [title]{_name(out)}[/title]: {files}",
    )


def _name(path: Path | str) -> str:
    """A name of a file in text with markup."""
    return escape(escape_controls(str(path)))


def _headline(scene: Mapping[str, Any]) -> str:
    people, clip, camera = scene["people"], scene["input"], scene["camera"]
    count = "one person, so no pair to refine" if len(people) == 1 else f"{len(people)} people"
    valid = ", ".join(str(person["frames_valid"]) for person in people)
    frames = f", in {valid} of {clip['frames']} frames at {clip['fps']:.1f} per second" if clip["frames"] > 1 else ""
    return (
        f"[title]{count}[/title]{frames}; "
        f"focal length {camera['focal_px']:.0f} px ({camera['focal_source']}); body {scene['body_model']['name']}"
    )


def photo_summary(scenes: Mapping[str, Mapping[str, Any] | None], out: Path) -> RenderableType:
    """Return one line for each photo. scenes: name of the file -> values of its scene.json, None where it failed."""
    table = Table(title="Photos", title_style="title", title_justify="left")
    columns = ("", "people", "contacts", "reprojection error", "penetration, maximum")
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for name, scene in scenes.items():
        cells = ("[bad]failed[/bad]",) if scene is None else _photo_cells(scene)
        table.add_row(_name(name), *cells)
    done = sum(scene is not None for scene in scenes.values())
    return Group("", table, f"{done} of {len(scenes)} photos in [title]{_name(out)}[/title], each in its folder")


def _photo_cells(scene: Mapping[str, Any]) -> tuple[str, ...]:
    """People, contacts, error in percent of the height of a person, and penetration of the final motion."""
    quality = scene["quality"]["optimised"]
    values = [quality.get(key) for key in ("reprojection_median_percent_of_height", "penetration_max_mm")]
    error, depth = (
        "" if value is None else form.format(value)
        for value, form in zip(values, ("{:.1f} %", "{:.0f} mm"), strict=True)
    )
    return str(len(scene["people"])), f"{quality['contacts']:.0f}", error, depth


def _quality(quality: Mapping[str, Mapping[str, float | None]], num_frames: int) -> Table:
    table = Table(title="Quality", title_style="title", title_justify="left")
    table.add_column("")
    for motion in quality:
        table.add_column(motion, justify="right")
    for key, name, form in _METRICS:
        values = [metrics.get(key) for metrics in quality.values()]
        if any(value is not None for value in values) and (num_frames > 1 or key not in _OVER_TIME):
            table.add_row(name, *("" if value is None else form.format(value) for value in values))
    return table


def _costs(stages: list[Mapping[str, Any]]) -> Table:
    table = Table(title="Cost", title_style="title", title_justify="left")
    for column in ("stage", "seconds", "peak MB so far"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in stages:
        cached = " [quiet](cached)[/quiet]" if stage["reused"] else ""
        peak = stage["peak_megabytes"]
        table.add_row(stage["name"] + cached, f"{stage['seconds']:.1f}", "" if peak is None else f"{peak:.0f}")
    return table
