"""Training of the lifter on simulated views: its targets and loss, calibration of its uncertainty, and its metrics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.body.skinning import forward_kinematics
from closemesh.core.tensor_dataclass import TensorDataclass
from closemesh.geometry.rotations import geodesic_angle, matrix_to_6d, rotation_6d_to_matrix
from closemesh.initialization.lifting_network import (
    NUM_PLACE,
    NUM_ROTATIONS,
    Lifter,
    LifterConfig,
    LifterOutput,
    NormalizedView,
    fit_view,
    lifter_features,
    to_view,
)
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer, TrainingRun
from closemesh.lab.training.motion_bank import (
    FPS_RANGE,
    MotionBatch,
    MotionDatasets,
    join_batches,
    sample_windows,
    side_by_side,
)
from closemesh.lab.training.simulated_views import DetectionSimulator, SimulatedViews, load_simulator, simulate_views

PAIR_DISTANCE = (0.3, 1.6)  # Meters between two single people who are placed side by side.
CHECK_BATCHES = 8
_MAX_PEOPLE = 8192  # Simulated at once: memory grows with them, time hardly.
_CHI_90, _NORMAL_90 = 2.5003, 1.6449  # Ends of the 90 % intervals of the length of three numbers, and of one number.


@dataclass(frozen=True)
class LifterLoss:
    """Weight of each term."""

    rotation: float = 1.0
    joints: float = 10.0
    velocity: float = 20.0
    betas: float = 0.1
    ray: float = 2.0
    depth: float = 2.0
    log_std: float = 0.05


@dataclass(frozen=True)
class Target(TensorDataclass):
    """The truth in the view of each frame, people of all windows one after the other."""

    rotations: Tensor  # [N, T, 22, 3, 3]
    place: Tensor  # [N, T, 3]
    betas: Tensor  # [N, num_betas]
    joint_valid: Tensor  # [N, 22] bool
    joints: Tensor  # [N, T, 22, 3] in the view, pelvis at the origin


@dataclass(frozen=True)
class Examples(TensorDataclass):
    """Inputs and targets of the network for N people."""

    features: Tensor  # [N, T, NUM_FEATURES]
    detected: Tensor  # [N, T] bool
    times: Tensor  # [N, T] seconds
    target: Target

    def part(self, index: Tensor) -> Examples:
        """The examples of the people index [M]."""
        return self.map(lambda tensor: tensor[index])


def sample_pairs(
    datasets: MotionDatasets, count: int, frames: int, fps: float, generator: torch.Generator, unrelated: float = 0.5
) -> MotionBatch:
    """Pairs: a fraction `unrelated` are two single people side by side, the others captured or generated pairs."""
    couples = [dataset for dataset in (datasets.pairs, datasets.interactions) if len(dataset.length)]
    singles = round(count * unrelated) if couples else count
    parts = []
    if singles:
        windows = sample_windows(datasets.singles, 2 * singles, frames, fps, generator)
        parts.append(side_by_side(windows, generator, PAIR_DISTANCE))
    for k, dataset in enumerate(couples):
        is_last = k + 1 == len(couples)
        number = count - sum(len(p.pelvis) for p in parts) if is_last else (count - singles) // len(couples)
        if number:
            parts.append(sample_windows(dataset, number, frames, fps, generator))
    return join_batches(parts)


def simulate(
    datasets: MotionDatasets,
    simulator: DetectionSimulator,
    count: int,
    frames: int,
    fps: float,
    generator: torch.Generator,
    unrelated: float = 0.5,
) -> SimulatedViews:
    """Simulated views of `count` windows of pairs, a fraction of them `unrelated`."""
    with torch.no_grad():
        batch = sample_pairs(datasets, count, frames, fps, generator, unrelated)
        return simulate_views(batch, simulator, fps, generator)


def examples_of(views: SimulatedViews) -> Examples:
    """One example for each person of each window."""
    tracks = views.tracks.per_person()
    view = fit_view(tracks)
    return Examples(lifter_features(tracks, view), tracks.detected, tracks.times, target_in_view(views, view))


def target_in_view(views: SimulatedViews, view: NormalizedView) -> Target:
    """The truth as the network should predict it."""

    def per_person(tensor: Tensor) -> Tensor:
        return tensor.transpose(1, 2).flatten(0, 1)

    truth = views.truth
    rotations, pelvis = per_person(truth.rotations), per_person(truth.pelvis)
    root, ray, log_depth = to_view(view, rotations[:, :, 0], pelvis)
    joints = per_person(truth.joints)
    joints = torch.einsum("ntij,ntkj->ntki", view.R_view_cam, joints - joints[..., :1, :])
    return Target(
        rotations=torch.cat([root[:, :, None], rotations[:, :, 1:]], dim=2),
        place=torch.cat([ray, log_depth[..., None]], dim=-1),
        betas=truth.betas.flatten(0, 1),
        joint_valid=truth.joint_valid.flatten(0, 1),
        joints=joints,
    )


def lifter_loss(
    output: LifterOutput, target: Target, simulator: DetectionSimulator, weights: LifterLoss
) -> dict[str, Tensor]:
    """The weighted terms [] by name; the likelihood of the standard deviations has no gradient in the residuals."""
    rotations = rotation_6d_to_matrix(output.rotations_6d)
    valid = target.joint_valid[:, None].float()  # [N, 1, 22]
    difference = (matrix_to_6d(rotations) - matrix_to_6d(target.rotations)).abs().sum(-1)
    joints = relative_joints(simulator, rotations, output.betas)
    velocity = joints.diff(dim=1) - target.joints.diff(dim=1)
    place = (output.place - target.place).abs()
    return {
        "rotation": weights.rotation * (difference * valid).sum() / valid.expand_as(difference).sum(),
        "joints": weights.joints * (joints - target.joints).norm(dim=-1).mean(),
        "velocity": weights.velocity * velocity.norm(dim=-1).mean(),
        "betas": weights.betas * (output.betas - target.betas).abs().mean(),
        "ray": weights.ray * place[..., :2].mean(),
        "depth": weights.depth * place[..., 2].mean(),
        "spread": weights.log_std * _likelihood_loss(output, target, rotations),
    }


def residuals(output: LifterOutput, target: Target, rotations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Angles [N, T, 22] in radians, places [N, T, 3] and betas [N, num_betas] relative to the truth.

    rotations [N, T, 22, 3, 3] of the output.
    """
    angle = geodesic_angle(rotations, target.rotations)
    return angle, output.place - target.place, output.betas - target.betas


