"""First motions of simulated pairs, made as stage `initialise` makes them: the prior learns to correct their errors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from closemesh.body.capsules import CapsuleBody, part_distances
from closemesh.body.motion import MotionParameters
from closemesh.core.progress import Progress
from closemesh.core.tensor_dataclass import TensorDataclass, no_people, static
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel, run_phases
from closemesh.fitting.optimizer import NEAR_PREDICTION
from closemesh.geometry.rotations import matrix_to_6d
from closemesh.initialization.lifted_smoothing import smooth_lifted
from closemesh.initialization.lifting import lifted_parameters, lifted_reference
from closemesh.initialization.lifting_network import Lifter, PoseDistribution, lift
from closemesh.interaction_prior.windows import mask_tracks
from closemesh.lab.training.lifter import simulate
from closemesh.lab.training.motion_bank import MotionDatasets
from closemesh.lab.training.simulated_views import DetectionSimulator, SimulatedViews
from closemesh.losses.pose_prior import load_pose_prior

MIN_GAP, MAX_GAP = 4, 30  # Frames in which one person is hidden while the other is seen.
UNRELATED_PAIRS = 0.25  # Fraction of windows of two people who do not interact.
CONTACT_DISTANCE = 0.02  # Meters between the capsules of body parts in contact.
FOCAL = 1000.0  # Pixels; every camera is normalized to this one, so that all windows are fitted together.


@dataclass(frozen=True)
class InitialMotions(TensorDataclass):
    """N windows of T frames of pairs, camera frame: first motion, its uncertainty, keypoint tracks and the truth."""

    TIME_AXIS: ClassVar[int | None] = 1

    rotations: Tensor  # [N, T, 2, 22, 6] R_cam_root first
    pelvis: Tensor  # [N, T, 2, 3] meters
    betas: Tensor = field(metadata=static(people_axis=1))  # [N, 2, 10]
    rotation_std: Tensor  # [N, T, 2, 22]
    pelvis_std: Tensor  # [N, T, 2, 3]
    betas_std: Tensor = field(metadata=static(people_axis=1))  # [N, 2, 10]
    tracks: KeypointTracks  # [N, T, 2, 23, ...] of a camera with FOCAL and its principal point at the origin
    true_rotations: Tensor  # [N, T, 2, 22, 6]
    true_pelvis: Tensor  # [N, T, 2, 3]
    true_betas: Tensor = field(metadata=static(people_axis=1))  # [N, 2, 10]
    joint_valid: Tensor = field(metadata=static(people_axis=1))  # [N, 2, 22] bool
    contacts: Tensor = field(metadata=no_people())  # [N, T, 17, 17] bool: CAPSULE_PARTS of the two in true contact

    def __len__(self) -> int:
        return len(self.pelvis)


@dataclass(frozen=True)
class InitialMotionConfig:
    """How many first motions are made, and how."""

    windows: int
    batch: int
    """Windows made at once."""
    frames: int = 48
    iterations: int = 30
    """Of the fit that follows the lifter; fewer than in any preset."""
    gaps: float = 0.2
    """Fraction of windows in which one person is hidden for a while, longer than a window of the prior or shorter."""


def simulate_initial_motions(
    datasets: MotionDatasets,
    lifter: Lifter,
    simulator: DetectionSimulator,
    config: InitialMotionConfig,
    generator: torch.Generator,
    progress: Progress,
) -> InitialMotions:
    """First motions of `config.windows` windows at rates from 15 to 30 frames per second."""
    parts = []
    with progress.task("first motions", config.windows) as advance:
        for k in range(-(-config.windows // config.batch)):
            fps = 15 + 15 * ((k * 0.618034) % 1)
            views = simulate(datasets, simulator, config.batch, config.frames, fps, generator, UNRELATED_PAIRS)
            gaps = random_gaps(config.batch, config.frames, config.gaps, generator, views.tracks.times.device)
            views = replace(views, tracks=replace(views.tracks, detected=views.tracks.detected & ~gaps))
            parts.append(_compact(_initialize(simulator, lifter, views, config.iterations)))
            advance(config.batch)
    return parts[0].combine(parts[1:], lambda *tensors: torch.cat(tensors))


def random_gaps(
    count: int, frames: int, fraction: float, generator: torch.Generator, device: torch.device | str
) -> Tensor:
    """[B, T, 2] bool: frames in which one person is hidden, in a `fraction` of the windows of T frames.

    A gap has MIN_GAP to MAX_GAP frames, and the person is seen before and after it.
    """

    def rand() -> Tensor:
        return torch.rand((count, 1, 1), generator=generator, device=device)

    longest = min(MAX_GAP, frames - 2)
    length = MIN_GAP + ((longest - MIN_GAP + 1) * rand()).floor()
    start = 1 + ((frames - 1 - length) * rand()).floor()
    frame = torch.arange(frames, device=device)[:, None]
    gap = (frame >= start) & (frame < start + length) & (rand() < fraction)
    return gap & ((rand() < 0.5) == torch.tensor([True, False], device=device))


def _initialize(
    simulator: DetectionSimulator, lifter: Lifter, views: SimulatedViews, iterations: int
) -> InitialMotions:
    """Lifted, smoothed, then fitted person by person, as in stage `initialise`."""
    model = FitModel(simulator.points, load_pose_prior().to(views.tracks.points2d.device))
    views = replace(views, tracks=_normalize_camera(views.tracks))
    with torch.no_grad():
        people = views.tracks.per_person()
        lifted = smooth_lifted(lift(lifter, people), people.times, people.detected)
    tracks = replace(views.tracks.fold_batch(), reference=lifted_reference(lifted))
    start = lifted_parameters(model.body, lifted)
    fitted = run_phases(model, start, tracks, NEAR_PREDICTION, iterations, lambda _: None)
    return _record(views, lifted, fitted, simulator.capsules)


def _normalize_camera(tracks: KeypointTracks) -> KeypointTracks:
    """The same tracks of a camera with FOCAL and its principal point at the origin."""
    scale = FOCAL / tracks.focal
    points = tracks.points2d - tracks.principal_point[:, None, None, None]
    return replace(
        tracks,
        points2d=points * scale[:, None, None, None, None],
        inv_sigma=tracks.inv_sigma / scale[:, None, None, None],
        focal=torch.full_like(tracks.focal, FOCAL),
        principal_point=torch.zeros_like(tracks.principal_point),
    )


def _record(
    views: SimulatedViews, lifted: PoseDistribution, fitted: MotionParameters, capsules: CapsuleBody
) -> InitialMotions:
    def pairs(tensor: Tensor) -> Tensor:
        """[N * 2, ...] as [N, 2, ...]."""
        return tensor.unflatten(0, (-1, 2))

    def over_time(tensor: Tensor) -> Tensor:
        """[N * 2, T, ...] as [N, T, 2, ...]."""
        return pairs(tensor).transpose(1, 2)

    people = views.truth.keypoints
    pelvis = over_time(fitted.pelvis().transpose(0, 1))
    rotations = fitted.rotations()[:, :, :22].transpose(0, 1)
    return InitialMotions(
        rotations=matrix_to_6d(over_time(rotations)),
        pelvis=pelvis,
        betas=pairs(fitted.betas),
        rotation_std=over_time(lifted.rotation_std),
        pelvis_std=over_time(lifted.place_std) * pelvis[..., 2:],
        betas_std=pairs(lifted.betas_std),
        tracks=replace(mask_tracks(views.tracks, views.tracks.detected), points3d=None),
        true_rotations=matrix_to_6d(views.truth.rotations),
        true_pelvis=views.truth.pelvis,
        true_betas=views.truth.betas,
        joint_valid=views.truth.joint_valid,
        contacts=part_distances(people[:, :, 0], people[:, :, 1], capsules) < CONTACT_DISTANCE,
    )


def _compact(motions: InitialMotions) -> InitialMotions:
    """Half precision for all but places, pixels and times."""
    tracks = motions.tracks
    tracks = replace(tracks, limb_directions=tracks.limb_directions.half(), limb_weights=tracks.limb_weights.half())
    names = ("rotations", "betas", "rotation_std", "pelvis_std", "betas_std", "true_rotations", "true_betas")
    return replace(motions, tracks=tracks, **{name: getattr(motions, name).half() for name in names})
