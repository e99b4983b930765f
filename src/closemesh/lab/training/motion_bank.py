"""MotionDataset, sampling.

All motion to learn from, in one place on one device, and random windows of it.

All motion that there is to learn from, apart from what is held out, and what training checks itself on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.body.skeleton import JOINT_NAMES, other_side
from closemesh.core.errors import InputError
from closemesh.core.progress import Progress
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_6d, matrix_to_axis_angle, rotation_6d_to_matrix
from closemesh.lab.datasets.registry import find_motions, read_motion, split_motion_files
from closemesh.motion_files.sequence import MotionSequence
from closemesh.structures import NUM_BODY_JOINTS
from closemesh.temporal import find_runs

SHAPE_SPREAD = 0.8  # Standard deviations of the betas of random people; the open body's betas have 1.
SPEED_RANGE = (0.8, 1.25)
FPS_RANGE = (15.0, 30.0)
_MIRROR = [JOINT_NAMES.index(other_side(name)) for name in JOINT_NAMES[:NUM_BODY_JOINTS]]


@dataclass(frozen=True)
class MotionDataset:
    """N frames of C runs of P people, one run after the other."""

    poses: Tensor  # [N, P, 22, 3] axis-angle
    pelvis: Tensor  # [N, P, 3] metres, world
    start: Tensor  # [C] first frame of each run
    length: Tensor  # [C] frames
    fps: Tensor  # [C]
    known: Tensor  # [C, P, 22] joints whose rotation was measured
    betas: Tensor  # [C, P, B]; nan where the data has no shape for the body that is learned on
    weight: Tensor  # [C] how often a window is drawn from it

    def to(self, device: torch.device | str) -> MotionDataset:
        return MotionDataset(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @property
    def seconds(self) -> float:
        return float((self.length / self.fps).sum())


@dataclass(frozen=True)
class MotionBatch:
    """B windows of T frames of P people, world frame."""

    rotations: Tensor  # [B, T, P, 22, 3, 3]
    pelvis: Tensor  # [B, T, P, 3] metres
    betas: Tensor  # [B, P, num_betas]
    known: Tensor  # [B, P, 22] bool
    times: Tensor  # [T] seconds, the same for all windows


def make_bank(sequences: Sequence[MotionSequence], people: int, body_model: str, num_betas: int = 10) -> MotionDataset:
    """The runs of at least half a second in which all `people` of a sequence are valid.

    Runs count by the square root of their length, so that long walks do not drown the rest.
    """
    runs = [run for sequence in sequences if sequence.num_people == people for run in _valid_runs(sequence)]
    if not runs:
        return _empty_bank(people, num_betas)
    poses = [_axis_angles(run) for run in runs]
    length = torch.tensor([len(run) for run in runs])
    return MotionDataset(
        poses=torch.cat(poses),
        pelvis=torch.cat([torch.as_tensor(run.pelvis, dtype=torch.float32) for run in runs]),
        start=length.cumsum(0) - length,
        length=length,
        fps=torch.tensor([run.fps for run in runs], dtype=torch.float32),
        known=torch.as_tensor(np.stack([run.joint_valid[:, :NUM_BODY_JOINTS] for run in runs])),
        betas=torch.stack([_betas(run, body_model, num_betas) for run in runs]),
        weight=(length / torch.tensor([run.fps for run in runs])).sqrt(),
    )


def draw_windows(bank: MotionDataset, count: int, frames: int, fps: float, generator: torch.Generator) -> MotionBatch:
    """Random windows at `fps`: mirrored or not, a little faster or slower; people without a shape get a random one."""
    device = bank.poses.device
    run = torch.multinomial(bank.weight.cpu(), count, replacement=True, generator=_cpu(generator)).to(device)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, device=device)

    speed = uniform(*SPEED_RANGE)
    step = speed * bank.fps[run] / fps  # Frames of the file for one of the window.
    room = (bank.length[run] - 1 - step * (frames - 1)).clamp(min=0)
    place = (uniform(0, 1) * room)[:, None] + step[:, None] * torch.arange(frames, device=device)  # [B, T]
    place = torch.minimum(place, (bank.length[run] - 1)[:, None].float())
    rotations, pelvis = _interpolate(bank, bank.start[run][:, None] + place.floor().long(), place.frac())
    betas = bank.betas[run]
    drawn = SHAPE_SPREAD * torch.randn(betas.shape, generator=generator, device=device)
    batch = MotionBatch(
        rotations=rotations,
        pelvis=pelvis,
        betas=torch.where(betas.isnan(), drawn, betas),
        known=bank.known[run],
        times=torch.arange(frames, device=device) / fps,
    )
    return _mirror(batch, uniform(0, 1) < 0.5)


def side_by_side(singles: MotionBatch, generator: torch.Generator, apart: tuple[float, float]) -> MotionBatch:
    """Pairs of two single people each, whose pelvises are `apart` metres from each other on average, any way turned."""
    a, b = (
        MotionBatch(**{f.name: _half(getattr(singles, f.name), k, f.name) for f in fields(singles)}) for k in (0, 1)
    )
    count, device = len(a.pelvis), a.pelvis.device
    angle = 2 * math.pi * torch.rand(count, generator=generator, device=device)
    distance = apart[0] + (apart[1] - apart[0]) * torch.rand(count, generator=generator, device=device)
    shift = torch.stack([angle.cos() * distance, torch.zeros_like(angle), angle.sin() * distance], dim=-1)
    between = a.pelvis.mean((1, 2)) - b.pelvis.mean((1, 2))
    between[:, 1] = 0
    moved = b.pelvis + (between + shift)[:, None, None]
    return MotionBatch(
        rotations=torch.cat([a.rotations, b.rotations], dim=2),
        pelvis=torch.cat([a.pelvis, moved], dim=2),
        betas=torch.cat([a.betas, b.betas], dim=1),
        known=torch.cat([a.known, b.known], dim=1),
        times=a.times,
    )


def join_batches(batches: Sequence[MotionBatch]) -> MotionBatch:
    """All windows of several batches with the same frames and people."""
    joined = {
        f.name: torch.cat([getattr(batch, f.name) for batch in batches])
        for f in fields(MotionBatch)
        if f.name != "times"
    }
    return MotionBatch(**joined, times=batches[0].times)


def _interpolate(bank: MotionDataset, frame: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [B, T, P, 22, 3, 3] and pelvis [B, T, P, 3] between frames [B, T] and the ones after."""
    after = (frame + 1).clamp(max=len(bank.poses) - 1)
    share = share[..., None, None]
    pelvis = torch.lerp(bank.pelvis[frame], bank.pelvis[after], share)
    now, then = (matrix_to_6d(axis_angle_to_matrix(bank.poses[index])) for index in (frame, after))
    return rotation_6d_to_matrix(torch.lerp(now, then, share[..., None])), pelvis


