"""Training of the interaction prior: the codebook over masked windows, and both networks one after the other."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from closemesh.body.capsules import capsule_distance
from closemesh.body.landmarks import make_surface_body
from closemesh.body.loading import load_bundled_body
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.initialization.lifting_network import load_lifter
from closemesh.interaction_prior.codebook import (
    CanonicalFrame,
    Codebook,
    CodebookConfig,
    canonical_frame,
    from_canonical,
    load_codebook,
    to_canonical,
)
from closemesh.interaction_prior.diffusion import Denoiser, load_denoiser
from closemesh.interaction_prior.state import PairState, pack, unpack
from closemesh.interaction_prior.windows import PairBody, pose_pair, unfold_windows
from closemesh.lab.training.denoiser import NUM_JOINTS, DenoiserTraining, LossWeights, motion_loss, train_denoiser
from closemesh.lab.training.denoiser_examples import random_masks
from closemesh.lab.training.initial_motions import (
    CONTACT_DISTANCE,
    UNRELATED_PAIRS,
    InitialMotionConfig,
    InitialMotions,
    simulate_initial_motions,
)
from closemesh.lab.training.lifter import sample_pairs
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer, TrainingRun
from closemesh.lab.training.motion_bank import FPS_RANGE, MotionBatch, MotionDatasets
from closemesh.lab.training.simulated_views import DetectionSimulator, load_simulator

NETWORKS = "denoiser", "codebook"
QUANTIZED_MODULES = {"denoiser": ("blocks",), "codebook": ("encoder", "decoder", "time", "quantizers")}
"""Modules that are saved in 8 bits, by name of the network."""
CHECK_BATCHES = 8
SEPARATE_DISTANCE = 0.15  # Meters between the capsules of two people who are clearly not in contact.
_MOVED_WINDOWS = 64  # To see how far each number moves the body.
_MIN_MOVEMENT = 0.05  # Meters: rotations of hands and feet move no joint, but surfaces.
_FAR_FRACTION, _SMALL_ANGLE, _LARGE_ANGLE = 0.2, 0.03, 0.5  # Of rotations, and radians.
_RATES = {
    **dict.fromkeys(("embed", "time", "to_codes", "to_slots"), 0.02),
    **dict.fromkeys(("encoder", "from_codes", "from_slots", "head"), 0.1),
}
"""Factors of the learning rate: codes follow the encoder with a delay, and the linear code is good from the start."""
_BATCH = {"cpu": 256, "cuda": 1024}  # First motions made at once.
_SURFACE_POINTS = 100  # On the skin, in the loss.
_VALIDATION_FRACTION = 16  # One first motion for validation for so many for training.

Trained = dict[str, tuple[Denoiser | Codebook, dict[str, float]]]
"""Networks and their metrics by name."""


@dataclass(frozen=True)
class CodebookTraining:
    """How the codebook is trained."""

    network: CodebookConfig = field(default_factory=CodebookConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    loss: LossWeights = field(default_factory=LossWeights)
    commitment: float = 0.02
    batch: int = 256
    mask_frames: float = 0.1
    """Fraction of windows in which frames of both people are masked."""
    noisy: float = 0.25
    """Fraction of windows whose input has wrong rotations; the output is still the truth."""
    coarse: float = 0.2
    """Fraction of steps with only some of the levels of codes."""
    first_windows: int = 8192
    """Windows that place the first codes."""
    seed: int = 0


def train_interaction_prior(
    train: MotionDatasets,
    validation: MotionDatasets,
    windows: int,
    denoiser: DenoiserTraining,
    codebook: CodebookTraining,
    run: TrainingRun,
    init_from: Path | None = None,
    only: Collection[str] = NETWORKS,
) -> Trained:
    """Denoiser and codebook, or `only` one of them, with their metrics.

    windows: first motions for training, from the bundled lifter and a short fit. init_from: folder with the networks
    of an earlier run to start from. Raises ModelFileError when a network to start from is missing, and InputError when
    a state in the folder belongs to another training.
    """
    # Loaded before hours are spent: a missing network is reported at once.
    first_denoiser, first_codebook = None, None
    if init_from and "denoiser" in only:
        first_denoiser = load_denoiser(run.device, init_from / "denoiser.safetensors")
    if init_from and "codebook" in only:
        first_codebook = load_codebook(run.device, init_from / "codebook.safetensors")
    simulator = load_simulator().to(run.device)
    surface = make_surface_body(load_bundled_body("light"), _SURFACE_POINTS).to(run.device)
    body = PairBody(simulator.points, simulator.capsules, surface)
    trained: Trained = {}
    if "denoiser" in only:
        motions = _InitialMotionMaker(simulator, run)
        first = motions.make(train, windows, denoiser.seed)
        check = motions.make(validation, max(2, windows // _VALIDATION_FRACTION), denoiser.seed + 1)
        own_run = replace(run, folder=run.folder / "denoiser")
        trained["denoiser"] = train_denoiser(first, check, body, denoiser, own_run, first_denoiser)
    if "codebook" in only:
        own_run = replace(run, folder=run.folder / "codebook")
        trained["codebook"] = train_codebook(train, validation, body, codebook, own_run, first_codebook)
    return trained


class _InitialMotionMaker:
    """First motions by the bundled lifter."""

    def __init__(self, simulator: DetectionSimulator, run: TrainingRun) -> None:
        self._simulator, self._run, self._lifter = simulator, run, load_lifter(run.device)

    def make(self, datasets: MotionDatasets, windows: int, seed: int) -> InitialMotions:
        device = self._run.device
        generator = torch.Generator(device).manual_seed(seed)
        config = InitialMotionConfig(windows, min(_BATCH.get(device.type, 256), windows))
        return simulate_initial_motions(
            datasets.to(device), self._lifter, self._simulator, config, generator, self._run.progress
        )


def train_codebook(
    train: MotionDatasets,
    validation: MotionDatasets,
    body: PairBody,
    config: CodebookTraining,
    run: TrainingRun,
    init_from: Codebook | None = None,
) -> tuple[Codebook, dict[str, float]]:
    """The codebook, and its metrics on `validation`.

    Training starts with the weights of `init_from`, else with a linear code of the motion. Raises InputError when the
    state in the folder belongs to another training.
    """
    torch.manual_seed(config.seed)
    train, validation = train.to(run.device), validation.to(run.device)
    generator = torch.Generator(run.device).manual_seed(config.seed + 1)
    network = _first_codebook(train, body, config, generator, init_from)
    trainer = Trainer(network, config.loop, run.folder, run.device, _RATES)

    def loss(forward: Forward, step: int) -> Losses:
        low, high = FPS_RANGE
        fps = low + (high - low) * ((step * 0.618034) % 1)
        batch = sample_pairs(train, config.batch, config.network.frames, fps, generator, UNRELATED_PAIRS)
        masked = random_masks((config.batch, config.network.frames), config.mask_frames, 0.0, generator, run.device)
        state, frame = _canonical(batch)
        noisy = _wrong_rotations(state, config.noisy, generator)
        output = forward(pack(noisy), _times(batch), masked, _num_levels(config, step))
        decoded = from_canonical(unpack(output.motion), frame)
        present = torch.ones_like(masked)
        terms = motion_loss(body, decoded, state_of(batch), batch.joint_valid, present, config.loss)
        return {**terms, "commitment": config.commitment * output.commitment}

    def evaluate(network: nn.Module) -> dict[str, float]:
        assert isinstance(network, Codebook)
        return codebook_metrics(network.eval(), validation, body, config.batch)

    codebook = trainer.run(loss, run.progress, evaluate, run.resume)
    assert isinstance(codebook, Codebook)
    return codebook, evaluate(codebook)


def _num_levels(config: CodebookTraining, step: int) -> int | None:
    """Levels of codes in this step: all, or now and then fewer."""
    coarse = (step * 0.754878) % 1 / max(config.coarse, 1e-9)
    return None if coarse >= 1 else 1 + int(coarse * (config.network.levels - 1))


def _first_codebook(
    train: MotionDatasets,
    body: PairBody,
    config: CodebookTraining,
    generator: torch.Generator,
    init_from: Codebook | None,
) -> Codebook:
    """`init_from`, with more levels of codes if it has too few; else a linear code of the motion.

    In the linear code, distances are those of points of the body.
    """
    levels = config.network.levels
    if init_from and init_from.config.levels >= levels:
        return init_from
    frames = config.network.frames
    batch = sample_pairs(train, config.first_windows, frames, sum(FPS_RANGE) / 2, generator, UNRELATED_PAIRS)
    state, _ = _canonical(batch)
    if init_from:
        return init_from.with_levels(levels, pack(state), _times(batch))
    scale = _movement(body, state.map(lambda tensor: tensor[:_MOVED_WINDOWS, :1])).clamp(min=_MIN_MOVEMENT)
    codebook = Codebook(config.network).to(scale.device)
    codebook.fit_linear(pack(state), scale)
    return codebook


@torch.no_grad()
def _movement(body: PairBody, state: PairState) -> Tensor:
    """[STATE_WIDTH] meters that all points of the body together move per unit of each packed number."""
    vectors = pack(state)

    def points(moved: Tensor) -> Tensor:
        posed = pose_pair(body, unpack(moved))
        return torch.cat([posed.joints[..., :NUM_JOINTS, :], posed.keypoints], dim=-2)

    before, small = points(vectors), 0.02
    steps = small * torch.eye(vectors.shape[-1], device=vectors.device)
    moves = [(points(vectors + step) - before).square().sum((-1, -2)).mean().sqrt() / small for step in steps]
    return torch.stack(moves)


def _wrong_rotations(state: PairState, fraction: float, generator: torch.Generator) -> PairState:
    """The states, in a `fraction` of the windows with rotations that are off: all by a little, some by much."""
    shape, device = state.rotations.shape[:4], state.rotations.device  # [B, T, 2, 22]

    def rand(frames: int) -> Tensor:
        return torch.rand(shape[0], frames, *shape[2:], generator=generator, device=device)

    def randn(frames: int) -> Tensor:
        return torch.randn(shape[0], frames, *shape[2:], 3, generator=generator, device=device)

    far = (rand(1) < _FAR_FRACTION) * (torch.arange(shape[-1], device=device) > 0)
    noisy = rand(1)[..., :1, :1] < fraction
    angle = noisy * (_SMALL_ANGLE + far * _LARGE_ANGLE * rand(1))
    turn = axis_angle_to_matrix(angle[..., None] * (randn(1) + 0.3 * randn(shape[1])))
    return replace(state, rotations=state.rotations @ turn)


def state_of(batch: MotionBatch) -> PairState:
    """The windows as a state of the prior; the frame of reference does not matter."""
    betas = batch.betas[:, None].expand(-1, batch.pelvis.shape[1], -1, -1)
    return PairState(batch.rotations, betas, batch.pelvis)


@torch.no_grad()
def codebook_metrics(codebook: Codebook, validation: MotionDatasets, body: PairBody, batch: int) -> dict[str, float]:
    """Reconstruction errors in mm, usage of the codes, and the difference of codes with and without contact.

    `code_difference` is the total variation, 0 to 1, between the codes of windows with contact and of windows with
    clearly separate people; `code_difference_by_chance` the same between two random halves of all windows.
    """
    generator = torch.Generator(validation.pairs.poses.device).manual_seed(0)
    counts = torch.zeros(4, codebook.config.codes, device=generator.device)
    errors = []
    for _ in range(CHECK_BATCHES):
        windows = sample_pairs(validation, batch, codebook.config.frames, 30.0, generator, UNRELATED_PAIRS)
        state, frame = _canonical(windows)
        output = codebook(pack(state), _times(windows))
        errors.append(_reconstruction(body, from_canonical(unpack(output.motion), frame), state_of(windows)))
        distance = errors[-1].distance
        half = torch.arange(batch, device=distance.device) % 2 == 0
        groups = (distance < CONTACT_DISTANCE, distance > SEPARATE_DISTANCE, half, ~half)
        for row, chosen in enumerate(groups):
            counts[row] += torch.bincount(output.codes[chosen].flatten(), minlength=codebook.config.codes)
    frequencies = counts / counts.sum(1, keepdim=True).clamp(min=1)
    usage = frequencies[2:].mean(0)
    return {
        "joints_mm": 1000 * sum(one.joints for one in errors) / len(errors),
        "between_mm": 1000 * sum(one.between for one in errors) / len(errors),
        "codes_used": float((counts.sum(0) > 0).float().mean()),
        "perplexity": float(torch.special.entr(usage).sum().exp()),
        "code_difference": float((frequencies[0] - frequencies[1]).abs().sum() / 2),
        "code_difference_by_chance": float((frequencies[2] - frequencies[3]).abs().sum() / 2),
    }


@dataclass(frozen=True)
class _Reconstruction:
    joints: float  # Mean error in meters, relative to the pelvis.
    between: float  # Mean error in meters of distances between people.
    distance: Tensor  # [B] meters, smallest between the two people of each window


def _reconstruction(body: PairBody, decoded: PairState, truth: PairState) -> _Reconstruction:
    posed, true = pose_pair(body, decoded), pose_pair(body, truth)
    a, b = (unfold_windows(one.joints[..., :NUM_JOINTS, :]) for one in (posed, true))
    difference = (a - a[..., :1, :]) - (b - b[..., :1, :])
    between = (torch.cdist(a[:, :, 0], a[:, :, 1]) - torch.cdist(b[:, :, 0], b[:, :, 1])).abs()
    keypoints = unfold_windows(true.keypoints)
    distance = capsule_distance(keypoints[:, :, 0], keypoints[:, :, 1], body.capsules).amin(1)
    return _Reconstruction(float(difference.norm(dim=-1).mean()), float(between.mean()), distance)


def _canonical(batch: MotionBatch) -> tuple[PairState, CanonicalFrame]:
    state = state_of(batch)
    frame = canonical_frame(state)
    return to_canonical(state, frame), frame


def _times(batch: MotionBatch) -> Tensor:
    return batch.times.expand(len(batch.pelvis), -1)
