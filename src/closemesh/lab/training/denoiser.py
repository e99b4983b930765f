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
from closemesh.interaction_prior.masking import hidden_frames, interpolate_hidden
from closemesh.interaction_prior.state import PairState, pack, pack_std, state_to_camera, unpack
from closemesh.interaction_prior.windows import (
    PairBody,
    PairWindows,
    constant_conditions,
    estimate_conditions,
    image_distance,
    keypoint_sharpness,
    pose_pair,
    pose_surface,
    project_view,
    unfold_windows,
)
from closemesh.lab.training.denoiser_examples import (
    TrainingExample,
    cut_examples,
    drop_contacts,
    first_state,
    mask_frames,
    random_masks,
    sample_examples,
    true_state,
)
from closemesh.lab.training.initial_motions import InitialMotions
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer, TrainingRun

NUM_JOINTS = 22
CHECK_BATCHES = 8
_MAX_DEVIATION = 8.0  # Standard deviations from the first motion; the truth is clamped to it.
GAPS = ((8, 15), (16, 23), (24, 30))  # Least and most frames in which a person is hidden, in the metrics.
_MAX_REPROJECTION = 0.5  # Meters; farther keypoints have no gradient, as behind the camera.
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
    vertices: float = 3.0
    reprojection: float = 5.0
    closeness: float = 0.1
    """Meters; distances between joints closer than a few times this count up to five times."""


def motion_loss(
    body: PairBody,
    predicted: PairState,
    truth: PairState,
    joint_valid: Tensor,
    present: Tensor,
    weights: LossWeights,
    windows: PairWindows | None = None,
) -> dict[str, Tensor]:
    """Weighted mean of each term; joint_valid [B, 2, 22] bool of the data, present [B, T, 2] bool.

    windows: with the keypoints of the two, for the reprojection. The vertices are those of `body.surface`.
    """
    posed, true_posed = pose_pair(body, predicted), pose_pair(body, truth)
    joints, true_joints = _joints(posed), _joints(true_posed)
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
    terms = {
        "pose": weights.pose * _mean(rotation, valid),
        "shape": weights.shape * _mean((predicted.betas - truth.betas).square().sum(-1), people),
        "joints": weights.joints
        * _mean((relative - true_relative).norm(dim=-1), people[..., None].expand_as(relative[..., 0])),
        "place": weights.place * _mean(place, people),
        "velocity": weights.velocity * (joint_velocity + _mean(root_velocity.norm(dim=-1), both_frames)),
        "interaction": weights.interaction * _mean((distance - true_distance).abs(), closeness.expand_as(distance)),
    }
    if body.surface is not None and weights.vertices > 0:
        apart = (pose_surface(body.surface, predicted) - pose_surface(body.surface, truth)).abs().sum(-1).mean(1)
        terms["vertices"] = weights.vertices * _mean(apart.unflatten(0, (-1, 2)).transpose(1, 2), people)
    if windows is not None and weights.reprojection > 0:
        terms["reprojection"] = weights.reprojection * _reprojection(windows, posed, true_posed)
    return terms


