"""Work units of a set of windows: attempts at one kind, their log in a JSON file, their windows as motion files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.lab.datasets.registry import read_motion, split_motion_files
from closemesh.lab.synthesis.captured_clips import CapturedClip, WalkLibrary, make_clips
from closemesh.lab.synthesis.key_pose_solver import solve_key_poses
from closemesh.lab.synthesis.key_poses import SourcePoses, find_source_poses
from closemesh.lab.synthesis.non_contact_pairs import KIND as NON_CONTACT
from closemesh.lab.synthesis.non_contact_pairs import make_non_contact_window
from closemesh.lab.synthesis.quality_checks import DEFAULT_TOLERANCES
from closemesh.lab.synthesis.single_person import KINDS as POSTURE_KINDS
from closemesh.lab.synthesis.single_person import make_posture_windows
from closemesh.lab.synthesis.templates.ground import GROUND
from closemesh.lab.synthesis.templates.helping import HELPING
from closemesh.lab.synthesis.templates.holding import CARRYING, HOLDING
from closemesh.lab.synthesis.templates.schema import InteractionTemplate
from closemesh.lab.synthesis.templates.strikes import STRIKES
from closemesh.lab.synthesis.timing import FPS
from closemesh.lab.synthesis.windows import BodyVariants, Window, load_bodies, make_windows
from closemesh.motion_files.sequence import NUM_JOINTS, MotionSequence

TEMPLATES: tuple[InteractionTemplate, ...] = (*HOLDING, *CARRYING, *STRIKES, *GROUND, *HELPING)
TEMPLATES_BY_NAME = {template.name: template for template in TEMPLATES}

ATTEMPTS, NON_CONTACT_ATTEMPTS = 8, 3
"""Of a unit: key poses or posture changes, which are solved as one batch; pairs without contact."""
WINDOWS_PER_KEY_POSE, MAX_PER_KEY_POSE = 2, 5
"""Windows of a key pose; up to the maximum where few key poses were found, since these cost most."""
BODY_MODEL = "closemesh_open/light"
"""The body that the anchors are vertices of; all variants of the bundled body use the same betas."""


@dataclass(frozen=True)
class Assets:
    """Captured motion and bodies that windows are made from."""

    sources: SourcePoses
    clips: dict[str, CapturedClip]
    walks: WalkLibrary
    bodies: BodyVariants
    attribution: str
    device: str


@dataclass(frozen=True)
class WorkUnit:
    """One unit of work: the `unit`-th batch of attempts at a kind."""

    kind: str
    unit: int
    seed: list[int]
    folder: Path
    """Folder of the window files."""


@dataclass(frozen=True)
class WorkUnitResult:
    """Log of one work unit; the field names are the keys of its JSON file."""

    kind: str
    unit: int
    attempts: int
    """At a key pose."""
    key_poses: int
    """Found key poses."""
    tried: int
    """Windows made from them, accepted or not."""
    windows: tuple[str, ...]
    """Names of the written files, without folder."""
    contact_errors: tuple[float, ...]
    """Meters, maximum over the frames of each written window."""
    mean_contact_errors: tuple[float, ...]
    """Meters, mean over the frames in contact of each written window."""
    depths: tuple[float, ...]
    """Meters, maximum over the frames of each written window."""
    faults: dict[str, int]
    """Number of rejected windows by error beyond tolerance."""


@dataclass(frozen=True)
class KindReport:
    """Totals of one kind. Meters."""

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
        """Fraction of the windows that were accepted."""
        return self.accepted / max(self.tried, 1)


def load_assets(data: Path, split: str, device: str) -> Assets:
    """Captured motion of single people of a split, and bodies.

    Raises InputError when there is no such motion, or a file is damaged.
    """
    sequences = read_single_people(data, split)
    clips = make_clips(sequences)
    attribution = " ".join(sorted({sequence.attribution for sequence in sequences} - {""}))
    return Assets(find_source_poses(sequences), clips, WalkLibrary(clips.values()), load_bodies(), attribution, device)


def read_single_people(data: Path, split: str) -> list[MotionSequence]:
    """Sequences of single people with a skeleton; split is `train`, or `held_out` for the test split.

    Raises InputError when there is none, or a file is damaged.
    """
    train, test = split_motion_files(data)
    files = [path for path in (train if split == "train" else test) if "pairs" not in path.relative_to(data).parts]
    sequences = [s for s in map(read_motion, files) if s.num_people == 1 and s.rest_joints is not None]
    if not sequences:
        raise InputError(f"no motion of single people with a skeleton ('offsets') in {data}; give another --data")
    return sequences


def run_unit(task: WorkUnit, assets: Assets) -> WorkUnitResult:
    """Make the windows of a unit, write the accepted ones to its folder and return its log. Raises OutputError."""
    generator = torch.Generator().manual_seed(
        int(np.random.SeedSequence(task.seed).generate_state(1, np.uint64)[0] >> 1)
    )
    key_poses, windows = _make_windows(task.kind, assets, generator)
    tried, accepted, faults = 0, [], Counter()
    for window in windows:
        tried += 1
        if window.faults:
            faults.update(window.faults)
            continue
        name = f"{task.kind}_{task.unit:05d}_{len(accepted):02d}.npz"
        write_window(task.folder / name, window, assets.attribution)
        accepted.append((name, window))
    return WorkUnitResult(
        kind=task.kind,
        unit=task.unit,
        attempts=NON_CONTACT_ATTEMPTS if task.kind == NON_CONTACT else ATTEMPTS,
        key_poses=key_poses,
        tried=tried,
        windows=tuple(name for name, _ in accepted),
        contact_errors=tuple(float(window.errors.contact_error.max()) for _, window in accepted),
        mean_contact_errors=tuple(window.mean_contact_error for _, window in accepted),
        depths=tuple(float(window.errors.depth.max()) for _, window in accepted),
        faults=dict(faults),
    )


def _make_windows(kind: str, assets: Assets, generator: torch.Generator) -> tuple[int, Iterator[Window]]:
    """Number of found key poses, and the windows made from them, accepted or not."""
    clips, bodies = assets.clips, assets.bodies
    if kind == NON_CONTACT:
        windows = (
            make_non_contact_window(clips, bodies, generator, DEFAULT_TOLERANCES) for _ in range(NON_CONTACT_ATTEMPTS)
        )
        return NON_CONTACT_ATTEMPTS, windows
    if kind in POSTURE_KINDS:
        return make_posture_windows(kind, ATTEMPTS, assets.sources, bodies, generator, DEFAULT_TOLERANCES)
    template = TEMPLATES_BY_NAME[kind]
    key_poses = solve_key_poses(template, assets.sources, bodies.light, ATTEMPTS, generator, assets.device)
    key_poses = key_poses.where(key_poses.accepted).to("cpu")  # Contact queries run on the CPU.
    each = min(WINDOWS_PER_KEY_POSE * ATTEMPTS // max(len(key_poses), 1), MAX_PER_KEY_POSE)
    return len(key_poses), make_windows(key_poses, clips, assets.walks, bodies, generator, each=each)


def write_window(path: Path, window: Window, attribution: str) -> None:
    """Write one window as .npz in the form of `write_pose_file`, fingers included. Raises OutputError.

    Further arrays: contact [T] (contacts are held), anchors [K, 2] (vertices of the body that touch) and touches
    [K, 2] (names of the regions that touch).
    """
    constraints = window.held.constraints
    more = {
        "contact": window.contact.numpy(),
        "anchors": window.held.anchors.numpy(),
        "touches": np.array([(constraint.a, constraint.b) for constraint in constraints], dtype=str).reshape(-1, 2),
    }
    write_pose_file(path, as_sequence(path.stem, window, attribution), more)


def as_sequence(name: str, window: Window, attribution: str) -> MotionSequence:
    """The motion of a window as a MotionSequence."""
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


def write_result(path: Path, result: WorkUnitResult) -> None:
    """Write the log of a unit as JSON. Raises OutputError."""
    with atomic_file(path) as part:
        part.write_text(json.dumps(asdict(result), indent=1))


def read_result(path: Path) -> WorkUnitResult:
    """The log of a unit. Raises InputError when the file is damaged."""
    try:
        values = json.loads(path.read_text())
        lists = ("windows", "contact_errors", "mean_contact_errors", "depths")
        return WorkUnitResult(**{**values, **{name: tuple(values[name]) for name in lists}})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged; remove it, and repeat the command to make it again") from error


def report_by_kind(results: Iterable[WorkUnitResult]) -> list[KindReport]:
    """Totals of each kind, in the order in which the kinds first occur."""
    kinds: dict[str, list[WorkUnitResult]] = {}
    for result in results:
        kinds.setdefault(result.kind, []).append(result)
    return [_report_kind(kind, units) for kind, units in kinds.items()]


def _report_kind(kind: str, units: list[WorkUnitResult]) -> KindReport:
    means = [error for unit in units for error in unit.mean_contact_errors]
    return KindReport(
        kind=kind,
        attempts=sum(unit.attempts for unit in units),
        key_poses=sum(unit.key_poses for unit in units),
        tried=sum(unit.tried for unit in units),
        accepted=sum(len(unit.windows) for unit in units),
        mean_contact_error=sum(means) / max(len(means), 1),
        worst_contact_error=max((error for unit in units for error in unit.contact_errors), default=0.0),
        deepest=max((depth for unit in units for depth in unit.depths), default=0.0),
        faults=dict(sum((Counter(unit.faults) for unit in units), Counter())),
    )