def _likelihood_loss(output: LifterOutput, target: Target, rotations: Tensor) -> Tensor:
    """Negative log likelihood of the detached residuals."""
    angle, place, betas = (r.detach() for r in residuals(output, target, rotations))
    rotation_log_std, place_log_std = output.log_std.split([NUM_ROTATIONS, NUM_PLACE], dim=-1)
    valid = target.joint_valid[:, None].float().expand_as(angle)
    likelihood = (_nll(angle, rotation_log_std, dimensions=3) * valid).sum() / valid.sum()
    return likelihood + _nll(place, place_log_std).mean() + _nll(betas, output.betas_log_std).mean()


def _nll(residual: Tensor, log_std: Tensor, dimensions: int = 1) -> Tensor:
    """Negative log likelihood of lengths of vectors of `dimensions`; linear beyond four standard deviations."""
    z = residual.abs() / log_std.exp()
    return dimensions * log_std + F.huber_loss(z, torch.zeros_like(z), reduction="none", delta=4.0)


def relative_joints(simulator: DetectionSimulator, rotations: Tensor, betas: Tensor) -> Tensor:
    """[N, T, 22, 3] with the pelvis at the origin; rotations [N, T, 22, 3, 3], betas [N, num_betas]."""
    _, joints = forward_kinematics(rotations, simulator.points.rest_joints(betas)[:, None])
    return joints - joints[..., :1, :]


