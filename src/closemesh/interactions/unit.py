"""One unit of work: some attempts at one kind, from key poses to files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from closemesh.errors import InputError
from closemesh.interactions.clips import Clip, make_clips
from closemesh.interactions.ledger import UnitResult
from closemesh.interactions.measure_window import Tolerances
from closemesh.interactions.negatives import KIND as APART
from closemesh.interactions.negatives import make_apart
from closemesh.interactions.recipes import RECIPES_BY_NAME
from closemesh.interactions.solve import solve_key_poses
from closemesh.interactions.sources import SourcePoses, find_source_poses
from closemesh.interactions.walks import Walks
from closemesh.interactions.window_file import write_window
from closemesh.interactions.windows import Bodies, Window, load_bodies, make_windows
from closemesh.motion_data.held_out import split_motion_files
from closemesh.motion_data.pose_file import read_pose_file
from closemesh.motion_data.sequence import MotionSequence

ATTEMPTS, ATTEMPTS_APART = 8, 3
"""In a unit: of one kind, which are solved together, and of people apart, which are not."""


@dataclass(frozen=True)
class Materials:
    """What windows are made of."""

    sources: SourcePoses
    clips: dict[str, Clip]
    walks: Walks
    bodies: Bodies
    attribution: str
    device: str


@dataclass(frozen=True)
class UnitTask:
    """What to make."""

    kind: str
    unit: int
    seed: list[int]
    folder: Path


def load_materials(data: Path, split: str, device: str) -> Materials:
    """Captured motion of single people. Raises InputError when there is none, or a file is damaged."""
    sequences = read_singles(data, split)
    clips = make_clips(sequences)
    attribution = " ".join(sorted({sequence.attribution for sequence in sequences} - {""}))
    return Materials(find_source_poses(sequences), clips, Walks(clips.values()), load_bodies(), attribution, device)


def read_singles(data: Path, split: str) -> list[MotionSequence]:
    """The sequences of single people of a split, `train` or `held_out`. Raises InputError as above."""
    learn, held_out = split_motion_files(data)
    files = [path for path in (learn if split == "train" else held_out) if "pairs" not in path.relative_to(data).parts]
    sequences = [s for s in map(read_pose_file, files) if s.num_people == 1 and s.rest_joints is not None]
    if not sequences:
        raise InputError(f"no motion of single people with a skeleton ('offsets') in {data}; give another --data")
    return sequences


def make_unit(task: UnitTask, materials: Materials) -> UnitResult:
    """The good windows of some attempts, written to the folder of the task. Raises OutputError."""
    generator = torch.Generator().manual_seed(
        int(np.random.SeedSequence(task.seed).generate_state(1, np.uint64)[0] >> 1)
    )
    tried, solved, good, faults = 0, 0, [], Counter()
    for attempt in _attempts(task.kind, materials, generator):
        tried += 1
        if attempt is None:
            faults["key pose"] += 1
            continue
        solved += 1
        if attempt.faults:
            faults.update(attempt.faults)
            continue
        name = f"{task.kind}_{task.unit:05d}_{len(good):02d}.npz"
        write_window(task.folder / name, attempt, materials.attribution)
        good.append((name, attempt))
    return UnitResult(
        kind=task.kind,
        unit=task.unit,
        tried=tried,
        key_poses=solved,
        windows=tuple(name for name, _ in good),
        contact_errors=tuple(float(window.errors.contact_error.max()) for _, window in good),
        mean_contact_errors=tuple(window.mean_contact_error for _, window in good),
        depths=tuple(float(window.errors.depth.max()) for _, window in good),
        faults=dict(faults),
    )


def _attempts(kind: str, materials: Materials, generator: torch.Generator) -> Iterator[Window | None]:
    """A window for each attempt, or None where no key pose was found."""
    m = materials
    if kind == APART:
        for _ in range(ATTEMPTS_APART):
            yield make_apart(m.clips, m.bodies, generator, Tolerances())
        return
    key_poses = solve_key_poses(RECIPES_BY_NAME[kind], m.sources, m.bodies.light, ATTEMPTS, generator, m.device)
    yield from [None] * int((~key_poses.accepted).sum())
    yield from make_windows(key_poses.where(key_poses.accepted), m.clips, m.walks, m.bodies, generator)
