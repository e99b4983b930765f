"""The fixed split: captured motion that is kept for measuring, and that no model may learn from."""

from __future__ import annotations

from pathlib import Path

from closemesh.motion_data.read import find_motions

HELD_OUT_PAIRS = ("cmu_60_61_03", "cmu_60_61_13")
"""Trials of the CMU salsa couple."""
EVERY = 10
"""Of all single-person files, sorted by name, each tenth one."""


def split_motion_files(data: Path) -> tuple[list[Path], list[Path]]:
    """The motions below `data` (see `find_motions`) to learn from, and those held out.

    Files whose path has a folder `pairs` are split by HELD_OUT_PAIRS, all others by their place in the order of names.
    """
    files = find_motions(data)
    pairs = [path for path in files if "pairs" in path.relative_to(data).parts]
    singles = [path for path in files if path not in pairs]
    held_out = [path for path in pairs if path.stem in HELD_OUT_PAIRS] + singles[EVERY - 1 :: EVERY]
    return [path for path in files if path not in held_out], held_out