@dataclass(frozen=True)
class LifterTraining:
    """How the lifter is trained."""

    network: LifterConfig = field(default_factory=LifterConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    loss: LifterLoss = field(default_factory=LifterLoss)
    batch: int = 256
    """People in each step."""
    ahead: int = 8
    """Most steps whose windows are simulated at once; it costs little more than simulating those of one."""
    frames: int = 32
    seed: int = 0


def train_lifter(
    train: MotionDatasets,
    validation: MotionDatasets,
    config: LifterTraining,
    run: TrainingRun,
    init_from: Lifter | None = None,
) -> tuple[Lifter, dict[str, float]]:
    """The calibrated lifter, and its metrics on `validation`.

    Training starts with the weights of `init_from`, else with random ones. Raises InputError when the state in the
    folder belongs to another training.
    """
    torch.manual_seed(config.seed)
    simulator = load_simulator().to(run.device)
    train, validation = train.to(run.device), validation.to(run.device)
    trainer = Trainer(init_from or Lifter(config.network), config.loop, run.folder, run.device)
    generator = torch.Generator(run.device).manual_seed(config.seed + 1)
    stream = _stream(train, simulator, config, generator)

    def loss(forward: Forward, _: int) -> Losses:
        examples = next(stream)
        output = forward(examples.features, examples.detected, examples.times)
        return lifter_loss(output, examples.target, simulator, config.loss)

    def checks(seed: int) -> Iterator[Examples]:
        check_generator, windows = torch.Generator(run.device).manual_seed(seed), config.batch // 2
        for _ in range(CHECK_BATCHES):
            yield examples_of(simulate(validation, simulator, windows, config.frames, 30.0, check_generator))

    def evaluate(network: nn.Module) -> dict[str, float]:
        return lifter_metrics(network, simulator, checks(0))

    lifter = trainer.run(loss, run.progress, evaluate, run.resume)
    assert isinstance(lifter, Lifter)
    calibrate(lifter, checks(1))
    return lifter, lifter_metrics(lifter, simulator, checks(2))


@torch.no_grad()
def calibrate(lifter: Lifter, batches: Iterable[Examples]) -> None:
    """Scales the standard deviations so that nine tenths of the residuals fall into their 90 % intervals."""
    scores = [_scores(lifter, batch) for batch in batches]
    scale = torch.cat([torch.nanquantile(torch.cat(parts), 0.9, dim=0) for parts in zip(*scores, strict=True)])
    lifter.calibration += scale.log()


@torch.no_grad()
def lifter_metrics(lifter: nn.Module, simulator: DetectionSimulator, batches: Iterable[Examples]) -> dict[str, float]:
    """Mean errors, and the fraction of the truth in the 90 % intervals."""
    lifter.eval()
    rows = [_metrics(lifter, simulator, batch) for batch in batches]
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


def _metrics(lifter: nn.Module, simulator: DetectionSimulator, examples: Examples) -> dict[str, float]:
    output, target = lifter(examples.features, examples.detected, examples.times), examples.target
    rotations = rotation_6d_to_matrix(output.rotations_6d)
    angle, place, betas = residuals(output, target, rotations)
    distance = (relative_joints(simulator, rotations, output.betas) - target.joints).norm(dim=-1)
    valid = target.joint_valid[:, None].expand_as(angle)
    covered = [(score[score.isfinite()] < 1).float().mean() for score in _scores(lifter, examples)]
    return {
        "joints_mm": 1000 * float(distance[..., 1:].mean()),
        "rotation_deg": math.degrees(float(angle[valid].mean())),
        "root_deg": math.degrees(float(angle[..., 0].mean())),
        "log_depth": float(place[..., 2].abs().mean()),
        "betas": float(betas.abs().mean()),
        **{f"covered_{name}": float(v) for name, v in zip(("rotation", "place", "betas"), covered, strict=True)},
    }


def _scores(lifter: nn.Module, examples: Examples) -> tuple[Tensor, Tensor, Tensor]:
    """Residuals [N, 22], [N, 3], [M, num_betas] over the ends of their 90 % intervals; nan where not valid."""
    output, target = lifter(examples.features, examples.detected, examples.times), examples.target
    angle, place, betas = residuals(output, target, rotation_6d_to_matrix(output.rotations_6d))
    rotation_std, place_std = output.log_std.exp().split([NUM_ROTATIONS, place.shape[-1]], dim=-1)
    angle = torch.where(target.joint_valid[:, None], angle, torch.nan)
    return (
        (angle / rotation_std / _CHI_90).flatten(0, 1),
        (place.abs() / place_std / _NORMAL_90).flatten(0, 1),
        betas.abs() / output.betas_log_std.exp() / _NORMAL_90,
    )


def _stream(
    train: MotionDatasets, simulator: DetectionSimulator, config: LifterTraining, generator: torch.Generator
) -> Iterator[Examples]:
    """Endless batches; each simulation has another frame rate."""
    windows = config.batch * max(1, min(config.ahead, _MAX_PEOPLE // config.batch)) // 2
    for count in itertools.count():
        examples = examples_of(simulate(train, simulator, windows, config.frames, _rate(count), generator))
        order = torch.randperm(2 * windows, generator=generator, device=generator.device)
        yield from (examples.part(index) for index in order.split(config.batch))


def _rate(count: int) -> float:
    """Frames per second of simulation number `count`."""
    low, high = FPS_RANGE
    return low + (high - low) * ((count * 0.618034) % 1)
