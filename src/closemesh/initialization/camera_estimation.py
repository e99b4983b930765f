"""Focal length and vertical from the people of a clip: what it costs to fit them with each of several focal lengths.

A wrong focal length bends limbs that reach to the camera, tilts people and lifts feet off a common floor. The costs are
a likelihood, which is combined with what is known about the camera.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.landmarks import PosedLandmarks
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.core.arrays import Bools, Floats
from closemesh.core.progress import Advance, Progress
from closemesh.fitting.floor import body_axes, foot_contact
from closemesh.fitting.keypoint_tracks import KeypointTracks, best_observed_frames
from closemesh.fitting.objective import POSE_PARAMETERS, FitModel, frame_loss
from closemesh.fitting.optimizer import CAMERA, minimize
from closemesh.geometry.camera import ray_change
from closemesh.geometry.transforms import upright_axes
from closemesh.initialization.camera_files import intrinsics_path
from closemesh.initialization.intrinsics import CameraPrior
from closemesh.initialization.lifting import WINDOW, lift_clip, lifted_parameters, lifted_reference
from closemesh.initialization.lifting_network import Lifter
from closemesh.losses.keypoints import limb_directions, pseudo_huber
from closemesh.structures import Camera, Clip, Observations, ObservedClip

NUM_FRAMES = 16  # Frames in which people are fitted, from at most NUM_SEGMENTS windows of the lifter.
NUM_SEGMENTS = 4
NUM_CANDIDATES = 9
ITERATIONS = 80
_RANGE = 2.6  # Standard deviations of the prior within which the candidates lie.
_REFIT_EVERY = 5  # Steps after which the floor is fitted to the feet again.
_AXIS_SIGMA = 0.12  # Radians between the axis of a standing person and the vertical.
# Frames with independent errors that all frames count as; measured on simulated clips that no benchmark uses.
_INDEPENDENT_FRAMES = 0.45
_HEIGHT_SIGMA = 0.05  # Meters of a standing foot above or below the floor.
_OUTLIER = 2.0  # Standard deviations from which feet and axes cost only linearly: people jump, bend and lie.
_REWEIGHTINGS = 2
_ROLL_SIGMA, _PITCH_SIGMA = 0.06, 0.3  # Radians of a camera about its axis, and up or down.
_LEVEL_SCALE = 2.0  # Standard deviations from which these have heavy tails.
_MIN_WEIGHT = 1e-3  # Of a level vertical, where no one is seen.
_MIN_UP_STD = 0.01  # Radians.
_UP_STD = 0.06  # Radians about each axis, of the vertical from people.
_FINE = 256  # Focal lengths at which the costs are interpolated.


@dataclass(frozen=True)
class CameraEstimate:
    """Focal length and vertical with their standard deviations."""

    focal: float
    """Pixels."""
    focal_log_std: float
    """Standard deviation of the logarithm of `focal`."""
    up_cam: Floats
    """[3] unit vector against gravity, camera axes."""
    up_std: float
    """Radians about each axis."""


def estimate_camera(
    prior: CameraPrior,
    clip: Clip,
    observations: Observations,
    model: FitModel,
    lifter: Lifter | None,
    progress: Progress,
) -> Camera:
    """The camera at the world's origin, with y of the world along the vertical; level without a lifter."""
    up = np.array(prior.up_cam or (0.0, -1.0, 0.0))
    up_std = prior.up_std if prior.up_cam else 0.0
    camera = _camera(prior, CameraEstimate(prior.focal, prior.focal_log_std, up, up_std), clip)
    if lifter is not None:
        with progress.task("camera", ITERATIONS) as advance:
            observed = ObservedClip(clip, observations, camera)
            camera = _camera(prior, estimate_from_people(prior, observed, model, lifter, advance), clip)
    if prior.source == "estimated" and camera.focal_std > 0:
        basis = "assumed as of a usual camera" if lifter is None else "estimated from the people"
        progress.note(
            f"focal length unknown: {camera.focal:.0f} +- {camera.focal_std:.0f} px {basis}; depths scale with it, "
            f"give --focal, --camera or {intrinsics_path(clip.path).name}"
        )
    return camera


def _camera(prior: CameraPrior, estimate: CameraEstimate, clip: Clip) -> Camera:
    T_cam_world = np.eye(4)
    T_cam_world[:3, :3] = upright_axes(estimate.up_cam, np.array([0.0, 0.0, -1.0]))
    return Camera(
        focal=estimate.focal,
        principal_point=prior.principal_point,
        size=clip.size,
        focal_source=prior.source,
        T_cam_world=np.tile(T_cam_world, (len(clip), 1, 1)),
        focal_std=estimate.focal * estimate.focal_log_std,
        up_std=estimate.up_std,
    )


