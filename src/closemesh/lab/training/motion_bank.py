"""All motion for training on one device, split into training and validation, and random windows of it."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_NAMES, other_side
from closemesh.core.errors import InputError
from closemesh.core.progress import Advance, Progress
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_6d, matrix_to_axis_angle, rotation_6d_to_matrix
from closemesh.lab.datasets.registry import is_test_kind, read_motion, split_motion_files
from closemesh.motion_files.sequence import MotionSequence
from closemesh.structures import NUM_BODY_JOINTS
from closemesh.temporal import find_runs

BODY_MODEL = "closemesh_open/light"  # All variants of the bundled body have the same betas.
CHECK_EVERY = 12  # One file in so many, with its family, is left out of training for validation and calibration.
LARGEST_FAMILY = 0.2  # Fraction of the validation files that one family may be.
RANDOM_BETAS_STD = 0.8  # Standard deviation for random people; the bundled body's betas have 1.
SPEED_RANGE = (0.8, 1.25)
FPS_RANGE = (15.0, 30.0)
_MIRROR = [JOINT_NAMES.index(other_side(name)) for name in JOINT_NAMES[:NUM_BODY_JOINTS]]


@dataclass(frozen=True)
class MotionDataset(TensorDataclass):
    """N frames of C runs of P people, one run after the other."""

    poses: Tensor  # [N, P, 22, 3] axis-angle
    pelvis: Tensor  # [N, P, 3] meters, world
    start: Tensor  # [C] first frame of each run
    length: Tensor  # [C] frames
    fps: Tensor  # [C]
    joint_valid: Tensor  # [C, P, 22] bool: the rotation was measured
    betas: Tensor  # [C, P, B]; nan where the data has no shape of the body in training
    weight: Tensor  # [C] relative frequency of windows of each run

    @property
    def seconds(self) -> float:
        """Duration of all runs."""
        return float((self.length / self.fps).sum())


@dataclass(frozen=True)
class MotionBatch(TensorDataclass):
    """B windows of T frames of P people, world frame."""

    rotations: Tensor  # [B, T, P, 22, 3, 3]
    pelvis: Tensor  # [B, T, P, 3] meters
    betas: Tensor  # [B, P, num_betas]
    joint_valid: Tensor  # [B, P, 22] bool
    times: Tensor  # [T] seconds, the same for all windows


def make_dataset(
    sequences: Sequence[MotionSequence], people: int, body_model: str, num_betas: int = 10
) -> MotionDataset:
    """The runs of at least half a second in which all `people` of a sequence are valid.

    Runs count by the square root of their length, so that long walks do not dominate.
    """
    runs = [run for sequence in sequences if sequence.num_people == people for run in _valid_runs(sequence)]
    if not runs:
        return _empty_dataset(people, num_betas)
    poses = [_axis_angles(run) for run in runs]
    length = torch.tensor([len(run) for run in runs])
    return MotionDataset(
        poses=torch.cat(poses),
        pelvis=torch.cat([torch.as_tensor(run.pelvis, dtype=torch.float32) for run in runs]),
        start=length.cumsum(0) - length,
        length=length,
        fps=torch.tensor([run.fps for run in runs], dtype=torch.float32),
        joint_valid=torch.as_tensor(np.stack([run.joint_valid[:, :NUM_BODY_JOINTS] for run in runs])),
        betas=torch.stack([_betas(run, body_model, num_betas) for run in runs]),
        weight=(length / torch.tensor([run.fps for run in runs])).sqrt(),
    )


def sample_windows(
    dataset: MotionDataset, count: int, frames: int, fps: float, generator: torch.Generator
) -> MotionBatch:
    """Random windows at `fps`: mirrored or not, a little faster or slower; people without a shape get a random one."""
    device = dataset.poses.device
    run = torch.multinomial(dataset.weight.cpu(), count, replacement=True, generator=_cpu(generator)).to(device)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, device=device)

    speed = uniform(*SPEED_RANGE)
    step = speed * dataset.fps[run] / fps  # Frames of the file for one of the window.
    room = (dataset.length[run] - 1 - step * (frames - 1)).clamp(min=0)
    place = (uniform(0, 1) * room)[:, None] + step[:, None] * torch.arange(frames, device=device)  # [B, T]
    place = torch.minimum(place, (dataset.length[run] - 1)[:, None].float())
    rotations, pelvis = _interpolate(dataset, dataset.start[run][:, None] + place.floor().long(), place.frac())
    betas = dataset.betas[run]
    random_betas = RANDOM_BETAS_STD * torch.randn(betas.shape, generator=generator, device=device)
    batch = MotionBatch(
        rotations=rotations,
        pelvis=pelvis,
        betas=torch.where(betas.isnan(), random_betas, betas),
        joint_valid=dataset.joint_valid[run],
        times=torch.arange(frames, device=device) / fps,
    )
    return _mirror(batch, uniform(0, 1) < 0.5)


def side_by_side(singles: MotionBatch, generator: torch.Generator, distance: tuple[float, float]) -> MotionBatch:
    """Pairs of two single people each, in any direction from each other.

    distance: range in meters of the mean distance of their pelvises.
    """
    a, b = (replace(singles.map(lambda t, k=k: t[k::2]), times=singles.times) for k in (0, 1))
    count, device = len(a.pelvis), a.pelvis.device
    angle = 2 * math.pi * torch.rand(count, generator=generator, device=device)
    meters = distance[0] + (distance[1] - distance[0]) * torch.rand(count, generator=generator, device=device)
    shift = torch.stack([angle.cos() * meters, torch.zeros_like(angle), angle.sin() * meters], dim=-1)
    between = a.pelvis.mean((1, 2)) - b.pelvis.mean((1, 2))
    between[:, 1] = 0
    moved = b.pelvis + (between + shift)[:, None, None]
    return MotionBatch(
        rotations=torch.cat([a.rotations, b.rotations], dim=2),
        pelvis=torch.cat([a.pelvis, moved], dim=2),
        betas=torch.cat([a.betas, b.betas], dim=1),
        joint_valid=torch.cat([a.joint_valid, b.joint_valid], dim=1),
        times=a.times,
    )


def join_batches(batches: Sequence[MotionBatch]) -> MotionBatch:
    """All windows of several batches with the same frames and people."""
    joined = batches[0].combine(batches[1:], lambda *tensors: torch.cat(tensors))
    return replace(joined, times=batches[0].times)


def _interpolate(dataset: MotionDataset, frame: Tensor, fraction: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [B, T, P, 22, 3, 3] and pelvis [B, T, P, 3] between frames [B, T] and the following ones."""
    after = (frame + 1).clamp(max=len(dataset.poses) - 1)
    fraction = fraction[..., None, None]
    pelvis = torch.lerp(dataset.pelvis[frame], dataset.pelvis[after], fraction)
    before, following = (matrix_to_6d(axis_angle_to_matrix(dataset.poses[index])) for index in (frame, after))
    return rotation_6d_to_matrix(torch.lerp(before, following, fraction[..., None])), pelvis