def _mirror(batch: MotionBatch, chosen: Tensor) -> MotionBatch:
    """The `chosen` [B] windows seen in a mirror: sides swapped, x turned round."""
    flip = torch.tensor([-1.0, 1.0, 1.0], device=chosen.device)
    rotations = flip[:, None] * batch.rotations[..., _MIRROR, :, :] * flip
    which = chosen[:, None, None]
    return MotionBatch(
        rotations=torch.where(which[..., None, None, None], rotations, batch.rotations),
        pelvis=torch.where(which[..., None], batch.pelvis * flip, batch.pelvis),
        betas=batch.betas,
        known=torch.where(which, batch.known[..., _MIRROR], batch.known),
        times=batch.times,
    )


def _valid_runs(sequence: MotionSequence) -> list[MotionSequence]:
    valid = sequence.valid.all(1)
    return [sequence.frames(run) for run in find_runs(valid) if run.stop - run.start >= sequence.fps / 2]


def _axis_angles(run: MotionSequence) -> Tensor:
    matrices = torch.as_tensor(run.rotations[:, :, :NUM_BODY_JOINTS], dtype=torch.float64)
    return matrix_to_axis_angle(matrices).float()


def _betas(run: MotionSequence, body_model: str, num_betas: int) -> Tensor:
    if run.betas is None or run.body_model != body_model:
        return torch.full((run.num_people, num_betas), torch.nan)
    return torch.as_tensor(run.betas, dtype=torch.float32)


def _empty_bank(people: int, num_betas: int) -> MotionDataset:
    nothing = torch.zeros(0, dtype=torch.long)
    return MotionDataset(
        poses=torch.zeros(0, people, NUM_BODY_JOINTS, 3),
        pelvis=torch.zeros(0, people, 3),
        start=nothing,
        length=nothing,
        fps=torch.zeros(0),
        known=torch.zeros(0, people, NUM_BODY_JOINTS, dtype=torch.bool),
        betas=torch.zeros(0, people, num_betas),
        weight=torch.zeros(0),
    )


def _half(tensor: Tensor, which: int, name: str) -> Tensor:
    return tensor if name == "times" else tensor[which::2]


def _cpu(generator: torch.Generator) -> torch.Generator:
    """A generator on the CPU that follows from the one given, for what only the CPU draws the same everywhere."""
    seed = torch.randint(2**31, (1,), generator=generator, device=generator.device)
    return torch.Generator().manual_seed(int(seed))


@dataclass(frozen=True)
class MotionDatasets:
    """What windows are drawn from."""

    singles: MotionDataset
    pairs: MotionDataset
    interactions: MotionDataset

    def to(self, device: torch.device | str) -> MotionDatasets:
        return MotionDatasets(self.singles.to(device), self.pairs.to(device), self.interactions.to(device))


CHECK_EVERY = 12  # Of the files to learn from, each so-and-so-many-th is kept back to watch and calibrate training.
BODY_MODEL = "closemesh_open/light"  # All variants of the open body share its betas.


def load_banks(data: Path, interactions: Path | None, progress: Progress) -> tuple[MotionDatasets, MotionDatasets]:
    """Motion to learn from and motion to check on: captured files below `data`, generated ones below `interactions`.

    Nothing that is held out for the benchmark is in either. Raises InputError when there is nothing to learn from.
    """
    files, _ = split_motion_files(data)
    generated = find_motions(interactions) if interactions else []
    with progress.task("reading motion", len(files) + len(generated)) as advance:
        captured = [_read(file, advance) for file in files]
        made = [_read(file, advance) for file in generated]
    if not captured:
        raise InputError(f"no motion found below {data}; README.md tells which files can be read")
    return _banks(captured, made, check=False), _banks(captured, made, check=True)


def _read(file: Path, advance) -> MotionSequence:
    advance(1)
    return read_motion(file)


def _banks(captured: list[MotionSequence], made: list[MotionSequence], check: bool) -> MotionDatasets:
    def chosen(sequences: list[MotionSequence], people: int) -> list[MotionSequence]:
        of_people = [s for s in sequences if s.num_people == people]
        # At least one of each to check on, however few there are.
        kept = [k % min(CHECK_EVERY, max(len(of_people), 2)) == 1 for k in range(len(of_people))]
        return [s for s, is_check in zip(of_people, kept, strict=True) if is_check == check]

    return MotionDatasets(
        singles=make_bank(chosen(captured, 1) + chosen(made, 1), 1, BODY_MODEL),
        pairs=make_bank(chosen(captured, 2), 2, BODY_MODEL),
        interactions=make_bank(chosen(made, 2), 2, BODY_MODEL),
    )
