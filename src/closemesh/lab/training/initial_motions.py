"""First motions of simulated pairs, made as the pipeline makes them, so that the prior learns to mend their errors."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from closemesh.body.capsules import CapsuleBody, part_distances
from closemesh.body.motion import MotionParameters
from closemesh.core.progress import Progress
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel, run_phases
from closemesh.fitting.optimizer import NEAR_PREDICTION
from closemesh.geometry.rotations import matrix_to_6d
from closemesh.initialization.lifting import anchor_of, lifted_variables
from closemesh.initialization.lifting_network import Lifter, PoseDistribution, Sightings, lift
from closemesh.lab.training.lifter import simulate
from closemesh.lab.training.motion_bank import MotionDatasets
from closemesh.lab.training.simulated_views import DetectionSimulator, SeenBatch
from closemesh.losses.keypoints import limb_confidence, limb_directions
from closemesh.losses.pose_prior import load_pose_prior

STRANGERS = 0.25  # Share of windows of two people who have nothing to do with each other.
TOUCH = 0.02  # Metres between the capsules of two people who touch.
FOCAL = 1000.0  # Pixels; every camera is brought to this one, so that all windows are fitted together.


@dataclass(frozen=True)
class InitialMotions:
    """N windows of T frames of pairs in the camera frame: first motion, its spread, what was seen, the truth."""

    rotations: Tensor  # [N, T, 2, 22, 6] R_cam_root first
    pelvis: Tensor  # [N, T, 2, 3] metres
    betas: Tensor  # [N, 2, 10]
    rotation_spread: Tensor  # [N, T, 2, 22]
    pelvis_spread: Tensor  # [N, T, 2, 3]
    betas_spread: Tensor  # [N, 2, 10]
    points: Tensor  # [N, T, 2, 23, 2] pixels of a camera of FOCAL with its centre at the origin
    inverse_sigmas: Tensor  # [N, T, 2, 23]
    limbs: Tensor  # [N, T, 2, 14, 4] directions in the camera frame, and weights
    visible: Tensor  # [N, T, 2] bool
    times: Tensor  # [N, T] seconds
    true_rotations: Tensor  # [N, T, 2, 22, 6]
    true_pelvis: Tensor  # [N, T, 2, 3]
    true_betas: Tensor  # [N, 2, 10]
    known: Tensor  # [N, 2, 22] bool
    touching: Tensor  # [N, T, 17, 17] bool: COARSE_PARTS of the two that truly touch

    def __len__(self) -> int:
        return len(self.times)


def simulate_initial_motions(
    banks: MotionDatasets,
    lifter: Lifter,
    studio: DetectionSimulator,
    windows: int,
    batch: int,
    frames: int,
    iterations: int,
    generator: torch.Generator,
    progress: Progress,
) -> InitialMotions:
    """`windows` first motions, `batch` of them at a time; rates from 15 to 30 frames a second."""
    parts = []
    with progress.task("first motions", windows) as advance:
        for k in range(-(-windows // batch)):
            fps = 15 + 15 * ((k * 0.618034) % 1)
            seen = simulate(banks, studio, batch, frames, fps, generator, STRANGERS)
            parts.append(_compact(_start(studio, lifter, seen, iterations)))
            advance(batch)
    return InitialMotions(
        **{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(InitialMotions)}
    )


def _start(studio: DetectionSimulator, lifter: Lifter, seen: SeenBatch, iterations: int) -> InitialMotions:
    """Lifted, then fitted person by person, as `initialise` does."""
    subject = FitModel(studio.points, load_pose_prior().to(seen.seen.points.device))
    normal = one_camera(seen.seen)
    with torch.no_grad():
        lifted = lift(lifter, normal)
    evidence = replace(evidence_of(normal), anchor=anchor_of(lifted))
    first = lifted_variables(subject.body, lifted)
    fitted = run_phases(subject, first, evidence, NEAR_PREDICTION, iterations, lambda _: None)
    return _record(seen, normal, evidence, lifted, fitted, studio.capsules)


def one_camera(seen: Sightings) -> Sightings:
    """The same seen by a camera of FOCAL whose centre is the origin."""
    scale = FOCAL / seen.focal
    return replace(
        seen,
        points=(seen.points - seen.centre[:, None, None]) * scale[:, None, None, None],
        inverse_sigmas=seen.inverse_sigmas / scale[:, None, None],
        focal=torch.full_like(seen.focal, FOCAL),
        centre=torch.zeros_like(seen.centre),
    )


def evidence_of(seen: Sightings) -> KeypointTracks:
    """All people of the batch as the people of one clip."""

    def each(tensor: Tensor) -> Tensor:
        return tensor.transpose(0, 1)

    visible = each(seen.visible).float()
    return KeypointTracks(
        points=each(seen.points),
        inverse_sigmas=each(seen.inverse_sigmas),
        limb_directions=limb_directions(each(seen.cue_points[..., :3])),
        limb_weights=limb_confidence(each(seen.cue_points[..., 3])),
        seen=visible,
        present=torch.ones_like(visible),
        times=seen.times[0],
        focal=FOCAL,
        centre=(0.0, 0.0),
    )


def _record(
    seen: SeenBatch,
    normal: Sightings,
    evidence: KeypointTracks,
    lifted: PoseDistribution,
    fitted: MotionParameters,
    capsules: CapsuleBody,
) -> InitialMotions:
    def pairs(tensor: Tensor) -> Tensor:
        """[N * 2, ...] as [N, 2, ...]."""
        return tensor.unflatten(0, (-1, 2))

    def over_time(tensor: Tensor) -> Tensor:
        """[N * 2, T, ...] as [N, T, 2, ...]."""
        return pairs(tensor).transpose(1, 2)

    people = seen.truth.keypoints
    limbs = torch.cat([evidence.limb_directions, evidence.limb_weights[..., None]], dim=-1).transpose(0, 1)
    pelvis = over_time(fitted.pelvis().transpose(0, 1))
    rotations = fitted.rotations()[:, :, :22].transpose(0, 1)
    return InitialMotions(
        rotations=matrix_to_6d(over_time(rotations)),
        pelvis=pelvis,
        betas=pairs(fitted.betas),
        rotation_spread=over_time(lifted.rotation_spread),
        pelvis_spread=over_time(lifted.place_spread) * pelvis[..., 2:],
        betas_spread=pairs(lifted.betas_spread),
        points=over_time(normal.points),
        inverse_sigmas=over_time(normal.inverse_sigmas * normal.visible[..., None]),
        limbs=over_time(limbs * normal.visible[..., None, None]),
        visible=over_time(normal.visible),
        times=pairs(normal.times)[:, 0],
        true_rotations=matrix_to_6d(seen.truth.rotations),
        true_pelvis=seen.truth.pelvis,
        true_betas=seen.truth.betas,
        known=seen.truth.known,
        touching=part_distances(people[:, :, 0], people[:, :, 1], capsules) < TOUCH,
    )


def _compact(starts: InitialMotions) -> InitialMotions:
    """Half precision for all but places, pixels and times."""
    small = ("rotations", "betas", "rotation_spread", "pelvis_spread", "betas_spread", "limbs")
    small += ("true_rotations", "true_betas")
    return replace(starts, **{name: getattr(starts, name).half() for name in small})
