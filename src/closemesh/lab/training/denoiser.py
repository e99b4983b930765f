"""Training of the denoiser on first motions and their truth: its loss, one training step, and its metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from closemesh.body.landmarks import PosedLandmarks
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
from closemesh.interaction_prior.state import PairState, pack, pack_std, unpack
from closemesh.interaction_prior.windows import (
    PairBody,
    constant_conditions,
    estimate_conditions,
    pose_pair,
    unfold_windows,
)
from closemesh.lab.training.denoiser_examples import (
    TrainingExample,
    drop_contacts,
    mask_frames,
    random_masks,
    sample_examples,
)
from closemesh.lab.training.initial_motions import InitialMotions
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer, TrainingRun

NUM_JOINTS = 22
CHECK_BATCHES = 8
_MAX_DEVIATION = 8.0  # Standard deviations from the first motion; the truth is clamped to it.
_MASKED_FRAMES = slice(4, 12)  # Frames of a window, in the metrics of masked frames.
_CLOSE = 0.3  # Meters between the nearest joints of two people who are close.


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term (CloseInt's table; velocities from frame to frame, and distances between people)."""

    pose: float = 1.0
    shape: float = 0.02
    joints: float = 10.0
    place: float = 4.0
    velocity: float = 10.0
    interaction: float = 10.0
    closeness: float = 0.1
    """Meters; distances between joints closer than a few times this count up to five times."""


def motion_loss(
    body: PairBody,
    predicted: PairState,
    truth: PairState,
    joint_valid: Tensor,
    present: Tensor,
    weights: LossWeights,
) -> dict[str, Tensor]:
    """Weighted mean of each term; joint_valid [B, 2, 22] bool of the data, present [B, T, 2] bool."""
    joints, true_joints = _joints(pose_pair(body, predicted)), _joints(pose_pair(body, truth))
    valid = (joint_valid[:, None] & present[..., None]).float()  # [B, T, 2, 22]
    rotation = (predicted.rotations - truth.rotations).square().sum((-1, -2))
    relative, true_relative = joints - joints[..., :1, :], true_joints - true_joints[..., :1, :]
    people = present.float()
    both_frames = (present[:, 1:] & present[:, :-1])[..., None].float()
    velocity = (relative[:, 1:] - relative[:, :-1]) - (true_relative[:, 1:] - true_relative[:, :-1])
    root_velocity = (joints[:, 1:, :, :1] - joints[:, :-1, :, :1]) - (
        true_joints[:, 1:, :, :1] - true_joints[:, :-1, :, :1]
    )
    both = present.all(-1)[..., None, None].float()  # [B, T, 1, 1]
    distance, true_distance = (_distances(j[:, :, 0], j[:, :, 1]) for j in (joints, true_joints))  # [B, T, 22, 22]
    closeness = both * (1 + torch.exp(-true_distance / (5 * weights.closeness)) * 4)
    place = (joints[..., 0, :] - true_joints[..., 0, :]).norm(dim=-1)
    joint_velocity = _mean(velocity.norm(dim=-1), both_frames.expand_as(velocity[..., 0]))
    return {
        "pose": weights.pose * _mean(rotation, valid),
        "shape": weights.shape * _mean((predicted.betas - truth.betas).square().sum(-1), people),
        "joints": weights.joints
        * _mean((relative - true_relative).norm(dim=-1), people[..., None].expand_as(relative[..., 0])),
        "place": weights.place * _mean(place, people),
        "velocity": weights.velocity * (joint_velocity + _mean(root_velocity.norm(dim=-1), both_frames)),
        "interaction": weights.interaction * _mean((distance - true_distance).abs(), closeness.expand_as(distance)),
    }


def _joints(posed: PosedLandmarks) -> Tensor:
    """[B, T, 2, 22, 3]."""
    return unfold_windows(posed.joints[..., :NUM_JOINTS, :])


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """As torch.cdist, which on a GPU is slow for so few points."""
    return (a[..., :, None, :] - b[..., None, :, :]).norm(dim=-1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)


