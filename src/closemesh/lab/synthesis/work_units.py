"""One unit, its log, window files, template registry.

What has been made so far and how well it went: one small file for each unit of work.

Windows as files: closemesh's motion files with what is held and when.

All kinds of close interaction that are made.

One unit of work: some attempts at one kind, from key poses to files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.lab.datasets.registry import read_motion, split_motion_files
from closemesh.lab.synthesis.captured_clips import CapturedClip, WalkLibrary, make_clips
from closemesh.lab.synthesis.key_pose_solver import solve_key_poses
from closemesh.lab.synthesis.key_poses import KeyPoses, SourcePoses, find_source_poses
from closemesh.lab.synthesis.non_contact_pairs import KIND as APART
from closemesh.lab.synthesis.non_contact_pairs import make_apart
from closemesh.lab.synthesis.quality_checks import DEFAULT_TOLERANCES
from closemesh.lab.synthesis.single_person import KINDS as POSTURE_KINDS
from closemesh.lab.synthesis.single_person import make_posture_windows
from closemesh.lab.synthesis.templates.holding import CARRYING, HOLDING
from closemesh.lab.synthesis.templates.schema import InteractionTemplate
from closemesh.lab.synthesis.templates.strikes import BLOWS
from closemesh.lab.synthesis.timing import FPS
from closemesh.lab.synthesis.windows import Bodies, Window, load_bodies, make_windows
from closemesh.motion_files.sequence import NUM_JOINTS, MotionSequence


@dataclass(frozen=True)
class WorkUnitResult:
    """One unit of work: some attempts at one kind."""

    kind: str
    unit: int
    attempts: int
    """At a key pose."""
    key_poses: int
    """That were found."""
    tried: int
    """Windows made from these, good or not."""
    windows: tuple[str, ...]
    """Names of the files that were written, without folder."""
    contact_errors: tuple[float, ...]
    """Metres, the worst frame of each of those."""
    mean_contact_errors: tuple[float, ...]
    depths: tuple[float, ...]
    faults: dict[str, int]
    """What windows were rejected for, and how many."""


@dataclass(frozen=True)
class KindReport:
    """Everything of one kind. Metres."""

    kind: str
    attempts: int
    key_poses: int
    tried: int
    accepted: int
    mean_contact_error: float
    worst_contact_error: float
    deepest: float
    faults: dict[str, int]

    @property
    def rate(self) -> float:
        """Share of the windows that are good."""
        return self.accepted / max(self.tried, 1)


def save_unit(path: Path, result: WorkUnitResult) -> None:
    """Raises OutputError."""
    with atomic_file(path) as part:
        part.write_text(json.dumps(asdict(result), indent=1))


def load_unit(path: Path) -> WorkUnitResult:
    """Raises InputError when the file is damaged."""
    try:
        values = json.loads(path.read_text())
        lists = ("windows", "contact_errors", "mean_contact_errors", "depths")
        return WorkUnitResult(**{**values, **{name: tuple(values[name]) for name in lists}})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged; remove it, and the same command makes it again") from error


def report(results: Iterable[WorkUnitResult]) -> list[KindReport]:
    """What became of each kind, in the order in which the kinds first occur."""
    kinds: dict[str, list[WorkUnitResult]] = {}
    for result in results:
        kinds.setdefault(result.kind, []).append(result)
    return [_kind_report(kind, units) for kind, units in kinds.items()]


def _kind_report(kind: str, units: list[WorkUnitResult]) -> KindReport:
    means = [error for unit in units for error in unit.mean_contact_errors]
    return KindReport(
        kind=kind,
        attempts=sum(unit.attempts for unit in units),
        tried=sum(unit.tried for unit in units),
        key_poses=sum(unit.key_poses for unit in units),
        accepted=sum(len(unit.windows) for unit in units),
        mean_contact_error=sum(means) / max(len(means), 1),
        worst_contact_error=max((error for unit in units for error in unit.contact_errors), default=0.0),
        deepest=max((depth for unit in units for depth in unit.depths), default=0.0),
        faults=dict(sum((Counter(unit.faults) for unit in units), Counter())),
    )


BODY_MODEL = "closemesh_open/light"
"""The body that the anchors are vertices of; all variants of the open body share its betas."""


def write_window(path: Path, window: Window, attribution: str) -> None:
    """One window as .npz in the form of `write_pose_file`, fingers included. Raises OutputError.

    Besides that it has contact [T] (the touches are held), anchors [K, 2] (vertices of the body that meet) and touches
    [K, 2] (names of the regions that meet).
    """
    more = {
        "contact": window.contact.numpy(),
        "anchors": window.held.anchors.numpy(),
        "touches": np.array([(touch.a, touch.b) for touch in window.held.touches], dtype=str).reshape(-1, 2),
    }
    write_pose_file(path, as_sequence(path.stem, window, attribution), more)


def as_sequence(name: str, window: Window, attribution: str) -> MotionSequence:
    """The motion of a window as other motion."""
    motion = window.motion
    return MotionSequence(
        name=name,
        fps=FPS,
        rotations=motion.all_rotations().numpy(),
        pelvis=motion.pelvis.numpy(),
        valid=np.ones(motion.pelvis.shape[:2], bool),
        joint_valid=np.ones((motion.pelvis.shape[1], NUM_JOINTS), bool),
        betas=motion.betas[0].numpy(),
        body_model=BODY_MODEL,
        action=window.kind,
        synthetic=True,
        attribution=attribution,
    )


RECIPES: tuple[InteractionTemplate, ...] = (*HOLDING, *CARRYING, *BLOWS)
RECIPES_BY_NAME = {recipe.name: recipe for recipe in RECIPES}


ATTEMPTS, ATTEMPTS_APART = 8, 3
"""In a unit: key poses or changes of posture of one kind, which are solved together, and people apart."""
WINDOWS_EACH, MOST_EACH = 2, 5
"""Of a key pose, with other timing, ways, speeds and sides; more where key poses are rare, since they cost most."""


@dataclass(frozen=True)
class Assets:
    """What windows are made of."""

    sources: SourcePoses
    clips: dict[str, CapturedClip]
    walks: WalkLibrary
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


def load_materials(data: Path, split: str, device: str) -> Assets:
    """Captured motion of single people. Raises InputError when there is none, or a file is damaged."""
    sequences = read_singles(data, split)
    clips = make_clips(sequences)
    attribution = " ".join(sorted({sequence.attribution for sequence in sequences} - {""}))
    return Assets(find_source_poses(sequences), clips, WalkLibrary(clips.values()), load_bodies(), attribution, device)


def read_singles(data: Path, split: str) -> list[MotionSequence]:
    """The sequences of single people of a split, `train` or `held_out`. Raises InputError as above."""
    learn, held_out = split_motion_files(data)
    files = [path for path in (learn if split == "train" else held_out) if "pairs" not in path.relative_to(data).parts]
    sequences = [s for s in map(read_motion, files) if s.num_people == 1 and s.rest_joints is not None]
    if not sequences:
        raise InputError(f"no motion of single people with a skeleton ('offsets') in {data}; give another --data")
    return sequences


def make_unit(task: UnitTask, materials: Assets) -> WorkUnitResult:
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
    return WorkUnitResult(
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


def _attempts(kind: str, m: Assets, generator: torch.Generator) -> tuple[int, Iterator[Window]]:
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