def _reprojection(windows: PairWindows, posed: PosedLandmarks, truth: PosedLandmarks) -> Tensor:
    """Mean distance in the image, in meters at the pair, of keypoints from the true ones (CloseApp Eq. 4).

    They are weighted by their sharpness: what no keypoint shows is left to the other terms.
    """
    pixels, true_pixels = (project_view(windows, unfold_windows(one.keypoints)) for one in (posed, truth))
    distance = image_distance(windows, pixels - true_pixels).norm(dim=-1)
    return _mean(distance.clamp(max=_MAX_REPROJECTION), keypoint_sharpness(windows))


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
    mask_frames: float = 0.2
    """Fraction of windows without hidden people in which frames of both people are masked."""
    mask_person: float = 0.1
    """Fraction of windows without hidden people in which one person is masked."""
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
    network = init_from or Denoiser(config.network)
    network.config = replace(network.config, frames=config.network.frames)
    trainer = Trainer(network, config.loop, run.folder, run.device)
    generator = torch.Generator(run.device).manual_seed(config.seed + 1)

    def loss(forward: Forward, step: int) -> Losses:
        examples = sample_examples(train, config.batch, generator, config.network.frames)
        shape = config.batch, config.network.frames
        masked = random_masks(shape, config.mask_frames, config.mask_person, generator, run.device)
        masked = masked & ~examples.windows.masked.any((1, 2))[:, None, None]
        first_guess = (step * 0.618034) % 1 < config.first_guess
        examples = drop_contacts(mask_frames(examples, masked), config.contacts, generator)
        step_inputs = _Step(examples, schedule, body, config, first_guess, generator)
        predicted = _predict(forward, step_inputs)
        present = torch.ones_like(masked)
        windows = examples.windows
        return motion_loss(body, predicted, examples.truth, examples.joint_valid, present, config.loss, windows)

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

    `gap8_straight`, `gap8_first` and `gap8_generated` are of a person who is hidden for 8 to 15 frames, in those
    frames: on a straight line, in the first motion, and generated.
    """
    rows: list[dict[str, float]] = []
    for number, examples in enumerate(_validation_examples(validation, batch, sampler.denoiser.config.frames)):
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
            | (_gap_errors(sampler, validation, batch, GAPS[number]) if number < len(GAPS) else {})
        )
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(values) / len(values) for name, values in found.items()}


def _gap_errors(sampler: Sampler, validation: InitialMotions, batch: int, gap: tuple[int, int]) -> dict[str, float]:
    """Of people who are hidden for so many frames, in those of the window around the middle of the gap."""
    hidden = hidden_frames(validation.tracks.detected, validation.tracks.present)
    length = hidden.sum(1)  # [N, 2]
    index, person = ((length >= gap[0]) & (length <= gap[1])).nonzero()[:batch].unbind(-1)
    if len(index) == 0:
        return {}
    rows, count = torch.arange(len(index), device=index.device)[:, None], hidden.shape[1]
    own, frame = hidden[index, :, person], torch.arange(count, device=index.device)
    middle = (own * frame).sum(1) // own.sum(1)
    size = sampler.denoiser.config.frames
    frames = (middle - size // 2).clamp(0, count - size)[:, None] + frame[:size]
    windows = replace(cut_examples(validation, index, frames).windows, contacts=None)
    whole = first_state(validation, index, frame.expand(len(index), -1))
    straight = interpolate_hidden(whole, hidden[index], validation.tracks.times[index])
    states = {
        "straight": straight.map(lambda tensor: tensor[rows, frames]),
        "first": whole.map(lambda tensor: tensor[rows, frames]),
        "generated": state_to_camera(sample(sampler, windows, []), windows.view),
    }
    truth = _joints(pose_pair(sampler.body, true_state(validation, index, frames)))
    errors = {}
    for name, state in states.items():
        joints = _joints(pose_pair(sampler.body, state))
        for what, values in _errors_of_person(joints, truth, person).items():  # [B, T]
            errors[f"gap{gap[0]}_{name}_{what}_mm"] = 1000 * float(values[own[rows, frames]].mean())
    return errors


def _errors_of_person(joints: Tensor, truth: Tensor, person: Tensor) -> dict[str, Tensor]:
    """[B, T] meters: of the person [B] about the pelvis, and of distances between people; joints [B, T, 2, 22, 3]."""
    rows = torch.arange(len(person), device=person.device)
    own, true = (j[rows, :, person] - j[rows, :, person, :1] for j in (joints, truth))
    distance, true_distance = (torch.cdist(j[:, :, 0], j[:, :, 1]) for j in (joints, truth))
    between = (distance - true_distance).abs().mean((-1, -2))
    return {"joints": (own - true).norm(dim=-1).mean(-1), "between": between}


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


def _validation_examples(validation: InitialMotions, batch: int, frames: int) -> Iterator[TrainingExample]:
    generator = _generator(validation)
    return (sample_examples(validation, batch, generator, frames) for _ in range(CHECK_BATCHES))


def _generator(validation: InitialMotions) -> torch.Generator:
    return torch.Generator(validation.pelvis.device).manual_seed(0)
