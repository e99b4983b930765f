"""Imported people to tracks and frames.

Which person of a tool is which of our tracks, told by where their keypoints fall.

People of a tool on the frames of the clip, and where our body would show their keypoints.

The people of a tool put together on our tracks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from closemesh.body.landmarks import LandmarkBody, pose_landmarks
from closemesh.core.arrays import Bools, Floats
from closemesh.geometry.camera import project
from closemesh.importers.results import ImportedPerson
from closemesh.structures import Camera, Clip, Observations

FARTHEST = 0.25  # Of the diagonal of a person's box; farther off it is somebody else.
_SEEN = 0.3  # Confidence of a keypoint that counts.
_NOBODY = 1e3


def match_people(pixels: Sequence[Floats], observations: Observations) -> dict[int, list[int]]:
    """For each of our tracks the people of the tool, by number, that show it: the best first.

    pixels: [T, 17, 2] of each person, nan where he is not. One person is the best of one track at most; another who
    is near no track's frames but those (a track that the tool lost and found again) follows behind.
    """
    costs = np.stack([track_costs(points, observations) for points in pixels])  # [N, P]
    rows, columns = linear_sum_assignment(np.minimum(costs, _NOBODY))
    best = {int(c): int(r) for r, c in zip(rows, columns, strict=True) if costs[r, c] < FARTHEST}
    matched: dict[int, list[int]] = {track: [person] for track, person in best.items()}
    for person in sorted(set(range(len(pixels))) - set(best.values()), key=lambda n: costs[n].min()):
        track = int(costs[person].argmin())
        if costs[person, track] < FARTHEST:
            matched.setdefault(track, []).append(person)
    return matched


def track_costs(pixels: Floats, observations: Observations) -> Floats:
    """[P] median over the frames that a person, pixels [T, 17, 2], shares with each track; inf when there are none."""
    errors = frame_errors(pixels, observations)
    return np.array([np.median(row[known]) if (known := np.isfinite(row)).any() else np.inf for row in errors.T])


def frame_errors(pixels: Floats, observations: Observations) -> Floats:
    """[T, P] mean distance of the keypoints from the seen ones, as a share of the box's diagonal; nan when unknown."""
    seen = observations.keypoints[:, :, : pixels.shape[1]].astype(np.float64)  # [T, P, 17, 3]
    size = np.linalg.norm(observations.boxes[..., 2:] - observations.boxes[..., :2], axis=-1)  # [T, P]
    counts = (seen[..., 2] > _SEEN) & observations.detected[..., None]
    distance = np.linalg.norm(pixels[:, None] - seen[..., :2], axis=-1)
    number = counts.sum(-1)
    mean = np.where(counts, distance, 0).sum(-1) / np.maximum(number, 1)
    return np.where(_known(number, size), mean / np.maximum(size, 1e-9), np.nan)


def _known(number: Floats, size: Floats) -> Bools:
    return (number > 0) & (size > 0)


NUM_POINTS = 17  # Body of COCO.


@dataclass(frozen=True)
class ClipPerson:
    """One person of a tool over the T frames of the clip; what is not there is nan."""

    told: ImportedPerson
    rotations: Floats  # [T, 55, 3, 3]
    pelvis: Floats  # [T, 3] metres
    confidence: Floats  # [T]
    valid: Bools  # [T]

    def moved(self, T_cam_world: Floats) -> ClipPerson:
        """The same in another frame; T_cam_world [4, 4]."""
        R, t = T_cam_world[:3, :3], T_cam_world[:3, 3]
        rotations = self.rotations.copy()
        rotations[:, 0] = R @ rotations[:, 0]
        return replace(self, rotations=rotations, pelvis=self.pelvis @ R.T + t)


def on_clip(person: ImportedPerson, clip: Clip) -> ClipPerson:
    """The person in the frames of the clip; frames that the tool lacks are left out."""
    place = {int(frame): n for n, frame in enumerate(person.frames)}
    chosen = np.array([place.get(int(frame), -1) for frame in clip.frame_indices], dtype=np.int64)
    there = chosen >= 0
    there[there] = np.isfinite(person.pelvis[chosen[there]]).all(-1)

    def spread(array: Floats) -> Floats:
        values = array[np.maximum(chosen, 0)].astype(np.float64)
        values[~there] = np.nan
        return values

    return ClipPerson(person, spread(person.rotations), spread(person.pelvis), spread(person.confidence), there)


def body_points(person: ClipPerson, body: LandmarkBody) -> Floats:
    """Keypoints [T, 17, 3] of the mean shape of `body` in the frame of the person, metres; nan where nobody is."""
    at = person.valid
    points = np.full((len(at), NUM_POINTS, 3), np.nan)
    if at.any():
        betas = torch.zeros(1, body.num_betas)
        transl = torch.as_tensor(person.pelvis[at, None], dtype=torch.float32) - body.rest_joints(betas)[:, 0]
        rotations = torch.as_tensor(person.rotations[at, None], dtype=torch.float32)
        points[at] = pose_landmarks(body, betas, rotations, transl).keypoints[:, 0, :NUM_POINTS].numpy()
    return points


def pixels(person: ClipPerson, body: LandmarkBody, camera: Camera) -> Floats:
    """Pixels [T, 17, 2] of those keypoints; the person stands before `camera`."""
    return project(torch.as_tensor(body_points(person, body)), camera.focal, camera.principal_point).numpy()


@dataclass(frozen=True)
class MatchedPoses:
    """What a tool says of our P tracks over the T frames of the clip, camera frame."""

    people: tuple[ImportedPerson | None, ...]
    """The person who shows each track best; None for nobody."""
    rotations: Floats  # [T, P, 55, 3, 3]; the identity where nothing is told
    pelvis: Floats  # [T, P, 3] metres
    confidence: Floats  # [T, P] as the tool says; 1 where it is silent
    valid: Bools  # [T, P] the tool tells of this frame


def match_to_tracks(
    people: Sequence[ClipPerson], observations: Observations, camera: Camera, body: LandmarkBody
) -> MatchedPoses:
    """Each track gets the person whose keypoints fall on it, and in frames that he lacks those who follow him."""
    frames, tracks = observations.detected.shape
    rotations = np.tile(np.eye(3), (frames, tracks, 55, 1, 1))
    pelvis, there = np.zeros((frames, tracks, 3)), np.zeros((frames, tracks), bool)
    confidence = np.ones((frames, tracks))
    matched = match_people([pixels(person, body, camera) for person in people], observations)
    for track, chosen in matched.items():
        for person in (people[number] for number in chosen):
            new = person.valid & ~there[:, track]
            rotations[new, track], pelvis[new, track] = person.rotations[new], person.pelvis[new]
            confidence[new, track] = person.confidence[new]
            there[:, track] |= new
    best = tuple(people[matched[track][0]].told if track in matched else None for track in range(tracks))
    return MatchedPoses(best, rotations, pelvis, confidence, there)
