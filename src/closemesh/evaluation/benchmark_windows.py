"""The windows of captured motion that the benchmark films: bundled ones, and those of a user's held-out trials."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from closemesh.errors import InputError
from closemesh.motion_data.held_out import split_motion_files
from closemesh.motion_data.read import read_motion
from closemesh.motion_data.sequence import MotionSequence
from closemesh.weights.search import model_folders

WINDOW = 64
"""Frames of a window that is cut out of a trial."""
QUICK_WINDOWS = 8
_FOLDER = "benchmark"


@dataclass(frozen=True)
class Window:
    """Some frames of a motion file."""

    name: str
    """Unique in the benchmark, and the same in every run."""
    path: Path
    kind: str
    start: int
    stop: int

    def read(self) -> MotionSequence:
        """The motion. Raises InputError."""
        return read_motion(self.path).frames(slice(self.start, self.stop))


def find_windows(
    data: Path | None, kinds: Collection[str] = (), limit: int | None = None, quick: bool = False
) -> list[Window]:
    """The bundled windows, and with `data` those of its held-out trials of two people; sorted by name.

    `kinds` keeps only those, `quick` a few that stay the same, one of each kind after the other, `limit` the first so
    many. Raises InputError when none is left.
    """
    windows = [*_bundled(), *(_of_trials(data) if data else ())]
    there = sorted({window.kind for window in windows})
    unknown = sorted(set(kinds) - set(there))
    if unknown:
        raise InputError(f"no windows of the kind {', '.join(unknown)}; there are {', '.join(there) or 'none'}")
    chosen = sorted((w for w in windows if not kinds or w.kind in kinds), key=lambda window: window.name)
    if quick:
        chosen = _spread_over_kinds(chosen, QUICK_WINDOWS)
    if not chosen:
        raise InputError("no bundled benchmark windows found; give a folder with captured motion with --data")
    return chosen[:limit]


def _bundled() -> Iterator[Window]:
    folder = next((path for folder in model_folders() if (path := folder / _FOLDER).is_dir()), None)
    for path in sorted(folder.glob("*.npz")) if folder else ():
        sequence = read_motion(path)
        yield Window(path.stem, path, _kind(sequence), 0, len(sequence))


def _kind(sequence: MotionSequence) -> str:
    """The action without what stands in brackets behind it."""
    return sequence.action.partition("(")[0].strip() or "other"


def _of_trials(data: Path) -> Iterator[Window]:
    """Whole held-out trials of two people, cut into windows without overlap in which both are there."""
    _, held_out = split_motion_files(data)
    for path in held_out:
        sequence = read_motion(path)
        if sequence.num_people < 2:
            continue
        for start in range(0, len(sequence) - WINDOW + 1, WINDOW):
            if sequence.valid[start : start + WINDOW].all():
                name = f"{path.stem}_{start:05d}"
                yield Window(name, path, _kind(sequence), start, start + WINDOW)


def _spread_over_kinds(windows: list[Window], count: int) -> list[Window]:
    """The first window of each kind, then the second of each, and so on; of too many kinds some, evenly by name."""
    of_kind: dict[str, list[Window]] = {}
    for window in windows:
        of_kind.setdefault(window.kind, []).append(window)
    kinds = sorted(of_kind)
    kinds = [kinds[k * len(kinds) // count] for k in range(count)] if len(kinds) > count else kinds
    turns = itertools.zip_longest(*(of_kind[kind] for kind in kinds))
    chosen = [window for turn in turns for window in turn if window is not None]
    return sorted(chosen[:count], key=lambda window: window.name)