def estimate_from_people(
    prior: CameraPrior, observed: ObservedClip, model: FitModel, lifter: Lifter, advance: Advance
) -> CameraEstimate:
    """The focal length and the vertical that fit the people best, near what is known before.

    With a focal length that is exact, only the vertical is estimated. Advances ITERATIONS steps.
    """
    log_focals = _candidates(prior)
    people = _lift_people(observed, np.exp(log_focals), model, lifter)
    costs, up = _fit_people(people, model, prior, advance)
    up_std = min(_UP_STD, prior.up_std) if prior.up_cam else _UP_STD
    if prior.focal_log_std == 0:
        return CameraEstimate(prior.focal, 0.0, up[0], up_std)
    fine = np.linspace(log_focals[0], log_focals[-1], _FINE)
    weights = _posterior(fine, np.interp(fine, log_focals, _without_peaks(costs)), prior)
    mean = float(weights @ fine)
    std = float(np.sqrt(weights @ (fine - mean) ** 2))
    at_mean = np.array([np.interp(mean, log_focals, axis) for axis in up.T])
    return CameraEstimate(math.exp(mean), std, at_mean / np.linalg.norm(at_mean), up_std)


def _candidates(prior: CameraPrior) -> Floats:
    """[G] logarithms of focal lengths over the range of the prior; one if it is exact."""
    if prior.focal_log_std == 0:
        return np.array([math.log(prior.focal)])
    return math.log(prior.focal) + prior.focal_log_std * np.linspace(-_RANGE, _RANGE, NUM_CANDIDATES)


def _without_peaks(costs: Floats) -> Floats:
    """The costs [G], each at most the mean of its neighbors: a peak is a fit that ended in a local minimum."""
    return np.concatenate([costs[:1], np.minimum(costs[1:-1], (costs[:-2] + costs[2:]) / 2), costs[-1:]])


def _posterior(log_focals: Floats, costs: Floats, prior: CameraPrior) -> Floats:
    """[N] probability of each focal length; log_focals [N] evenly spaced, costs [N] of the fits."""
    evidence = -_INDEPENDENT_FRAMES * costs
    evidence = evidence - 0.5 * ((log_focals - math.log(prior.focal)) / prior.focal_log_std) ** 2
    weights = np.exp(evidence - evidence.max())
    return weights / weights.sum()


@dataclass(frozen=True)
class _People:
    """P people in N frames with each of G focal lengths, as G * P people; candidate by candidate."""

    tracks: KeypointTracks  # Normalized; their reference is the lifted motion.
    start: MotionParameters
    standing: Tensor  # [N, P, 2] of `foot_contact`
    count: int  # G

    def by_candidate(self, values: Tensor) -> Tensor:
        """[G, N, P, ...] of values [N, G * P, ...]."""
        return values.unflatten(1, (self.count, -1)).transpose(0, 1)


