"""The stage, camera and focal length, shape, multi-start fallback.

One shape per person, from the frames in which most is seen.

A first motion without the lifter: every frame by itself from several starts, then smooth over the clip.

The focal length: from the option, a sidecar file, the clip's metadata, else assumed from the picture's size.

Stage two: from keypoint sequences to a first motion of each person alone, and how sure it is.
"""

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
from closemesh.fitting.keypoint_tracks import KeypointTracks, best_seen_frames, make_evidence
from closemesh.fitting.objective import POSE_VARIABLES, FitModel, run_phases, to_motion
from closemesh.fitting.optimizer import NEAR_PREDICTION, SHAPE, SINGLE_FRAMES, SINGLE_PERSON
from closemesh.geometry.camera import default_focal
from closemesh.initialization.lifting import anchor_of, lift_clip, lifted_variables, sightings
from closemesh.initialization.lifting_network import PoseDistribution, load_lifter
from closemesh.initialization.multi_start import START_NAMES, fit_frames, initial_parameters
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.structures import BodyMotion, Camera, Clip, FocalSource, Observations, PoseUncertainty
from closemesh.temporal import crossfade_window, interpolate_missing, split_windows

SHAPE_FRAMES = 24  # Frames, spread over the clip, that the shape is learned from.


def fit_shape(subject: FitModel, evidence: KeypointTracks, iterations: int, advance: Advance) -> Tensor:
    """Betas [P, B]; the poses found on the way are thrown away."""
    evidence = evidence.frames(best_seen_frames(evidence, SHAPE_FRAMES))
    betas = evidence.seen.new_zeros(evidence.seen.shape[1], subject.body.num_betas)
    variables = initial_parameters(subject.body, evidence, betas)[0]
    variables = run_phases(subject, variables, evidence, SINGLE_FRAMES, iterations, advance)
    variables = run_phases(subject, variables, evidence, SHAPE, iterations, advance, free=(*POSE_VARIABLES, "betas"))
    return variables.betas


def multi_start_fit(
    subject: FitModel, evidence: KeypointTracks, iterations: int, window: int, overlap: int, progress: Progress
) -> MotionParameters:
    """The shape comes first, from a few frames; then every frame; then the whole clip in overlapping windows."""
    length = len(evidence.times)
    chunks, windows = split_windows(length, window, 0), split_windows(length, window, overlap)
    steps = iterations * (2 + len(START_NAMES) * len(chunks) + len(windows))
    with progress.task("initialise", steps) as advance:
        betas = fit_shape(subject, evidence, iterations, advance)
        variables = fit_frames(subject, evidence, betas, chunks, iterations, advance)
        variables = interpolate_missing(variables, evidence.seen > 0)
        for frames in windows:
            piece, part = variables.frames(frames), evidence.frames(frames)
            piece = run_phases(subject, piece, part, SINGLE_PERSON, iterations, advance)
            variables = crossfade_window(variables, piece, frames, overlap)
    return variables


# World axes before gravity is known: y up, z towards the viewer.
_LEVEL_CAMERA = np.diag([1.0, -1.0, -1.0, 1.0])


def estimate_camera(clip: Clip, focal: float | None, progress: Progress) -> Camera:
    """The camera of the clip, level at the world's origin; `focal` in pixels overrides every other source."""
    width, height = clip.size
    value, centre, source = _find_intrinsics(clip, focal)
    if source == "estimated":
        progress.note(
            f"focal length unknown: {value:.0f} px assumed (the picture's diagonal); depths scale with it, "
            f"give --focal or {sidecar_path(clip.path).name}"
        )
    return Camera(
        focal=value,
        principal_point=centre or (width / 2, height / 2),
        size=clip.size,
        focal_source=source,
        T_cam_world=np.tile(_LEVEL_CAMERA, (len(clip), 1, 1)),
    )


def sidecar_path(clip: Path) -> Path:
    """CLIP.intrinsics.json beside the clip."""
    return clip.with_name(f"{clip.name}.intrinsics.json")


def _find_intrinsics(clip: Clip, focal: float | None) -> tuple[float, tuple[float, float] | None, FocalSource]:
    if focal is not None:
        return focal, None, "option"
    sidecar = sidecar_path(clip.path)
    if sidecar.is_file():
        value, centre = read_sidecar(sidecar, clip.size)
        return value, centre, "sidecar"
    if clip.focal_px is not None:
        return clip.focal_px, None, "metadata"
    return default_focal(clip.size), None, "estimated"


