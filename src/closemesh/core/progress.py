"""Progress of a stage without printing: the stage calls a Progress, the command line shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """What a stage can report while it runs."""

    def task(self, description: str, total: int | None, done: int = 0) -> AbstractContextManager[Advance]:
        """Return a context manager for one task, which yields `advance(steps)`.

        total: number of steps, None if unknown. done: steps of an earlier run.
        """
        ...

    def note(self, message: str) -> None:
        """Report one line that the user should see: a fallback, an estimate, a doubtful input."""
        ...


class NullProgress:
    """A Progress that shows nothing and records the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def task(self, description: str, total: int | None, done: int = 0) -> Iterator[Advance]:
        """Yield a function that does nothing."""
        yield lambda steps: None

    def note(self, message: str) -> None:
        """Record the message."""
        self.notes.append(message)


class RecordingProgress:
    """Passes everything on to another Progress and records the notes."""

    def __init__(self, progress: Progress) -> None:
        self.notes: list[str] = []
        self._progress = progress

    def task(self, description: str, total: int | None, done: int = 0) -> AbstractContextManager[Advance]:
        """Return a task of the other Progress."""
        return self._progress.task(description, total, done)

    def note(self, message: str) -> None:
        """Record the message and pass it on."""
        self.notes.append(message)
        self._progress.note(message)
