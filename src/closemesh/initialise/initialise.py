"""Stage two: from keypoint sequences to a first motion of each person alone, and how sure it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from closemesh.body.load import fitting_points
from closemesh.body.model import BodyModel
from closemesh.body.variables import MotionVariables
from closemesh.config import InitialiseConfig
from closemesh.energy.pose_prior import load_pose_prior
from closemesh.fitting.evidence import Evidence, make_evidence
from closemesh.fitting.hands import fit_hands
from closemesh.fitting.mouth import fit_jaw
from closemesh.fitting.objective import Subject
from closemesh.fitting.result import to_motion
from closemesh.fitting.run import run_phases
from closemesh.fitting.schedule import LIFTED
from closemesh.fitting.windows import blend_window, fill_unseen, split_windows
from closemesh.initialise.focal import first_camera
from closemesh.initialise.lift import anchor_of, lift_clip, lifted_variables, sightings
from closemesh.initialise.lifter import PoseDistribution, load_lifter
from closemesh.initialise.plain_fit import plain_fit
from closemesh.progress import Progress
from closemesh.scene import BodyMotion, Camera, Clip, Observations, PoseSpread

_PLAIN_SPREAD = (0.3, 0.05, 0.3, 1.0)  # Of a plain fit: radians, metres across the view and along it, betas.


def initialise(
    clip: Clip,
    observations: Observations,
    body: BodyModel,
    config: InitialiseConfig,
    device: torch.device,
    progress: Progress,
) -> tuple[Camera, BodyMotion, PoseSpread]:
    """The camera, a first motion of every person, each alone, and its spread; camera frame, one shape per person.

    The lifter tells a distribution over every frame (CloseInt's initialisation); a short fit brings it to the picture.
    """
    camera = first_camera(clip, config.focal, progress)
    evidence = make_evidence(observations, clip.times, camera, device)
    subject = Subject(fitting_points(body).to(device), load_pose_prior().to(device))
    if config.lifter:
        cue_points = torch.as_tensor(observations.cue_points, dtype=torch.float32, device=device)
        lifted = lift_clip(load_lifter(device), sightings(evidence, cue_points))
        variables = fit_near(subject, evidence, lifted, config, progress)
        spread = _lifted_spread(lifted, variables)
    else:
        variables = plain_fit(subject, evidence, config.plain_iterations, config.window, config.overlap, progress)
        spread = _plain_spread(variables)
    for fit in (fit_hands, fit_jaw):
        variables = fit(subject, variables, evidence, config.iterations, config.window, config.overlap, progress)
    return camera, to_motion(body, subject.body, variables, evidence), spread


def fit_near(
    subject: Subject, evidence: Evidence, lifted: PoseDistribution, config: InitialiseConfig, progress: Progress
) -> MotionVariables:
    """The motion that the pictures show, near the lifted one, smooth over the clip, in overlapping windows."""
    evidence = replace(evidence, anchor=anchor_of(lifted))
    variables = fill_unseen(lifted_variables(subject.body, lifted), evidence.present > 0)
    windows = split_windows(len(evidence.times), config.window, config.overlap)
    with progress.task("initialise", config.iterations * len(windows)) as advance:
        for frames in windows:
            piece, part = variables.frames(frames), evidence.frames(frames)
            piece = run_phases(subject, piece, part, LIFTED, config.iterations, advance)
            variables = blend_window(variables, piece, frames, config.overlap)
    return variables


def _lifted_spread(lifted: PoseDistribution, variables: MotionVariables) -> PoseSpread:
    pelvis = lifted.place_spread.transpose(0, 1) * variables.log_depth.exp()[..., None]
    return PoseSpread(_numpy(lifted.rotation_spread.transpose(0, 1)), _numpy(pelvis), _numpy(lifted.betas_spread))


def _plain_spread(variables: MotionVariables) -> PoseSpread:
    turn, across, along, beta = _PLAIN_SPREAD
    frames = variables.log_depth.shape
    pelvis = np.broadcast_to(np.array([across, across, along], np.float32), (*frames, 3))
    return PoseSpread(
        np.full((*frames, 22), turn, np.float32), pelvis.copy(), np.full(variables.betas.shape, beta, np.float32)
    )


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy().astype(np.float32)
