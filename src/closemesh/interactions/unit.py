"""One unit of work: some attempts at one kind, from key poses to files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.errors import InputError
from closemesh.interactions.clips import Clip, make_clips
from closemesh.interactions.key_poses import KeyPoses
from closemesh.interactions.ledger import UnitResult
from closemesh.interactions.measure_window import DEFAULT_TOLERANCES
from closemesh.interactions.negatives import KIND as APART
from closemesh.interactions.negatives import make_apart
from closemesh.interactions.posture_windows import KINDS as POSTURE_KINDS
from closemesh.interactions.posture_windows import make_posture_windows
from closemesh.interactions.recipes import RECIPES_BY_NAME
from closemesh.interactions.solve import solve_key_poses
from closemesh.interactions.sources import SourcePoses, find_source_poses
from closemesh.interactions.walks import Walks
from closemesh.interactions.window_file import write_window
from closemesh.interactions.windows import Bodies, Window, load_bodies, make_windows
from closemesh.motion_data.held_out import split_motion_files
from closemesh.motion_data.read import read_motion
from closemesh.motion_data.sequence import MotionSequence

ATTEMPTS, ATTEMPTS_APART = 8, 3
"""In a unit: key poses or changes of posture of one kind, which are solved together, and people apart."""
WINDOWS_EACH, MOST_EACH = 2, 5
"""Of a key pose, with other timing, ways, speeds and sides; more where key poses are rare, since they cost most."""


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
    sequences = [s for s in map(read_motion, files) if s.num_people == 1 and s.rest_joints is not None]
    if not sequences:
        raise InputError(f"no motion of single people with a skeleton ('offsets') in {data}; give another --data")
    return sequences


def make_unit(task: UnitTask, materials: Materials) -> UnitResult:
    """The good windows of some attempts, written to the folder of the task. Raises OutputError."""
    generator = torch.Generator().manual_seed(
        int(np.random.SeedSequence(task.seed).generate_state(1, np.uint64)[0] >> 1)
    )
    key_poses, windows = _attempts(task.kind, materials, generator)
    tried, good, faults = 0, [], Counter()
    for window in windows:
        tried += 1
        if window.faults:
            faults.update(window.faults)
            continue
        name = f"{task.kind}_{task.unit:05d}_{len(good):02d}.npz"
        write_window(task.folder / name, window, materials.attribution)
        good.append((name, window))
    return UnitResult(
        kind=task.kind,
        unit=task.unit,
        attempts=ATTEMPTS_APART if task.kind == APART else ATTEMPTS,
        key_poses=key_poses,
        tried=tried,
        windows=tuple(name for name, _ in good),
        contact_errors=tuple(float(window.errors.contact_error.max()) for _, window in good),
        mean_contact_errors=tuple(window.mean_contact_error for _, window in good),
        depths=tuple(float(window.errors.depth.max()) for _, window in good),
        faults=dict(faults),
    )


def _attempts(kind: str, m: Materials, generator: torch.Generator) -> tuple[int, Iterator[Window]]:
    """How many key poses were found, and windows from them, good or not."""
    if kind == APART:
        apart = (make_apart(m.clips, m.bodies, generator, DEFAULT_TOLERANCES) for _ in range(ATTEMPTS_APART))
        return ATTEMPTS_APART, apart
    if kind in POSTURE_KINDS:
        return make_posture_windows(kind, ATTEMPTS, m.sources, m.bodies, generator, DEFAULT_TOLERANCES)
    key_poses = solve_key_poses(RECIPES_BY_NAME[kind], m.sources, m.bodies.light, ATTEMPTS, generator, m.device)
    key_poses = _on_cpu(key_poses.where(key_poses.accepted))
    each = min(WINDOWS_EACH * ATTEMPTS // max(len(key_poses), 1), MOST_EACH)
    return len(key_poses), make_windows(key_poses, m.clips, m.walks, m.bodies, generator, each=each)


def _on_cpu(key_poses: KeyPoses) -> KeyPoses:
    """Windows are made where the contact queries run."""
    values = {f.name: getattr(key_poses, f.name) for f in fields(key_poses)}
    return replace(key_poses, **{name: value.cpu() for name, value in values.items() if isinstance(value, Tensor)})
