"""How a stage reports progress without printing: it is handed a Progress, the command line draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """What a stage may tell while it runs."""

    def task(self, description: str, total: int | None, done: int = 0) -> AbstractContextManager[Advance]:
        """A context manager for one piece of work; it yields `advance(steps)`. `done` steps are from an earlier run."""
        ...

    def note(self, message: str) -> None:
        """One line the user should see: a fallback taken, something estimated, something doubtful."""
        ...


class NullProgress:
    """A Progress that shows nothing; notes are kept so that a caller or a test can read them."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @contextmanager
    def task(self, description: str, total: int | None, done: int = 0) -> Iterator[Advance]:
        yield lambda steps: None

    def note(self, message: str) -> None:
        self.notes.append(message)


class RecordingProgress:
    """Passes everything on to another Progress and remembers the notes."""

    def __init__(self, progress: Progress) -> None:
        self.notes: list[str] = []
        self._progress = progress

    def task(self, description: str, total: int | None, done: int = 0) -> AbstractContextManager[Advance]:
        return self._progress.task(description, total, done)

    def note(self, message: str) -> None:
        self.notes.append(message)
        self._progress.note(message)
