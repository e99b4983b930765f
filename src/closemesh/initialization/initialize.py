"""Stage `initialise`: camera and focal length, and a first motion of each person alone, with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters, change_people
from closemesh.config.schema import InitialiseConfig
from closemesh.core.progress import Advance, Progress
from closemesh.fitting.hands import fit_hands
from closemesh.fitting.jaw import fit_jaw
from closemesh.fitting.keypoint_tracks import KeypointTracks, best_observed_frames
from closemesh.fitting.objective import POSE_PARAMETERS, FitModel, run_phases, to_motion
from closemesh.fitting.optimizer import NEAR_PREDICTION, SHAPE, SINGLE_FRAMES, SINGLE_PERSON, Phase
from closemesh.fitting.silhouette_shape import Labels, Masks, fit_silhouette_shape
from closemesh.initialization.camera_estimation import estimate_camera
from closemesh.initialization.intrinsics import find_camera_prior
from closemesh.initialization.lifting import lift_clip, lifted_parameters, lifted_reference
from closemesh.initialization.lifting_network import PoseDistribution, load_lifter
from closemesh.initialization.multi_start import START_NAMES, fit_frames, initial_parameters
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.structures import BodyMotion, Camera, Clip, Observations, PoseUncertainty
from closemesh.temporal import crossfade_window, interpolate_missing, split_windows

SHAPE_FRAMES = 24  # Frames, evenly over the clip, that the shape is fitted to.
SILHOUETTE_BETAS_STD = 0.4  # Of betas that silhouettes determine.
_MULTI_START_STD = (0.3, 0.05, 0.3, 1.0)  # Radians, meters across the view and along it, betas.


def initialise(
    clip: Clip,
    observations: Observations,
    body: BodyModel,
    config: InitialiseConfig,
    device: torch.device,
    progress: Progress,
    labels: Callable[[int], Labels] | None = None,
    camera: Camera | None = None,
) -> tuple[Camera, BodyMotion, PoseUncertainty]:
    """The camera, a first motion of every person and its uncertainty; camera frame, one shape per person.

    The lifter predicts a distribution for every frame (CloseInt's initialization). A short fit aligns it to the
    keypoints. labels: the label image of a frame; None without masks, which else correct the shapes. camera: estimated
    by default. Raises InputError when a mask or a camera file is damaged.
    """
    model = FitModel(load_landmark_body(body).to(device), load_pose_prior().to(device))
    lifter = load_lifter(device) if config.lifter else None
    if camera is None:
        prior = find_camera_prior(clip, config.focal, config.camera)
        camera = estimate_camera(prior, clip, observations, model, lifter, progress)
    tracks = KeypointTracks.from_observations(observations, clip.times, camera, device)
    near_prediction = tracks
    if lifter is not None:
        lifted = lift_clip(lifter, tracks)
        near_prediction = replace(tracks, reference=lifted_reference(lifted))
        predicted = interpolate_missing(lifted_parameters(model.body, lifted), tracks.present)
        parameters = fit_clip(model, predicted, near_prediction, NEAR_PREDICTION, config, progress)
        uncertainty = _lifted_uncertainty(lifted, parameters)
    else:
        parameters = multi_start_fit(model, tracks, config, progress)
        uncertainty = _multi_start_uncertainty(parameters)
    if labels is not None:
        masks = Masks(labels, observations)
        parameters, fitted = fit_clear_shapes(model, body, parameters, near_prediction, masks, config, progress)
        betas_std = np.where(fitted.cpu().numpy()[:, None], SILHOUETTE_BETAS_STD, uncertainty.betas_std)
        uncertainty = replace(uncertainty, betas_std=betas_std.astype(np.float32))
    for fit in (fit_hands, fit_jaw):
        parameters = fit(model, parameters, tracks, config.iterations, config.window, config.overlap, progress)
    return camera, to_motion(body, model.body, parameters, tracks), uncertainty


def fit_clip(
    model: FitModel,
    start: MotionParameters,
    tracks: KeypointTracks,
    phases: Sequence[Phase],
    config: InitialiseConfig,
    progress: Progress,
) -> MotionParameters:
    """The motion that fits the keypoints near the reference of the tracks, smooth over the clip, in windows."""
    parameters = start
    windows = split_windows(len(tracks.times), config.window, config.overlap)
    steps = sum(round(config.iterations * phase.fraction) for phase in phases)
    with progress.task("initialise", steps * len(windows)) as advance:
        for frames in windows:
            fitted = run_phases(model, start.frames(frames), tracks.frames(frames), phases, config.iterations, advance)
            parameters = crossfade_window(parameters, fitted, frames, config.overlap)
    return parameters


def fit_clear_shapes(
    model: FitModel,
    body: BodyModel,
    parameters: MotionParameters,
    tracks: KeypointTracks,
    masks: Masks,
    config: InitialiseConfig,
    progress: Progress,
) -> tuple[MotionParameters, Tensor]:
    """The motion with the shapes that masks of clear frames show, and [P] bool who has them; others are unchanged.

    tracks: with the reference of the motion, if it has one. Raises InputError when a mask is damaged.
    """
    shaped, fitted = fit_silhouette_shape(model, body, parameters, tracks, masks, config.iterations, progress)
    if not fitted.any():
        return parameters, fitted
    if tracks.reference is not None:
        change = shaped.log_depth - parameters.log_depth
        tracks = replace(tracks, reference=replace(tracks.reference, log_depth=tracks.reference.log_depth + change))
    phases = SINGLE_PERSON if tracks.reference is None else NEAR_PREDICTION[-1:]
    settled = fit_clip(model, shaped, tracks, phases, config, progress)
    return change_people(fitted, settled, parameters), fitted


def multi_start_fit(
    model: FitModel, tracks: KeypointTracks, config: InitialiseConfig, progress: Progress
) -> MotionParameters:
    """The motion without the lifter: the shape from a few frames, every frame, then the clip in overlapping windows."""
    length, iterations = len(tracks.times), config.multi_start_iterations
    chunks = split_windows(length, config.window, 0)
    windows = split_windows(length, config.window, config.overlap)
    steps = iterations * (2 + len(START_NAMES) * len(chunks) + len(windows))
    with progress.task("initialise", steps) as advance:
        betas = fit_shape(model, tracks, iterations, advance)
        parameters = fit_frames(model, tracks, betas, chunks, iterations, advance)
        parameters = interpolate_missing(parameters, tracks.detected)
        for frames in windows:
            start, part = parameters.frames(frames), tracks.frames(frames)
            fitted = run_phases(model, start, part, SINGLE_PERSON, iterations, advance)
            parameters = crossfade_window(parameters, fitted, frames, config.overlap)
    return parameters


def fit_shape(model: FitModel, tracks: KeypointTracks, iterations: int, advance: Advance) -> Tensor:
    """Betas [P, B] from the frames with most keypoints; the poses of the fit are discarded."""
    tracks = tracks.frames(best_observed_frames(tracks, SHAPE_FRAMES))
    betas = tracks.points2d.new_zeros(tracks.detected.shape[1], model.body.num_betas)
    parameters = initial_parameters(model.body, tracks, betas)[0]
    parameters = run_phases(model, parameters, tracks, SINGLE_FRAMES, iterations, advance)
    free = (*POSE_PARAMETERS, "betas")
    return run_phases(model, parameters, tracks, SHAPE, iterations, advance, free=free).betas


def _lifted_uncertainty(lifted: PoseDistribution, parameters: MotionParameters) -> PoseUncertainty:
    pelvis = lifted.place_std.transpose(0, 1) * parameters.log_depth.exp()[..., None]
    return PoseUncertainty(_numpy(lifted.rotation_std.transpose(0, 1)), _numpy(pelvis), _numpy(lifted.betas_std))


def _multi_start_uncertainty(parameters: MotionParameters) -> PoseUncertainty:
    rotation, across, along, beta = _MULTI_START_STD
    frames = parameters.log_depth.shape
    pelvis = np.broadcast_to(np.array([across, across, along], np.float32), (*frames, 3))
    return PoseUncertainty(
        np.full((*frames, 22), rotation, np.float32),
        pelvis.copy(),
        np.full(parameters.betas.shape, beta, np.float32),
    )


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy().astype(np.float32)