def _lift_people(observed: ObservedClip, focals: Floats, model: FitModel, lifter: Lifter) -> _People:
    """The people of some frames, lifted with each focal length [G] in pixels."""
    parts = _windows(observed, model)
    lifted = [_lift_frames(parts, float(focal), model, lifter) for focal in focals]
    return _People(
        tracks=KeypointTracks.concat_people([tracks for tracks, _, _ in lifted]),
        start=MotionParameters.concat_people([start for _, start, _ in lifted]),
        standing=lifted[len(lifted) // 2][2],
        count=len(lifted),
    )


@dataclass(frozen=True)
class _Window:
    """A part of the clip that the lifter reads at once."""

    tracks: KeypointTracks
    centers: Floats  # [T, P, 2] middle of each box, pixels


def _windows(observed: ObservedClip, model: FitModel) -> list[_Window]:
    """Windows of the lifter, evenly over the frames with people."""
    observations, device = observed.observations, model.body.joint_template.device
    tracks = KeypointTracks.from_observations(observations, observed.clip.times, observed.camera, device)
    centers = (observations.boxes[..., :2] + observations.boxes[..., 2:]) / 2
    segments = _segments(np.asarray(observations.detected.any(1)))
    return [_Window(tracks.frames(segment), centers[segment]) for segment in segments]


def _segments(seen: Bools) -> list[slice]:
    """At most NUM_SEGMENTS windows of the lifter, evenly over the frames [T] in which people are seen."""
    frames = np.flatnonzero(seen) if seen.any() else np.arange(len(seen))
    count = min(NUM_SEGMENTS, -(-len(frames) // WINDOW))
    middles = frames[np.linspace(0, len(frames) - 1, 2 * count + 1).round().astype(int)[1::2]]
    starts = sorted({int(np.clip(middle - WINDOW // 2, 0, max(0, len(seen) - WINDOW))) for middle in middles})
    return [slice(start, min(start + WINDOW, len(seen))) for start in starts]


@torch.no_grad()
def _lift_frames(
    windows: Sequence[_Window], focal: float, model: FitModel, lifter: Lifter
) -> tuple[KeypointTracks, MotionParameters, Tensor]:
    """Tracks, lifted motion and foot contact in the frames of the fit, with one focal length."""
    parts = []
    for window in windows:
        tracks = _at_focal(window, focal).normalized()
        lifted = lift_clip(lifter, tracks)
        motion = lifted_parameters(model.body, lifted)
        standing = foot_contact(pose_parameters(model.body, motion).soles, tracks)
        chosen = best_observed_frames(tracks, NUM_FRAMES // len(windows))
        tracks = replace(tracks, reference=lifted_reference(lifted)).frames(chosen)
        parts.append((tracks, motion.frames(chosen), standing[chosen]))
    motion = MotionParameters.concat([motion for _, motion, _ in parts])
    betas = torch.stack([motion.betas for _, motion, _ in parts]).mean(0)
    frames = KeypointTracks.concat([tracks for tracks, _, _ in parts])
    return frames, motion.with_tensors(betas=betas), torch.cat([standing for _, _, standing in parts])


def _at_focal(window: _Window, focal: float) -> KeypointTracks:
    """The tracks with another focal length in pixels: 3D keypoints follow the viewing rays."""
    tracks = window.tracks
    assert tracks.points3d is not None
    x, y = tracks.principal_point.tolist()
    R = ray_change(window.centers, (float(tracks.focal), (x, y)), (focal, (x, y)))
    R = torch.as_tensor(R, dtype=torch.float32, device=tracks.points3d.device)
    points3d = torch.cat([tracks.points3d[..., :3] @ R.mT, tracks.points3d[..., 3:]], dim=-1)
    return replace(
        tracks,
        points3d=points3d,
        limb_directions=limb_directions(points3d[..., :3]),
        focal=torch.full_like(tracks.focal, focal),
    )


def _fit_people(people: _People, model: FitModel, prior: CameraPrior, advance: Advance) -> tuple[Floats, Floats]:
    """The cost [G] of a frame with each focal length, after the fit, and the verticals [G, 3]."""
    floor = _fit_floors(people, pose_parameters(model.body, people.start), prior)

    def loss(parameters: MotionParameters, step: int) -> Tensor:
        nonlocal floor
        posed = pose_parameters(model.body, parameters)
        if step % _REFIT_EVERY == 0:
            floor = _fit_floors(people, posed, prior, floor)
        shape = CAMERA.weights.shape * parameters.betas.square().sum()
        return _frame_costs(people, model, parameters, posed, floor).sum() + shape

    fitted = minimize(
        people.start,
        loss,
        iterations=ITERATIONS,
        learning_rate=CAMERA.learning_rate,
        free=(*POSE_PARAMETERS, "betas"),
        advance=advance,
    )
    with torch.no_grad():
        posed = pose_parameters(model.body, fitted)
        floor = _fit_floors(people, posed, prior, floor)
        costs = _frame_costs(people, model, fitted, posed, floor).sum(-1).mean(-1)
        if prior.up_cam is None:
            costs = costs + _LEVEL_SCALE**2 * torch.log1p(_level_tilt(floor) / _LEVEL_SCALE**2)
    return costs.double().cpu().numpy(), floor[:, :3].double().cpu().numpy()


def _frame_costs(
    people: _People, model: FitModel, parameters: MotionParameters, posed: PosedLandmarks, floor: Tensor
) -> Tensor:
    """The cost [G, N, P] of each person: the fit, the axis against the vertical, and feet off the floor [G, 4]."""
    detected = people.by_candidate(people.tracks.detected)
    own = people.by_candidate(frame_loss(model, parameters, posed, people.tracks, CAMERA.weights))
    up, offset = floor[:, None, None, :3], floor[:, None, None, 3:]
    tilt = (people.by_candidate(body_axes(posed.joints)) - up).square().sum(-1) / _AXIS_SIGMA**2
    heights = (people.by_candidate(posed.soles) * up[..., None, None, :]).sum(-1).amin(-1) + offset  # [G, N, P, 2]
    standing = pseudo_huber((heights / _HEIGHT_SIGMA).square(), _OUTLIER) * people.standing
    return (own + pseudo_huber(tilt, _OUTLIER) + standing.sum(-1)) * detected


@torch.no_grad()
def _fit_floors(people: _People, posed: PosedLandmarks, prior: CameraPrior, floor: Tensor | None = None) -> Tensor:
    """The floor [G, 4] of least cost in `_frame_costs`, by reweighted least squares from an earlier one."""
    soles = people.by_candidate(posed.soles)  # [G, N, P, 2, S, 3]
    axes = people.by_candidate(body_axes(posed.joints)).flatten(1, 2)  # [G, N * P, 3]
    detected = people.by_candidate(people.tracks.detected).flatten(1, 2).to(axes)
    if floor is None:
        up = F.normalize((axes * detected[..., None]).sum((0, 1)), dim=-1).expand(len(axes), 3)
        lowest = (soles * up[:, None, None, None, None]).sum(-1).flatten(1).median(1).values
        floor = torch.cat([up, -lowest[:, None]], dim=-1)
    known = _known_up(prior, axes, len(people.standing))
    for _ in range(_REWEIGHTINGS):
        heights = (soles * floor[:, None, None, None, None, :3]).sum(-1)
        feet = soles.gather(-2, heights.argmin(-1)[..., None, None].expand(*heights.shape[:-1], 1, 3)).flatten(1, -2)
        distance = ((feet * floor[:, None, :3]).sum(-1) + floor[:, 3:]) / _HEIGHT_SIGMA
        on_floor = people.standing.flatten() / _HEIGHT_SIGMA**2 / (1 + (distance / _OUTLIER) ** 2).sqrt()
        tilt = (axes - floor[:, None, :3]).square().sum(-1) / _AXIS_SIGMA**2
        upright = detected / _AXIS_SIGMA**2 / (1 + tilt / _OUTLIER**2).sqrt()
        # A few cameras are far from level, so that this term has the heavy tails of a Cauchy distribution.
        level = float(prior.up_cam is None) * len(people.standing) / (1 + _level_tilt(floor) / _LEVEL_SCALE**2)
        axes_and_known = torch.cat([axes, known[0]], 1), torch.cat([upright, known[1]], 1)
        floor = _solve_floor((feet, on_floor), axes_and_known, level)
    return floor


def _level_tilt(floor: Tensor) -> Tensor:
    """[G] squared distance of the vertical from that of a level camera in standard deviations; floor [G, 4]."""
    return (floor[:, 0] / _ROLL_SIGMA).square() + (floor[:, 2] / _PITCH_SIGMA).square()


def _solve_floor(feet: tuple[Tensor, Tensor], axes: tuple[Tensor, Tensor], level: Tensor) -> Tensor:
    """[G, 4] plane of least squares of on_floor (n p + d)^2 + upright |n - axis|^2 and tilt of the camera.

    feet: points p [G, M, 3] and their weights on_floor [G, M]. axes: [G, K, 3] and their weights upright [G, K].
    level [G]: weight of `_level_tilt`.
    """
    rows = F.pad(feet[0], (0, 1), value=1.0).double()
    system = rows.mT @ (feet[1][..., None] * rows)
    total = axes[1].double().sum(1) + _MIN_WEIGHT
    side = F.pad((axes[1][..., None] * axes[0]).double().sum(1), (0, 1))
    side[:, 1] -= _MIN_WEIGHT
    normal = torch.tensor([1.0, 1.0, 1.0, 1e-6], dtype=rows.dtype, device=rows.device)
    camera = torch.tensor([_ROLL_SIGMA**-2, 0.0, _PITCH_SIGMA**-2, 0.0], dtype=rows.dtype, device=rows.device)
    diagonal = total[:, None] * normal + level[:, None] * camera
    floor = torch.linalg.solve(system + torch.diag_embed(diagonal), side)
    return (floor / floor[:, :3].norm(dim=-1, keepdim=True)).to(feet[0])


def _known_up(prior: CameraPrior, like: Tensor, num_frames: int) -> tuple[Tensor, Tensor]:
    """The vertical of the prior as one more axis [G, 1, 3], and its weight [G, 1]; 0 without one. like: [G, ...]."""
    axis = like.new_tensor(prior.up_cam or (0.0, -1.0, 0.0)).expand(len(like), 1, 3)
    weight = num_frames / max(prior.up_std, _MIN_UP_STD) ** 2 if prior.up_cam else 0.0
    return axis, like.new_full((len(like), 1), weight)
