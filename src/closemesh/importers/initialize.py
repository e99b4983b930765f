"""Stage two from another tool's result: its people on our tracks and before our camera, as a first motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters
from closemesh.body.skinning import rest_joints
from closemesh.config.schema import InitialiseConfig
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.progress import Advance, NullProgress, Progress
from closemesh.fitting.hands import fit_hands
from closemesh.fitting.jaw import fit_jaw
from closemesh.fitting.keypoint_tracks import KeypointTracks, make_evidence
from closemesh.fitting.objective import FitModel, from_motion, to_motion
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.importers.association import MatchedPoses, match_to_tracks, on_clip
from closemesh.importers.body_fitting import choose_betas, file_betas, fit_points, fitted_betas
from closemesh.importers.camera_alignment import estimate_extrinsics, to_clip_camera
from closemesh.importers.registry import read_tool_result
from closemesh.importers.results import ImportedResult
from closemesh.initialization.initialize import estimate_camera, initialise
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.structures import BodyMotion, Camera, Clip, Observations, PoseUncertainty
from closemesh.temporal import interpolate_missing

TURN, ACROSS, ALONG, BETA = 0.2, 0.05, 0.3, 1.0
"""The default spread of a tool's pose: radians about each axis, metres across the view and along it, betas. Tools do
not say how sure they are; errors of 5 to 10 cm at the joints, as their papers report, are about this."""

_FINGERS = slice(25, 55)
_SOMEWHERE = (0.0, 0.0, 3.0)  # Metres; where somebody who is never told of is put.


def start_from_tool(
    path: Path,
    clip: Clip,
    observations: Observations,
    body: BodyModel,
    config: InitialiseConfig,
    device: torch.device,
    progress: Progress,
) -> tuple[Camera, BodyMotion, PoseUncertainty]:
    """What `initialise` gives, with the poses of another tool's file; camera frame.

    Where the file has nobody for a sighting our own first pose stands. Raises InputError.
    """
    told = read_tool_result(path, clip)
    camera = tool_view(told, clip, config.focal, progress)
    found = tool_poses(told, clip, observations, camera, body)
    missing = observations.detected & ~found.valid
    _tell(told, found, int(missing.sum()), body, progress)
    own = None
    if missing.any():
        own_config = replace(config, focal=camera.focal)
        own = initialise(clip, observations, body, own_config, device, progress)[1:]
    evidence = make_evidence(observations, clip.times, camera, device)
    with progress.task(f"start from {told.tool}", None) as advance:
        variables = _first_variables(found, own and own[0], evidence, body, advance)
    points = load_landmark_body(body).to(device)
    subject = FitModel(points, load_pose_prior().to(device))
    for fit in (fit_hands, fit_jaw):
        variables = fit(subject, variables, evidence, config.iterations, config.window, config.overlap, progress)
    made = to_motion(body, points, variables, evidence)
    motion = made.with_pose(confidence=(made.confidence * found.confidence).astype(np.float32))
    return camera, motion, _spread(found, own and own[1], motion)


def tool_view(told: ImportedResult, clip: Clip, focal: float | None, progress: Progress) -> Camera:
    """Our camera; when nothing else tells the focal length, with the tool's, if that is one of the whole frame."""
    camera = estimate_camera(clip, focal, NullProgress())
    if camera.focal_source != "estimated" or told.camera is None or told.camera.of_crops:
        return estimate_camera(clip, focal, progress)
    progress.note(f"focal length unknown: {told.camera.focal:.0f} px taken from the result of {told.tool}")
    return replace(camera, focal=told.camera.focal, principal_point=told.camera.centre)


def tool_poses(
    told: ImportedResult, clip: Clip, observations: Observations, camera: Camera, body: BodyModel
) -> MatchedPoses:
    """The tool's people before `camera`, each on the track that it shows. Raises InputError when none shows any."""
    points = load_landmark_body(body).to("cpu")
    told = replace(told, people=tuple(fit_points(person, points) for person in told.people))
    if told.camera is None:
        people = [on_clip(person, clip) for person in told.people]
        T_cam_world = estimate_extrinsics(people, observations, camera, points)
        people = [person.moved(T_cam_world) for person in people]
    else:
        people = [on_clip(to_clip_camera(person, told.camera, camera), clip) for person in told.people]
    found = match_to_tracks(people, observations, camera, points)
    if not found.valid.any():
        raise InputError(f"the result of {told.tool} shows none of the people of this clip; is it of another clip?")
    return found


