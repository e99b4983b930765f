"""Stage `initialise` from another tool's result: its people, on the tracks of the clip, as the first motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from closemesh.body.landmarks import LandmarkBody
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters, change_people, pose_parameters, rest_pelvis
from closemesh.config.schema import InitialiseConfig
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.progress import Advance, Progress
from closemesh.fitting.hands import fit_hands
from closemesh.fitting.jaw import fit_jaw
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel, from_motion, to_motion
from closemesh.fitting.optimizer import NEAR_PREDICTION
from closemesh.fitting.silhouette_shape import Labels, Masks
from closemesh.geometry.camera import project
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.importers.association import MatchedPoses, match_to_tracks, on_clip
from closemesh.importers.body_fitting import choose_betas, file_betas, fit_keypoints, fitted_betas
from closemesh.importers.camera_alignment import estimate_extrinsics, to_clip_camera
from closemesh.importers.fusion import FusedPoses, fuse_poses
from closemesh.importers.registry import read_imported_result
from closemesh.importers.results import ImportedResult
from closemesh.importers.uncertainty import (
    DEPTH_STD,
    LATERAL_STD,
    ROTATION_STD,
    compare_limbs,
    overconfidence,
    unseen_joints,
)
from closemesh.initialization.camera_estimation import estimate_camera
from closemesh.initialization.initialize import fit_clear_shapes, fit_clip, initialise
from closemesh.initialization.intrinsics import CameraPrior, check_focal, find_camera_prior
from closemesh.initialization.lifting import lift_clip, lifted_parameters
from closemesh.initialization.lifting_network import PoseDistribution, load_lifter
from closemesh.losses.pose_prior import load_pose_prior
from closemesh.structures import BodyMotion, Camera, Clip, Observations, ObservedClip, PoseUncertainty
from closemesh.temporal import interpolate_missing

BETAS_STD = 1.0  # Of an imported shape, without the lifter.
_FINGERS = slice(25, 55)
_CHUNK = 64  # Frames posed at a time.
_DEFAULT_PELVIS = (0.0, 0.0, 3.0)  # Meters; for frames without a pose.


def import_initial_motion(
    path: Path,
    clip: Clip,
    observations: Observations,
    body: BodyModel,
    config: InitialiseConfig,
    device: torch.device,
    progress: Progress,
    labels: Callable[[int], Labels] | None = None,
) -> tuple[Camera, BodyMotion, PoseUncertainty]:
    """The same records as `initialise`, with the poses of another tool's result file; camera frame.

    Detections without an imported pose get the pose of `initialise`. labels: the label image of a frame; None without
    masks, which else correct the shapes that the file does not know. Raises InputError when the file cannot be read or
    none of its people matches a track.
    """
    result = read_imported_result(path, clip)
    landmarks = load_landmark_body(body).to(device)
    model = FitModel(landmarks, load_pose_prior().to(device))
    prior = choose_prior(result, clip, config, progress)
    lifter = load_lifter(device) if config.lifter else None
    camera = estimate_camera(prior, clip, observations, model, lifter, progress)
    matched = match_result(result, ObservedClip(clip, observations, camera), body)
    missing = observations.detected & ~matched.valid
    _note_fallbacks(result, matched, int(missing.sum()), body, progress)
    tracks = KeypointTracks.from_observations(observations, clip.times, camera, device)
    if lifter is None:
        own = None
        if missing.any():
            own = initialise(clip, observations, body, config, device, progress, camera=camera)[1:]
        with progress.task(f"start from {result.tool}", None) as advance:
            variables = _initial_parameters(matched, own and own[0], tracks, body, advance)
        uncertainty = _expected_uncertainty(matched, own and own[1], variables)
    else:
        with progress.task(f"start from {result.tool}", None) as advance:
            lifted, one_world = lift_clip(lifter, tracks), result.camera is None
            fused = _fuse_with_lifter(matched, lifted, tracks, observations, body, one_world, advance)
        near_fused, uncertainty = replace(tracks, reference=fused.reference), fused.uncertainty
        variables = fit_clip(model, fused.parameters, near_fused, NEAR_PREDICTION, config, progress)
        if labels is not None:
            masks = Masks(labels, observations)
            shaped, fitted = fit_clear_shapes(model, body, variables, near_fused, masks, config, progress)
            unknown = [file_betas(person, body) is None for person in matched.people]
            variables = change_people(fitted & torch.tensor(unknown, device=device), shaped, variables)
    for fit in (fit_hands, fit_jaw):
        variables = fit(model, variables, tracks, config.iterations, config.window, config.overlap, progress)
    fitted = to_motion(body, landmarks, variables, tracks)
    motion = fitted.with_pose(confidence=(fitted.confidence * matched.confidence).astype(np.float32))
    return camera, motion, uncertainty


def choose_prior(result: ImportedResult, clip: Clip, config: InitialiseConfig, progress: Progress) -> CameraPrior:
    """What is known about the camera. When its focal length is not, the tool's for the full frame is used as exact.

    config: with the focal length and the camera file of the user's options.
    """
    prior = find_camera_prior(clip, config.focal, config.camera)
    if prior.source != "estimated" or result.camera is None or result.camera.crop_focal:
        return prior
    focal = check_focal(result.camera.focal, clip.size, f"result of {result.tool}")
    progress.note(f"focal length unknown: {focal:.0f} px taken from the result of {result.tool}")
    return replace(prior, focal=focal, focal_log_std=0.0, principal_point=result.camera.principal_point)


def match_result(result: ImportedResult, observed: ObservedClip, body: BodyModel) -> MatchedPoses:
    """The poses of the result in the camera frame of the clip, on the tracks that they match.

    Raises InputError when none of the people matches a track.
    """
    landmarks = load_landmark_body(body).to("cpu")
    imported = [fit_keypoints(person, landmarks) for person in result.people]
    if result.camera is None:
        people = [on_clip(person, observed.clip) for person in imported]
        T_cam_world = estimate_extrinsics(people, observed, landmarks)
        people = [person.transform(T_cam_world) for person in people]
    else:
        placed = (to_clip_camera(person, result.camera, observed.camera) for person in imported)
        people = [on_clip(person, observed.clip) for person in placed]
    matched = match_to_tracks(people, observed, landmarks)
    if not matched.valid.any():
        raise InputError(f"no person of the {result.tool} result matches a track of this clip; is it of another clip?")
    return matched


def _note_fallbacks(
    result: ImportedResult, matched: MatchedPoses, missing: int, body: BodyModel, progress: Progress
) -> None:
    unmatched = [str(track) for track, person in enumerate(matched.people) if person is None]
    if unmatched:
        progress.note(
            f"{result.tool} has no person for track {', '.join(unmatched)}: closemesh's own first pose is used"
        )
    elif missing:
        progress.note(f"{result.tool} has no pose for {missing} detections: closemesh's own first pose is used")
    if any(person is not None and file_betas(person, body) is None for person in matched.people):
        progress.note(f"the betas of {result.tool} belong to another body: shapes are fitted to the keypoints")


def _initial_parameters(
    matched: MatchedPoses, own: BodyMotion | None, tracks: KeypointTracks, body: BodyModel, advance: Advance
) -> MotionParameters:
    """The imported poses as they are; where there is none those of `own`, if given."""
    device = tracks.detected.device
    landmarks = load_landmark_body(body).to(device)
    motion = _mean_shape_motion(matched, own, body)
    variables = from_motion(landmarks, motion, device)
    if own is None:
        variables = interpolate_missing(variables, torch.as_tensor(matched.valid, device=device))
    from_file = [file_betas(person, body) for person in matched.people]
    if own is not None:
        from_file = [own.betas[k] if matched.people[k] is None else betas for k, betas in enumerate(from_file)]
    unknown = any(betas is None for betas in from_file)
    from_clip = fitted_betas(landmarks, variables, tracks, advance) if unknown else motion.betas
    return _with_betas(variables, choose_betas(from_file, from_clip))


def _fuse_with_lifter(
    matched: MatchedPoses,
    lifted: PoseDistribution,
    tracks: KeypointTracks,
    observations: Observations,
    body: BodyModel,
    one_world: bool,
    advance: Advance,
) -> FusedPoses:
    """The imported poses and the lifter's, each by its uncertainty; the lifter's alone where there is no imported one.

    one_world: the people were imported in one world frame. Shapes that are not in the file are the mean of the lifter's
    and of those that fit the keypoints at the distances.
    """
    device = tracks.detected.device
    landmarks = load_landmark_body(body).to(device)
    imported = from_motion(landmarks, _mean_shape_motion(matched, None, body), device)
    unseen, times = unseen_joints(observations), tracks.times.cpu().double().numpy()
    limbs = compare_limbs(_pixels(landmarks, imported, tracks), observations)
    lifted = _with_honest_std(lifted, _pixels(landmarks, lifted_parameters(landmarks, lifted), tracks), observations)
    fused = fuse_poses(imported, lifted, matched.valid, unseen, times, limbs, one_world)
    present = tracks.present | torch.as_tensor(matched.valid, device=device)
    poses = interpolate_missing(fused.parameters, present)
    own = lifted.betas.cpu().numpy()
    from_file = [own[k] if one is None else file_betas(one, body) for k, one in enumerate(matched.people)]
    if any(betas is None for betas in from_file):
        own = (own + fitted_betas(landmarks, poses, tracks, advance)) / 2
    return replace(fused, parameters=_with_betas(poses, choose_betas(from_file, own)))


def _with_honest_std(lifted: PoseDistribution, pixels: Floats, observations: Observations) -> PoseDistribution:
    """Wider where the limbs of a person, in the image at pixels [T, P, 133, 2], are not where the keypoints are."""
    limbs = compare_limbs(pixels, observations)
    std = np.hypot(limbs.std, lifted.rotation_std.transpose(0, 1).cpu().numpy())
    factor = torch.as_tensor(overconfidence(replace(limbs, std=std))).to(lifted.rotation_std)[:, None, None]
    return replace(lifted, rotation_std=lifted.rotation_std * factor, place_std=lifted.place_std * factor)


def _pixels(landmarks: LandmarkBody, parameters: MotionParameters, tracks: KeypointTracks) -> Floats:
    """Keypoints [T, P, 133, 2] of the bodies in the image."""
    parts = []
    for start in range(0, len(tracks.times), _CHUNK):
        with torch.no_grad():
            keypoints = pose_parameters(landmarks, parameters.frames(slice(start, start + _CHUNK))).keypoints
        parts.append(project(keypoints, tracks.focal, tracks.principal_point).cpu().double().numpy())
    return np.concatenate(parts)


def _with_betas(variables: MotionParameters, betas: Floats) -> MotionParameters:
    return variables.with_tensors(betas=torch.as_tensor(betas).to(variables.betas))


def _mean_shape_motion(matched: MatchedPoses, own: BodyMotion | None, body: BodyModel) -> BodyMotion:
    """The imported poses on the mean shape; where not valid the poses of `own`, if given."""
    frames, people = matched.valid.shape
    relaxed = axis_angle_to_matrix(body.hand_mean).cpu().numpy().reshape(30, 3, 3)
    rotations = matched.rotations.copy()
    pelvis = np.where(matched.valid[..., None], matched.pelvis, _DEFAULT_PELVIS)
    for track, person in enumerate(matched.people):
        if person is None or not person.hands_known:
            rotations[:, track, _FINGERS] = relaxed
    if own is not None:
        rotations = np.where(matched.valid[..., None, None, None], rotations, own.rotations)
        pelvis = np.where(matched.valid[..., None], pelvis, own.transl + _rest_pelvis(body, own.betas))
    betas = np.zeros((people, body.num_betas), np.float32)
    return BodyMotion(
        body_model=body.name,
        betas=betas,
        rotations=rotations.astype(np.float32),
        transl=(pelvis - _rest_pelvis(body, betas)).astype(np.float32),
        expression=np.zeros((frames, people, body.num_expressions), np.float32),
        valid=matched.valid,
        confidence=matched.valid.astype(np.float32),
    )


def _rest_pelvis(body: BodyModel, betas: Floats) -> Floats:
    """[P, 3] meters."""
    return rest_pelvis(body, torch.as_tensor(betas).to(body.joint_template)).cpu().numpy()


def _expected_uncertainty(
    matched: MatchedPoses, own: PoseUncertainty | None, variables: MotionParameters
) -> PoseUncertainty:
    """Expected standard deviations where a pose matches; elsewhere those of `own`, when given."""
    frames, people = matched.valid.shape
    depth = variables.log_depth.exp().cpu().numpy()[..., None]
    rotation_std = np.full((frames, people, 22), ROTATION_STD, np.float32)
    pelvis_std = np.concatenate([np.full((frames, people, 2), LATERAL_STD), DEPTH_STD * depth], axis=-1)
    if own is not None:
        rotation_std = np.where(matched.valid[..., None], rotation_std, own.rotation_std)
        pelvis_std = np.where(matched.valid[..., None], pelvis_std, own.pelvis_std)
    betas_std = np.full(variables.betas.shape, BETAS_STD, np.float32)
    return PoseUncertainty(rotation_std, pelvis_std.astype(np.float32), betas_std)
