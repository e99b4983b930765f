"""Association of imported people with the tracks and frames of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from closemesh.body.landmarks import LandmarkBody, pose_landmarks
from closemesh.body.motion import transl_of
from closemesh.core.arrays import Bools, Floats
from closemesh.geometry.camera import project
from closemesh.importers.results import ImportedPerson
from closemesh.structures import Camera, Clip, Observations, ObservedClip

MIN_CONFIDENCE = 0.3  # Confidence of a keypoint that counts.
_MAX_ERROR = 0.25  # Fraction of the diagonal of a person's box; beyond it is another person.
_NO_MATCH = 1e3
_NUM_POINTS = 17  # Body keypoints of COCO.


@dataclass(frozen=True)
class ClipPerson:
    """One imported person over the T frames of the clip; nan in frames that the file does not have."""

    imported: ImportedPerson
    rotations: Floats  # [T, 55, 3, 3]
    pelvis: Floats  # [T, 3] meters
    confidence: Floats  # [T]
    valid: Bools  # [T]

    def transform(self, T_cam_world: Floats) -> ClipPerson:
        """The same person in another frame; T_cam_world [4, 4]."""
        R, t = T_cam_world[:3, :3], T_cam_world[:3, 3]
        rotations = self.rotations.copy()
        rotations[:, 0] = R @ rotations[:, 0]
        return replace(self, rotations=rotations, pelvis=self.pelvis @ R.T + t)


@dataclass(frozen=True)
class MatchedPoses:
    """Imported poses of the P tracks over the T frames of the clip, camera frame."""

    people: tuple[ImportedPerson | None, ...]
    """The person who matches each track best; None for a track without one."""
    rotations: Floats  # [T, P, 55, 3, 3]; identity where not valid
    pelvis: Floats  # [T, P, 3] meters
    confidence: Floats  # [T, P] that of the file, else 1
    valid: Bools  # [T, P] the file has a pose


def on_clip(person: ImportedPerson, clip: Clip) -> ClipPerson:
    """The person in the frames of the clip; frames that the file does not have are not valid."""
    position = {int(frame): n for n, frame in enumerate(person.frames)}
    index = np.array([position.get(int(frame), -1) for frame in clip.frame_indices], dtype=np.int64)
    valid = index >= 0
    valid[valid] = np.isfinite(person.pelvis[index[valid]]).all(-1)

    def select(array: Floats) -> Floats:
        values = array[np.maximum(index, 0)].astype(np.float64)
        values[~valid] = np.nan
        return values

    return ClipPerson(person, select(person.rotations), select(person.pelvis), select(person.confidence), valid)


def match_to_tracks(people: Sequence[ClipPerson], observed: ObservedClip, body: LandmarkBody) -> MatchedPoses:
    """The poses of each track: those of the best match, and in frames that it lacks those of the next ones.

    people: camera frame.
    """
    frames, tracks = observed.observations.detected.shape
    rotations = np.tile(np.eye(3), (frames, tracks, 55, 1, 1))
    pelvis, valid = np.zeros((frames, tracks, 3)), np.zeros((frames, tracks), bool)
    confidence = np.ones((frames, tracks))
    pixels = [project_keypoints(person, body, observed.camera) for person in people]
    matches = match_people(pixels, observed.observations)
    for track, numbers in matches.items():
        for person in (people[number] for number in numbers):
            new = person.valid & ~valid[:, track]
            rotations[new, track], pelvis[new, track] = person.rotations[new], person.pelvis[new]
            confidence[new, track] = person.confidence[new]
            valid[:, track] |= new
    best = tuple(people[matches[track][0]].imported if track in matches else None for track in range(tracks))
    return MatchedPoses(best, rotations, pelvis, confidence, valid)


def match_people(pixels: Sequence[Floats], observations: Observations) -> dict[int, list[int]]:
    """Indices of the people that match each track, the best first.

    pixels: [T, 17, 2] of each person, nan where absent. A person is the best match of one track at most. People who
    are left over follow behind at their nearest track: the tool may have lost a track and found it again.
    """
    costs = np.stack([track_costs(points, observations) for points in pixels])  # [N, P]
    rows, columns = linear_sum_assignment(np.minimum(costs, _NO_MATCH))
    best = {int(c): int(r) for r, c in zip(rows, columns, strict=True) if costs[r, c] < _MAX_ERROR}
    matched: dict[int, list[int]] = {track: [person] for track, person in best.items()}
    for person in sorted(set(range(len(pixels))) - set(best.values()), key=lambda n: costs[n].min()):
        track = int(costs[person].argmin())
        if costs[person, track] < _MAX_ERROR:
            matched.setdefault(track, []).append(person)
    return matched


def track_costs(pixels: Floats, observations: Observations) -> Floats:
    """[P] median error of a person, pixels [T, 17, 2], over the frames in common with each track; inf without any."""
    errors = _frame_errors(pixels, observations)
    return np.array([np.median(row[known]) if (known := np.isfinite(row)).any() else np.inf for row in errors.T])


def _frame_errors(pixels: Floats, observations: Observations) -> Floats:
    """[T, P] mean distance from the detected keypoints, relative to the diagonal of the box; nan when unknown."""
    detected = observations.keypoints[:, :, : pixels.shape[1]].astype(np.float64)  # [T, P, 17, 3]
    size = np.linalg.norm(observations.boxes[..., 2:] - observations.boxes[..., :2], axis=-1)  # [T, P]
    counted = (detected[..., 2] > MIN_CONFIDENCE) & observations.detected[..., None]
    distance = np.linalg.norm(pixels[:, None] - detected[..., :2], axis=-1)
    count = counted.sum(-1)
    mean = np.where(counted, distance, 0).sum(-1) / np.maximum(count, 1)
    return np.where((count > 0) & (size > 0), mean / np.maximum(size, 1e-9), np.nan)


def mean_shape_keypoints(person: ClipPerson, body: LandmarkBody) -> Floats:
    """Keypoints [T, 17, 3] in meters of the mean shape of `body` in the person's frame; nan where not valid."""
    valid = person.valid
    keypoints = np.full((len(valid), _NUM_POINTS, 3), np.nan)
    if valid.any():
        betas = torch.zeros(1, body.num_betas)
        transl = transl_of(body, betas, torch.as_tensor(person.pelvis[valid, None], dtype=torch.float32))
        rotations = torch.as_tensor(person.rotations[valid, None], dtype=torch.float32)
        keypoints[valid] = pose_landmarks(body, betas, rotations, transl).keypoints[:, 0, :_NUM_POINTS].numpy()
    return keypoints


def project_keypoints(person: ClipPerson, body: LandmarkBody, camera: Camera) -> Floats:
    """Pixels [T, 17, 2] of the mean-shape keypoints of a person in the frame of `camera`."""
    keypoints = torch.as_tensor(mean_shape_keypoints(person, body))
    return project(keypoints, camera.focal, camera.principal_point).numpy()