def _mirror(batch: MotionBatch, chosen: Tensor) -> MotionBatch:
    """The `chosen` [B] windows mirrored: sides swapped, x negated."""
    flip = torch.tensor([-1.0, 1.0, 1.0], device=chosen.device)
    rotations = flip[:, None] * batch.rotations[..., _MIRROR, :, :] * flip
    which = chosen[:, None, None]
    return MotionBatch(
        rotations=torch.where(which[..., None, None, None], rotations, batch.rotations),
        pelvis=torch.where(which[..., None], batch.pelvis * flip, batch.pelvis),
        betas=batch.betas,
        joint_valid=torch.where(which, batch.joint_valid[..., _MIRROR], batch.joint_valid),
        times=batch.times,
    )


def _valid_runs(sequence: MotionSequence) -> list[MotionSequence]:
    valid = np.asarray(sequence.valid.all(1))
    return [sequence.frames(run) for run in find_runs(valid) if run.stop - run.start >= sequence.fps / 2]


def _axis_angles(run: MotionSequence) -> Tensor:
    matrices = torch.as_tensor(run.rotations[:, :, :NUM_BODY_JOINTS], dtype=torch.float64)
    return matrix_to_axis_angle(matrices).float()


def _betas(run: MotionSequence, body_model: str, num_betas: int) -> Tensor:
    if run.betas is None or run.body_model != body_model:
        return torch.full((run.num_people, num_betas), torch.nan)
    return torch.as_tensor(run.betas, dtype=torch.float32)