def read_sidecar(path: Path, size: tuple[int, int]) -> tuple[float, tuple[float, float] | None]:
    """Focal length and principal point in pixels of a picture of `size`.

    The file holds {"fx": ..., "fy": ..., "cx": ..., "cy": ..., "width": ..., "height": ...} in pixels; fy, cx, cy and
    the size may be missing. Raises InputError when it cannot be read.
    """
    try:
        values = json.loads(path.read_text())
        focal = (float(values["fx"]) + float(values.get("fy", values["fx"]))) / 2
        scale = size[0] / float(values.get("width", size[0]))
        centre = (
            (float(values["cx"]) * scale, float(values["cy"]) * scale) if "cx" in values and "cy" in values else None
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise InputError(f'{path} is not an intrinsics file; it needs {{"fx": pixels}} ({error})') from error
    if not focal > 0:
        raise InputError(f"{path}: the focal length must be positive, not {focal}")
    return focal * scale, centre


_PLAIN_SPREAD = (0.3, 0.05, 0.3, 1.0)  # Of a plain fit: radians, metres across the view and along it, betas.


def initialise(
    clip: Clip,
    observations: Observations,
    body: BodyModel,
    config: InitialiseConfig,
    device: torch.device,
    progress: Progress,
) -> tuple[Camera, BodyMotion, PoseUncertainty]:
    """The camera, a first motion of every person, each alone, and its spread; camera frame, one shape per person.

    The lifter tells a distribution over every frame (CloseInt's initialisation); a short fit brings it to the picture.
    """
    camera = estimate_camera(clip, config.focal, progress)
    evidence = make_evidence(observations, clip.times, camera, device)
    subject = FitModel(load_landmark_body(body).to(device), load_pose_prior().to(device))
    if config.lifter:
        cue_points = torch.as_tensor(observations.keypoints3d, dtype=torch.float32, device=device)
        lifted = lift_clip(load_lifter(device), sightings(evidence, cue_points))
        variables = fit_near_prediction(subject, evidence, lifted, config, progress)
        spread = _lifted_spread(lifted, variables)
    else:
        variables = multi_start_fit(
            subject, evidence, config.multi_start_iterations, config.window, config.overlap, progress
        )
        spread = _plain_spread(variables)
    for fit in (fit_hands, fit_jaw):
        variables = fit(subject, variables, evidence, config.iterations, config.window, config.overlap, progress)
    return camera, to_motion(body, subject.body, variables, evidence), spread


def fit_near_prediction(
    subject: FitModel, evidence: KeypointTracks, lifted: PoseDistribution, config: InitialiseConfig, progress: Progress
) -> MotionParameters:
    """The motion that the pictures show, near the lifted one, smooth over the clip, in overlapping windows."""
    evidence = replace(evidence, anchor=anchor_of(lifted))
    variables = interpolate_missing(lifted_variables(subject.body, lifted), evidence.present > 0)
    windows = split_windows(len(evidence.times), config.window, config.overlap)
    with progress.task("initialise", config.iterations * len(windows)) as advance:
        for frames in windows:
            piece, part = variables.frames(frames), evidence.frames(frames)
            piece = run_phases(subject, piece, part, NEAR_PREDICTION, config.iterations, advance)
            variables = crossfade_window(variables, piece, frames, config.overlap)
    return variables


def _lifted_spread(lifted: PoseDistribution, variables: MotionParameters) -> PoseUncertainty:
    pelvis = lifted.place_spread.transpose(0, 1) * variables.log_depth.exp()[..., None]
    return PoseUncertainty(_numpy(lifted.rotation_spread.transpose(0, 1)), _numpy(pelvis), _numpy(lifted.betas_spread))


def _plain_spread(variables: MotionParameters) -> PoseUncertainty:
    turn, across, along, beta = _PLAIN_SPREAD
    frames = variables.log_depth.shape
    pelvis = np.broadcast_to(np.array([across, across, along], np.float32), (*frames, 3))
    return PoseUncertainty(
        np.full((*frames, 22), turn, np.float32), pelvis.copy(), np.full(variables.betas.shape, beta, np.float32)
    )


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy().astype(np.float32)
