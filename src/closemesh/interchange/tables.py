"""CSV: joints in the world frame, one row per frame and person, and one row per contact. Meters and seconds."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from closemesh.body.motion import motion_joints
from closemesh.body.skeleton import JOINT_NAMES
from closemesh.interchange.scene import ExportedScene

_CONTACT_COLUMNS = ("person_a", "person_b", "part_a", "part_b", "start", "end", "min_distance", "max_depth")


def write_tables(scene: ExportedScene, folder: Path) -> None:
    """Write `folder`/joints.csv and contacts.csv at the true times of the frames. The folder exists.

    Joints of a person who is not valid in a frame are empty.
    """
    joints, motion, times = motion_joints(scene.motion_world, scene.body), scene.motion, scene.clip.times
    names = [f"{name}_{axis}" for name in JOINT_NAMES for axis in "xyz"]
    empty = [""] * len(names)
    rows = (
        [t, f"{times[t]:.6f}", p, int(valid), f"{motion.confidence[t, p]:.4f}"]
        + ([f"{value:.6f}" for value in joints[t, p].flat] if valid else empty)
        for (t, p), valid in ((index, motion.valid[index]) for index in _indices(motion.valid.shape))
    )
    _write(folder / "joints.csv", ["frame", "seconds", "person", "valid", "confidence", *names], rows)
    contacts = [asdict(contact) for pair in scene.contacts for contact in pair.contacts]
    _write(
        folder / "contacts.csv",
        [*_CONTACT_COLUMNS, "start_seconds", "end_seconds"],
        (
            [*(c[name] for name in _CONTACT_COLUMNS), f"{times[c['start']]:.6f}", f"{times[c['end']]:.6f}"]
            for c in contacts
        ),
    )


def _indices(shape: tuple[int, ...]) -> Iterable[tuple[int, int]]:
    return ((t, p) for t in range(shape[0]) for p in range(shape[1]))


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