def _empty_dataset(people: int, num_betas: int) -> MotionDataset:
    nothing = torch.zeros(0, dtype=torch.long)
    return MotionDataset(
        poses=torch.zeros(0, people, NUM_BODY_JOINTS, 3),
        pelvis=torch.zeros(0, people, 3),
        start=nothing,
        length=nothing,
        fps=torch.zeros(0),
        joint_valid=torch.zeros(0, people, NUM_BODY_JOINTS, dtype=torch.bool),
        betas=torch.zeros(0, people, num_betas),
        weight=torch.zeros(0),
    )


def _cpu(generator: torch.Generator) -> torch.Generator:
    """A generator on the CPU seeded by the given one, for draws that are the same everywhere only on the CPU."""
    seed = torch.randint(2**31, (1,), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(seed))


@dataclass(frozen=True)
class MotionDatasets(TensorDataclass):
    """The motion that windows are sampled from."""

    singles: MotionDataset
    pairs: MotionDataset
    interactions: MotionDataset


def load_datasets(data: Path, interactions: Path | None, progress: Progress) -> tuple[MotionDatasets, MotionDatasets]:
    """Motion for training and for validation: captured files below `data`, generated ones below `interactions`.

    The test split of the benchmark is in neither, nor are windows of its kinds (`TEST_KINDS`). Raises InputError when
    there is no motion.
    """
    files, _ = split_motion_files(data)
    generated_files, _ = split_motion_files(interactions) if interactions else ([], [])
    with progress.task("reading motion", len(files) + len(generated_files)) as advance:
        captured, generated = (
            [motion for file in part if not is_test_kind(motion := _read(file, advance))]
            for part in (files, generated_files)
        )
    if not captured:
        raise InputError(f"no motion found below {data}; docs/training.md lists the files that can be read")
    return _split(captured, generated, validation=False), _split(captured, generated, validation=True)


def _read(file: Path, advance: Advance) -> MotionSequence:
    advance(1)
    return read_motion(file)


def _split(captured: list[MotionSequence], generated: list[MotionSequence], validation: bool) -> MotionDatasets:
    def choose(sequences: list[MotionSequence], people: int) -> list[MotionSequence]:
        matching = [sequence for sequence in sequences if sequence.num_people == people]
        checked = validation_files([sequence.name for sequence in matching])
        return [sequence for k, sequence in enumerate(matching) if (k in checked) == validation]

    return MotionDatasets(
        singles=make_dataset(choose(captured, 1) + choose(generated, 1), 1, BODY_MODEL),
        pairs=make_dataset(choose(captured, 2), 2, BODY_MODEL),
        interactions=make_dataset(choose(generated, 2), 2, BODY_MODEL),
    )


def validation_files(names: Sequence[str]) -> set[int]:
    """Indices of the files for validation: whole families, one file in CHECK_EVERY in all, at least one of several.

    Windows of one work unit are a family, since they share key poses; so are the clips of one subject or series. Large
    families stay in training, so that several kinds are checked.
    """
    families: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        families.setdefault(family_of(name), []).append(index)
    if len(families) == 1:  # One couple only: whole clips are the best separation that there is.
        families = {name: [index] for index, name in enumerate(names)}
    room = len(names) / CHECK_EVERY
    chosen: set[int] = set()
    for family in sorted(families, key=lambda name: zlib.crc32(name.encode())):
        size = len(families[family])
        if size <= max(room * LARGEST_FAMILY, 1) and len(chosen) + size <= room:
            chosen.update(families[family])
    return chosen or set(min(families.values(), key=len) if len(families) > 1 else ())


def family_of(name: str) -> str:
    """The name without its last number: KIND_UNIT of a window, SUBJECT of a clip, whichever part of CMU it was in."""
    return re.sub(r"_(?:test|train)__", "__", re.sub(r"[_-]?\d+$", "", name))