@dataclass(frozen=True)
class DenoiserTraining:
    """How the denoiser is trained."""

    network: DenoiserConfig = field(default_factory=DenoiserConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    loss: LossWeights = field(default_factory=LossWeights)
    batch: int = 256
    gaps: float = 0.2
    """Fraction of motions in which one person is hidden for a while, longer than a window or shorter."""
    mask_frames: float = 0.2
    """Fraction of the other windows in which frames of both people are masked."""
    mask_person: float = 0.1
    """Fraction of the other windows in which one person is masked."""
    drop_condition: float = 0.1
    """Fraction of windows without a condition, drawn for each condition."""
    contacts: float = 0.25
    """Fraction of windows with stated contacts."""
    unpaired: float = 0.05
    """Fraction of windows without a partner."""
    first_guess: float = 0.5
    """Fraction of steps conditioned on the network's own first estimate, as in sampling, not on the first motion."""
    seed: int = 0


def train_denoiser(
    train: InitialMotions,
    validation: InitialMotions,
    body: PairBody,
    config: DenoiserTraining,
    run: TrainingRun,
    init_from: Denoiser | None = None,
) -> tuple[Denoiser, dict[str, float]]:
    """The denoiser, and its metrics on `validation`.

    Training starts with the weights of `init_from`, else with random ones. Raises InputError when the state in the
    folder belongs to another training.
    """
    torch.manual_seed(config.seed)
    schedule = cosine_schedule().to(run.device)
    trainer = Trainer(init_from or Denoiser(config.network), config.loop, run.folder, run.device)
    generator = torch.Generator(run.device).manual_seed(config.seed + 1)

    def loss(forward: Forward, step: int) -> Losses:
        examples = sample_examples(train, config.batch, generator, config.gaps)
        masked = random_masks(config.batch, config.mask_frames, config.mask_person, generator, run.device)
        masked = masked & ~examples.windows.masked.any((1, 2))[:, None, None]
        first_guess = (step * 0.618034) % 1 < config.first_guess
        examples = drop_contacts(mask_frames(examples, masked), config.contacts, generator)
        step_inputs = _Step(examples, schedule, body, config, first_guess, generator)
        predicted = _predict(forward, step_inputs)
        present = torch.ones_like(masked)
        return motion_loss(body, predicted, examples.truth, examples.joint_valid, present, config.loss)

    def evaluate(network: nn.Module) -> dict[str, float]:
        assert isinstance(network, Denoiser)
        return denoiser_metrics(Sampler(network.eval(), schedule, body), validation, config.batch)

    denoiser = trainer.run(loss, run.progress, evaluate, run.resume)
    assert isinstance(denoiser, Denoiser)
    return denoiser, evaluate(denoiser)


@dataclass(frozen=True)
class _Step:
    """Inputs of one training step."""

    examples: TrainingExample
    schedule: Schedule
    body: PairBody
    config: DenoiserTraining
    first_guess: bool
    """Condition on the network's own first estimate."""
    generator: torch.Generator


def _predict(forward: Forward, step: _Step) -> PairState:
    """x0 predicted from the noised truth at a random noise step."""
    examples, config, generator = step.examples, step.config, step.generator
    device = examples.joint_valid.device

    def rand() -> Tensor:
        return torch.rand(len(examples.joint_valid), generator=generator, device=device)

    windows = replace(examples.windows, unpaired=rand() < config.unpaired)
    mean, std = pack(windows.mean), pack_std(windows.std)
    x0 = ((pack(examples.truth) - mean) / std).clamp(-_MAX_DEVIATION, _MAX_DEVIATION)
    t = (rand() * TRAIN_STEPS).long()
    noise = torch.randn(x0.shape, generator=generator, device=device)
    x_t = add_noise(step.schedule, x0, noise, t)
    constant = constant_conditions(windows)
    present = {name: (rand() >= config.drop_condition)[:, None, None] for name in CONDITIONS}

    def predict(estimate: PairState) -> PairState:
        conditions = constant | estimate_conditions(windows, estimate, step.body)
        conditions = {name: (values, known & present[name]) for name, (values, known) in conditions.items()}
        x = forward(x_t, mean, t, windows.tracks.times, conditions, windows.masked, windows.unpaired)
        return unpack(mean + std * x)

    estimate = windows.mean
    if step.first_guess:
        with torch.no_grad():
            estimate = predict(estimate)
    return predict(estimate)


@torch.no_grad()
def denoiser_metrics(sampler: Sampler, validation: InitialMotions, batch: int) -> dict[str, float]:
    """Mean errors in mm before and after: joints relative to the pelvis, distances between people, those of close ones.

    `gap_straight` and `gap_filled` are of the joints in masked frames of one person, interpolated and generated.
    """
    rows: list[dict[str, float]] = []
    for examples in _validation_examples(validation, batch):
        windows = replace(examples.windows, contacts=None)
        refined = sample(sampler, windows, [])
        noise = torch.randn(pack(refined).shape, generator=_generator(validation), device=validation.pelvis.device)
        states = {
            "first": windows.mean,
            "refined": refined,
            "refined_from_noise": sample(sampler, windows, [], noise),
            "refined_with_contact_parts": sample(sampler, examples.windows, []),
        }
        truth = _joints(pose_pair(sampler.body, examples.truth))
        rows.append(
            {
                f"{name}_{what}_mm": value
                for name, state in states.items()
                for what, value in _errors(_joints(pose_pair(sampler.body, state)), truth).items()
            }
            | _masked_errors(sampler, examples, truth)
        )
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _masked_errors(sampler: Sampler, examples: TrainingExample, truth: Tensor) -> dict[str, float]:
    """Of joints of a person in _MASKED_FRAMES, interpolated between the frames around them and generated."""
    masked = torch.zeros_like(examples.windows.masked)
    masked[:, _MASKED_FRAMES, 1] = True
    windows = replace(mask_frames(examples, masked).windows, contacts=None)
    states = {"gap_straight_mm": windows.mean, "gap_filled_mm": sample(sampler, windows, [])}
    true = truth[:, _MASKED_FRAMES, 1:]
    return {
        name: _joint_error(_joints(pose_pair(sampler.body, state))[:, _MASKED_FRAMES, 1:], true)
        for name, state in states.items()
    }


def _errors(joints: Tensor, truth: Tensor) -> dict[str, float]:
    """Of joints [B, T, 2, 22, 3] in meters."""
    distance, true_distance = (torch.cdist(j[:, :, 0], j[:, :, 1]) for j in (joints, truth))
    between = (distance - true_distance).abs().mean((-1, -2))  # [B, T]
    close = true_distance.amin((-1, -2)) < _CLOSE
    return {
        "joints": _joint_error(joints, truth),
        "between": 1000 * float(between.mean()),
        "between_close": 1000 * float((between * close).sum() / close.sum().clamp(min=1)),
    }


def _joint_error(joints: Tensor, truth: Tensor) -> float:
    """Millimeters relative to the pelvis, of joints [..., 22, 3] in meters."""
    difference = (joints - joints[..., :1, :]) - (truth - truth[..., :1, :])
    return 1000 * float(difference.norm(dim=-1).mean())


def _validation_examples(validation: InitialMotions, batch: int) -> Iterator[TrainingExample]:
    generator = _generator(validation)
    return (sample_examples(validation, batch, generator) for _ in range(CHECK_BATCHES))


def _generator(validation: InitialMotions) -> torch.Generator:
    return torch.Generator(validation.pelvis.device).manual_seed(0)
