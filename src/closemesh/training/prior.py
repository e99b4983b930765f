"""Trains the denoiser of the interaction prior on first motions and their truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.progress import Progress
from closemesh.proxemics.denoiser import CONDITIONS, Denoiser, DenoiserConfig
from closemesh.proxemics.loss import NUM_JOINTS, LossWeights, motion_loss
from closemesh.proxemics.sampler import Sampler, sample
from closemesh.proxemics.schedule import TRAIN_STEPS, Schedule, add_noise, cosine_schedule
from closemesh.proxemics.state import PairState, pack, pack_spread, unpack
from closemesh.proxemics.windows import (
    PairBody,
    by_window,
    constant_conditions,
    estimate_conditions,
    pose_pair,
)
from closemesh.training.lessons import Lesson, draw_lesson
from closemesh.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.training.masking import hide, random_hidden, tell_touching
from closemesh.training.starts import Starts

_FARTHEST = 8.0  # Spreads from the first motion; a truth farther away is taken to be there.
CHECK_BATCHES = 8
_GAP = slice(4, 12)  # Frames of a window that are hidden to see how they are filled in.
_NEAR = 0.3  # Metres between the nearest joints of two people who are close.


@dataclass(frozen=True)
class PriorTraining:
    """How the denoiser is trained."""

    network: DenoiserConfig = field(default_factory=DenoiserConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    loss: LossWeights = field(default_factory=LossWeights)
    batch: int = 256
    hide_frames: float = 0.2
    """Share of windows in which frames of both people are hidden."""
    hide_person: float = 0.1
    """Share of windows in which one of the two is hidden."""
    drop_condition: float = 0.1
    """Share of windows in which a condition is not told."""
    tell_touching: float = 0.25
    """Share of windows in which it is said which parts touch."""
    alone: float = 0.05
    """Share of windows in which nobody has a partner."""
    first_guess: float = 0.5
    """Share of steps in which the network sees its own first guess, as it does in sampling, not the first motion."""
    seed: int = 0


def train_denoiser(
    learn: Starts,
    check: Starts,
    body: PairBody,
    folder: Path,
    config: PriorTraining,
    device: torch.device,
    progress: Progress,
    resume: bool = True,
    first: Denoiser | None = None,
) -> tuple[Denoiser, dict[str, float]]:
    """The denoiser, and its figures on the first motions of `check`, which it has not learned from.

    It begins with the weights of `first`, else with random ones.
    """
    torch.manual_seed(config.seed)
    schedule = cosine_schedule().to(device)
    trainer = Trainer(first or Denoiser(config.network), config.loop, folder, device)
    generator = torch.Generator(device).manual_seed(config.seed + 1)

    def loss(forward: Forward, step: int) -> Losses:
        lesson = draw_lesson(learn, config.batch, generator)
        hidden = random_hidden(config.batch, config.hide_frames, config.hide_person, generator, device)
        guesses = (step * 0.618034) % 1 < config.first_guess
        lesson = tell_touching(hide(lesson, hidden), config.tell_touching, generator)
        predicted, lesson = _predict(forward, schedule, body, lesson, config, guesses, generator)
        everybody = torch.ones_like(lesson.windows.hidden)
        return motion_loss(body, predicted, lesson.truth, lesson.known, everybody, config.loss)

    def evaluate(network: nn.Module) -> dict[str, float]:
        assert isinstance(network, Denoiser)
        return figures(Sampler(network.eval(), schedule, body), check, config.batch)

    denoiser = trainer.run(loss, progress, evaluate, resume)
    assert isinstance(denoiser, Denoiser)
    return denoiser, evaluate(denoiser)


def _predict(
    forward: Forward,
    schedule: Schedule,
    body: PairBody,
    lesson: Lesson,
    config: PriorTraining,
    guesses: bool,
    generator: torch.Generator,
) -> tuple[PairState, Lesson]:
    """x0 predicted from the noised truth at a random step, and the lesson as it was told.

    guesses: the network sees its own first guess.
    """
    device = lesson.known.device

    def rand() -> Tensor:
        return torch.rand(len(lesson.known), generator=generator, device=device)

    windows = replace(lesson.windows, alone=rand() < config.alone)
    mean, spread = pack(windows.mean), pack_spread(windows.spread)
    x0 = ((pack(lesson.truth) - mean) / spread).clamp(-_FARTHEST, _FARTHEST)
    t = (rand() * TRAIN_STEPS).long()
    noise = torch.randn(x0.shape, generator=generator, device=device)
    x_t = add_noise(schedule, x0, noise, t)
    fixed = constant_conditions(windows)

    def tell(estimate: PairState) -> PairState:
        told = fixed | estimate_conditions(windows, estimate, body)
        told = {name: (values, known & kept[name]) for name, (values, known) in told.items()}
        x = forward(x_t, mean, t, windows.times, told, windows.hidden, windows.alone)
        return unpack(mean + spread * x)

    kept = {name: (rand() >= config.drop_condition)[:, None, None] for name in CONDITIONS}
    estimate = windows.mean
    if guesses:
        with torch.no_grad():
            estimate = tell(estimate)
    return tell(estimate), replace(lesson, windows=windows)


@torch.no_grad()
def figures(sampler: Sampler, check: Starts, batch: int) -> dict[str, float]:
    """Mean errors in mm before and after: joints about the pelvis, distances between people, those of close ones.

    `gap_straight` and `gap_filled` are of the joints in the middle of windows in which one person is hidden there.
    """
    rows: list[dict[str, float]] = []
    for lesson in _check_lessons(check, batch):
        windows = replace(lesson.windows, touching=None)
        refined = sample(sampler, windows, [])
        noise = torch.randn(pack(refined).shape, generator=_generator(check), device=check.times.device)
        states = {
            "first": windows.mean,
            "refined": refined,
            "refined_from_noise": sample(sampler, windows, [], noise),
            "refined_and_told": sample(sampler, lesson.windows, []),
        }
        truth = _joints(sampler.body, lesson.truth)
        rows.append(
            {
                f"{name}_{what}_mm": value
                for name, state in states.items()
                for what, value in _errors(_joints(sampler.body, state), truth).items()
            }
            | _gap_errors(sampler, lesson, truth)
        )
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _gap_errors(sampler: Sampler, lesson: Lesson, truth: Tensor) -> dict[str, float]:
    """Of joints of a person hidden in _GAP, on the straight way between the frames around it and filled in."""
    hidden = torch.zeros_like(lesson.windows.hidden)
    hidden[:, _GAP, 1] = True
    windows = replace(hide(lesson, hidden).windows, touching=None)
    states = {"gap_straight_mm": windows.mean, "gap_filled_mm": sample(sampler, windows, [])}
    return {
        name: _joint_error(_joints(sampler.body, state)[:, _GAP, 1:], truth[:, _GAP, 1:])
        for name, state in states.items()
    }


def _errors(joints: Tensor, truth: Tensor) -> dict[str, float]:
    """Of joints [B, T, 2, 22, 3] in metres."""
    apart, true_apart = (torch.cdist(j[:, :, 0], j[:, :, 1]) for j in (joints, truth))
    between = (apart - true_apart).abs().mean((-1, -2))  # [B, T]
    close = true_apart.amin((-1, -2)) < _NEAR
    return {
        "joints": _joint_error(joints, truth),
        "between": 1000 * float(between.mean()),
        "between_close": 1000 * float((between * close).sum() / close.sum().clamp(min=1)),
    }


def _joint_error(joints: Tensor, truth: Tensor) -> float:
    """Millimetres about the pelvis, of joints [..., 22, 3] in metres."""
    centred = (joints - joints[..., :1, :]) - (truth - truth[..., :1, :])
    return 1000 * float(centred.norm(dim=-1).mean())


def _check_lessons(check: Starts, batch: int) -> Iterator[Lesson]:
    generator = _generator(check)
    return (draw_lesson(check, batch, generator) for _ in range(CHECK_BATCHES))


def _generator(check: Starts) -> torch.Generator:
    return torch.Generator(check.times.device).manual_seed(0)


def _joints(body: PairBody, state: PairState) -> Tensor:
    return by_window(pose_pair(body, state).joints[..., :NUM_JOINTS, :])
