"""Stage two: from keypoint sequences to a first motion of each person alone."""

from __future__ import annotations

import torch

from closemesh.body.load import fitting_points
from closemesh.body.model import BodyModel
from closemesh.config import InitialiseConfig
from closemesh.energy.pose_prior import load_pose_prior
from closemesh.fitting.evidence import make_evidence
from closemesh.fitting.objective import Subject
from closemesh.fitting.result import to_motion
from closemesh.fitting.run import run_phases
from closemesh.fitting.schedule import SINGLE_PERSON
from closemesh.fitting.windows import blend_window, fill_unseen, split_windows
from closemesh.initialise.focal import first_camera
from closemesh.initialise.frames import fit_frames
from closemesh.initialise.shape import fit_shape
from closemesh.initialise.start import START_NAMES
from closemesh.progress import Progress
from closemesh.scene import BodyMotion, Camera, Clip, Observations


def initialise(
    clip: Clip,
    observations: Observations,
    body: BodyModel,
    config: InitialiseConfig,
    device: torch.device,
    progress: Progress,
) -> tuple[Camera, BodyMotion]:
    """The camera and a first motion of every person, each fitted alone; camera frame, one shape per person.

    The shape comes first, from a few frames; then every frame by itself from several starts; then the whole clip,
    smooth, in overlapping windows.
    """
    camera = first_camera(clip, config.focal, progress)
    evidence = make_evidence(observations, clip.times, camera, device)
    subject = Subject(fitting_points(body).to(device), load_pose_prior().to(device))
    chunks = split_windows(len(clip), config.window, 0)
    windows = split_windows(len(clip), config.window, config.overlap)
    steps = config.iterations * (2 + len(START_NAMES) * len(chunks) + len(windows))
    with progress.task("initialise", steps) as advance:
        betas = fit_shape(subject, evidence, config.iterations, advance)
        variables = fit_frames(subject, evidence, betas, chunks, config.iterations, advance)
        variables = fill_unseen(variables, evidence.seen > 0)
        for window in windows:
            piece, part = variables.frames(window), evidence.frames(window)
            piece = run_phases(subject, piece, part, SINGLE_PERSON, config.iterations, advance)
            variables = blend_window(variables, piece, window, config.overlap)
    return camera, to_motion(body, subject.body, variables, evidence)
