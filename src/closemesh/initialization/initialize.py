"""Stage `initialise`: camera and focal length, and a first motion of each person alone, with its uncertainty."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters
from closemesh.config.schema import InitialiseConfig
from closemesh.core.errors import InputError
from closemesh.core.progress import Advance, Progress
from closemesh.fitting.hands import fit_hands
from closemesh.fitting.jaw import fit_jaw
from closemesh.fitting.keypoint_tracks import KeypointTracks, best_observed_frames
from closemesh.fitting.objective import POSE_PARAMETERS, FitModel, run_phases, to_motion
from closemesh.fitting.optimizer import NEAR_PREDICTION, SHAPE, SINGLE_FRAMES, SINGLE_PERSON
from closemesh.geometry.camera import default_focal
from closemesh.initialization.lifting import lift_clip, lifted_parameters, lifted_reference
from closemesh.initialization.lifting_network import PoseDistribution, load_lifter
from closemesh.initialization.multi_start import START_NAMES, fit_frames, initial_parameters
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.structures import BodyMotion, Camera, Clip, FocalSource, Observations, PoseUncertainty
from closemesh.temporal import crossfade_window, interpolate_missing, split_windows

SHAPE_FRAMES = 24  # Frames, evenly over the clip, that the shape is fitted to.
_MULTI_START_STD = (0.3, 0.05, 0.3, 1.0)  # Radians, meters across the view and along it, betas.
_LEVEL_CAMERA = np.diag([1.0, -1.0, -1.0, 1.0])  # World axes before gravity is known: y up, z towards the camera.


def initialise(
    clip: Clip,
    observations: Observations,
    body: BodyModel,
    config: InitialiseConfig,
    device: torch.device,
    progress: Progress,
) -> tuple[Camera, BodyMotion, PoseUncertainty]:
    """The camera, a first motion of every person and its uncertainty; camera frame, one shape per person.

    The lifter predicts a distribution for every frame (CloseInt's initialization). A short fit aligns it to the
    keypoints.
    """
    camera = estimate_camera(clip, config.focal, progress)
    tracks = KeypointTracks.from_observations(observations, clip.times, camera, device)
    model = FitModel(load_landmark_body(body).to(device), load_pose_prior().to(device))
    if config.lifter:
        lifted = lift_clip(load_lifter(device), tracks)
        parameters = fit_near_prediction(model, tracks, lifted, config, progress)
        uncertainty = _lifted_uncertainty(lifted, parameters)
    else:
        parameters = multi_start_fit(model, tracks, config, progress)
        uncertainty = _multi_start_uncertainty(parameters)
    for fit in (fit_hands, fit_jaw):
        parameters = fit(model, parameters, tracks, config.iterations, config.window, config.overlap, progress)
    return camera, to_motion(body, model.body, parameters, tracks), uncertainty


def fit_near_prediction(
    model: FitModel, tracks: KeypointTracks, lifted: PoseDistribution, config: InitialiseConfig, progress: Progress
) -> MotionParameters:
    """The motion that fits the keypoints near the lifted one, smooth over the clip, in overlapping windows."""
    tracks = replace(tracks, reference=lifted_reference(lifted))
    predicted = interpolate_missing(lifted_parameters(model.body, lifted), tracks.present)
    parameters = predicted
    windows = split_windows(len(tracks.times), config.window, config.overlap)
    with progress.task("initialise", config.iterations * len(windows)) as advance:
        for frames in windows:
            start, part = predicted.frames(frames), tracks.frames(frames)
            fitted = run_phases(model, start, part, NEAR_PREDICTION, config.iterations, advance)
            parameters = crossfade_window(parameters, fitted, frames, config.overlap)
    return parameters


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


def estimate_camera(clip: Clip, focal: float | None, progress: Progress) -> Camera:
    """The camera of the clip, level at the world's origin.

    focal: pixels, overrides every other source: the intrinsics file, the metadata, an estimate from the image size.
    Raises InputError when the intrinsics file cannot be read.
    """
    width, height = clip.size
    value, principal_point, source = _find_intrinsics(clip, focal)
    if source == "estimated":
        progress.note(
            f"focal length unknown: {value:.0f} px assumed (a usual camera); depths scale with it, "
            f"give --focal or {intrinsics_path(clip.path).name}"
        )
    return Camera(
        focal=value,
        principal_point=principal_point or (width / 2, height / 2),
        size=clip.size,
        focal_source=source,
        T_cam_world=np.tile(_LEVEL_CAMERA, (len(clip), 1, 1)),
    )


def intrinsics_path(clip: Path) -> Path:
    """CLIP.intrinsics.json beside the clip."""
    return clip.with_name(f"{clip.name}.intrinsics.json")


def _find_intrinsics(clip: Clip, focal: float | None) -> tuple[float, tuple[float, float] | None, FocalSource]:
    if focal is not None:
        return focal, None, "option"
    file = intrinsics_path(clip.path)
    if file.is_file():
        value, principal_point = read_intrinsics(file, clip.size)
        return value, principal_point, "sidecar"
    if clip.focal_px is not None:
        return clip.focal_px, None, "metadata"
    return default_focal(clip.size), None, "estimated"


def read_intrinsics(path: Path, size: tuple[int, int]) -> tuple[float, tuple[float, float] | None]:
    """Focal length and principal point in pixels of an image of `size`, width and height.

    The file holds {"fx": ..., "fy": ..., "cx": ..., "cy": ..., "width": ..., "height": ...} in pixels; fy, cx, cy and
    the size are optional. Raises InputError when it cannot be read.
    """
    try:
        values = json.loads(path.read_text())
        focal = (float(values["fx"]) + float(values.get("fy", values["fx"]))) / 2
        scale = size[0] / float(values.get("width", size[0]))
        has_point = "cx" in values and "cy" in values
        principal_point = (float(values["cx"]) * scale, float(values["cy"]) * scale) if has_point else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f'{path} is not an intrinsics file; it needs {{"fx": pixels}} ({error})') from error
    if not focal > 0:
        raise InputError(f"{path}: the focal length must be positive, not {focal}")
    return focal * scale, principal_point