def _tell(told: ImportedResult, found: MatchedPoses, missing: int, body: BodyModel, progress: Progress) -> None:
    nobody = [str(track) for track, person in enumerate(found.people) if person is None]
    if nobody:
        progress.note(f"{told.tool} shows nobody where track {', '.join(nobody)} is: our own first poses stand there")
    elif missing:
        progress.note(f"{told.tool} lacks {missing} of the sightings: our own first poses stand there")
    if any(person is not None and file_betas(person, body) is None for person in found.people):
        progress.note(f"the shapes of {told.tool} belong to another body: fitted to the keypoints at its distances")


def _first_variables(
    found: MatchedPoses, own: BodyMotion | None, evidence: KeypointTracks, body: BodyModel, advance: Advance
) -> MotionParameters:
    device = evidence.seen.device
    points = load_landmark_body(body).to(device)
    motion = _mean_shaped(found, own, body)
    variables = from_motion(points, motion, device)
    if own is None:
        variables = interpolate_missing(variables, torch.as_tensor(found.valid, device=device))
    told = [file_betas(person, body) for person in found.people]
    if own is not None:
        told = [own.betas[k] if found.people[k] is None else betas for k, betas in enumerate(told)]
    unknown = any(betas is None for betas in told)
    seen = fitted_betas(points, variables, evidence, advance) if unknown else motion.betas
    betas = choose_betas(told, seen)
    return variables.with_tensors(betas=torch.as_tensor(betas, dtype=torch.float32, device=device))


def _mean_shaped(found: MatchedPoses, own: BodyMotion | None, body: BodyModel) -> BodyMotion:
    """The tool's poses on the mean shape; those of `own`, if given, where it tells nothing."""
    frames, people = found.valid.shape
    relaxed = axis_angle_to_matrix(body.hand_mean).cpu().numpy().reshape(30, 3, 3)
    rotations, pelvis = found.rotations.copy(), np.where(found.valid[..., None], found.pelvis, _SOMEWHERE)
    for track, person in enumerate(found.people):
        if person is None or not person.known_hands:
            rotations[:, track, _FINGERS] = relaxed
    if own is not None:
        rotations = np.where(found.valid[..., None, None, None], rotations, own.rotations)
        pelvis = np.where(found.valid[..., None], pelvis, own.transl + _rest_pelvis(body, own.betas))
    betas = np.zeros((people, body.num_betas), np.float32)
    return BodyMotion(
        body_model=body.name,
        betas=betas,
        rotations=rotations.astype(np.float32),
        transl=(pelvis - _rest_pelvis(body, betas)).astype(np.float32),
        expression=np.zeros((frames, people, body.num_expressions), np.float32),
        valid=found.valid,
        confidence=found.valid.astype(np.float32),
    )


def _rest_pelvis(body: BodyModel, betas: Floats) -> Floats:
    """[P, 3] metres."""
    return rest_joints(body, torch.as_tensor(betas).to(body.joint_template))[:, 0].cpu().numpy()


def _spread(found: MatchedPoses, own: PoseUncertainty | None, motion: BodyMotion) -> PoseUncertainty:
    """The default one; that of our own first poses where they stand."""
    frames, people = found.valid.shape
    rotations = np.full((frames, people, 22), TURN, np.float32)
    pelvis = np.tile(np.array([ACROSS, ACROSS, ALONG], np.float32), (frames, people, 1))
    if own is not None:
        rotations = np.where(found.valid[..., None], rotations, own.rotation_std)
        pelvis = np.where(found.valid[..., None], pelvis, own.pelvis_std)
    return PoseUncertainty(rotations, pelvis, np.full(motion.betas.shape, BETA, np.float32))
