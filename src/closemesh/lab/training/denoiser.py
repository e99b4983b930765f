"""Denoiser, its loss.

What the denoiser is trained on: the decoded x0 in rotations, joints, speeds and distances between people.

Trains the denoiser of the interaction prior on first motions and their truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.body.landmarks import PosedLandmarks
from closemesh.core.progress import Progress
from closemesh.interaction_prior.diffusion import (
    CONDITIONS,
    TRAIN_STEPS,
    Denoiser,
    DenoiserConfig,
    Sampler,
    Schedule,
    add_noise,
    cosine_schedule,
    sample,
)
from closemesh.interaction_prior.state import PairState, pack, pack_spread, unpack
from closemesh.interaction_prior.windows import PairBody, by_window, constant_conditions, estimate_conditions, pose_pair
from closemesh.lab.training.denoiser_examples import (
    TrainingExample,
    mask_frames,
    random_hidden,
    sample_examples,
    tell_touching,
)
from closemesh.lab.training.initial_motions import InitialMotions
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer

NUM_JOINTS = 22


@dataclass(frozen=True)
class LossWeights:
    """How much each part counts (CloseInt's table; velocities from frame to frame, and distances between people)."""

    pose: float = 1.0
    shape: float = 0.02
    joints: float = 10.0
    place: float = 4.0
    velocity: float = 10.0
    interaction: float = 10.0


def motion_loss(
    body: PairBody,
    predicted: PairState,
    truth: PairState,
    known: Tensor,
    present: Tensor,
    weights: LossWeights,
    fade: float = 0.1,
) -> dict[str, Tensor]:
    """Weighted mean of each term; known [B, 2, 22] joints that the data tells, present [B, T, 2] bool.

    Distances count by how near the joints are to the partner's: `fade` metres is where closeness counts double.
    """
    joints, true_joints = _joints(pose_pair(body, predicted)), _joints(pose_pair(body, truth))
    moved = (known[:, None] & present[..., None]).float()  # [B, T, 2, 22]
    rotation = (predicted.rotations - truth.rotations).square().sum((-1, -2))
    centred, true_centred = joints - joints[..., :1, :], true_joints - true_joints[..., :1, :]
    here = present[..., None].float()
    pairs = (present[:, 1:] & present[:, :-1])[..., None].float()
    speed = (centred[:, 1:] - centred[:, :-1]) - (true_centred[:, 1:] - true_centred[:, :-1])
    root_speed = (joints[:, 1:, :, :1] - joints[:, :-1, :, :1]) - (
        true_joints[:, 1:, :, :1] - true_joints[:, :-1, :, :1]
    )
    both = present.all(-1)[..., None, None].float()  # [B, T, 1, 1]
    apart, true_apart = (_apart(j[:, :, 0], j[:, :, 1]) for j in (joints, true_joints))  # [B, T, 22, 22]
    nearness = both * (1 + torch.exp(-true_apart / (5 * fade)) * 4)
    return {
        "pose": weights.pose * _mean(rotation, moved),
        "shape": weights.shape * _mean((predicted.betas - truth.betas).square().sum(-1), present.float()),
        "joints": weights.joints * _mean((centred - true_centred).norm(dim=-1), here.expand_as(centred[..., 0])),
        "place": weights.place * _mean((joints[..., 0, :] - true_joints[..., 0, :]).norm(dim=-1), present.float()),
        "velocity": weights.velocity
        * (_mean(speed.norm(dim=-1), pairs.expand_as(speed[..., 0])) + _mean(root_speed.norm(dim=-1), pairs)),
        "interaction": weights.interaction * _mean((apart - true_apart).abs(), nearness.expand_as(apart)),
    }


def _joints(posed: PosedLandmarks) -> Tensor:
    """[B, T, 2, 22, 3]."""
    return by_window(posed.joints[..., :NUM_JOINTS, :])


def _apart(a: Tensor, b: Tensor) -> Tensor:
    """As torch.cdist, which on a GPU is slow for so few points."""
    return (a[..., :, None, :] - b[..., None, :, :]).norm(dim=-1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)


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
    learn: InitialMotions,
    check: InitialMotions,
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
        lesson = sample_examples(learn, config.batch, generator)
        hidden = random_hidden(config.batch, config.hide_frames, config.hide_person, generator, device)
        guesses = (step * 0.618034) % 1 < config.first_guess
        lesson = tell_touching(mask_frames(lesson, hidden), config.tell_touching, generator)
        predicted, lesson = _predict(forward, schedule, body, lesson, config, guesses, generator)
        everybody = torch.ones_like(lesson.windows.hidden)
        return motion_loss(body, predicted, lesson.truth, lesson.known, everybody, config.loss)

    def evaluate(network: nn.Module) -> dict[str, float]:
        assert isinstance(network, Denoiser)
        return denoiser_metrics(Sampler(network.eval(), schedule, body), check, config.batch)

    denoiser = trainer.run(loss, progress, evaluate, resume)
    assert isinstance(denoiser, Denoiser)
    return denoiser, evaluate(denoiser)


def _predict(
    forward: Forward,
    schedule: Schedule,
    body: PairBody,
    lesson: TrainingExample,
    config: PriorTraining,
    guesses: bool,
    generator: torch.Generator,
) -> tuple[PairState, TrainingExample]:
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
def denoiser_metrics(sampler: Sampler, check: InitialMotions, batch: int) -> dict[str, float]:
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
        truth = _state_joints(sampler.body, lesson.truth)
        rows.append(
            {
                f"{name}_{what}_mm": value
                for name, state in states.items()
                for what, value in _errors(_state_joints(sampler.body, state), truth).items()
            }
            | _gap_errors(sampler, lesson, truth)
        )
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _gap_errors(sampler: Sampler, lesson: TrainingExample, truth: Tensor) -> dict[str, float]:
    """Of joints of a person hidden in _GAP, on the straight way between the frames around it and filled in."""
    hidden = torch.zeros_like(lesson.windows.hidden)
    hidden[:, _GAP, 1] = True
    windows = replace(mask_frames(lesson, hidden).windows, touching=None)
    states = {"gap_straight_mm": windows.mean, "gap_filled_mm": sample(sampler, windows, [])}
    return {
        name: _joint_error(_state_joints(sampler.body, state)[:, _GAP, 1:], truth[:, _GAP, 1:])
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


def _check_lessons(check: InitialMotions, batch: int) -> Iterator[TrainingExample]:
    generator = _generator(check)
    return (sample_examples(check, batch, generator) for _ in range(CHECK_BATCHES))


def _generator(check: InitialMotions) -> torch.Generator:
    return torch.Generator(check.times.device).manual_seed(0)


def _state_joints(body: PairBody, state: PairState) -> Tensor:
    return by_window(pose_pair(body, state).joints[..., :NUM_JOINTS, :])
