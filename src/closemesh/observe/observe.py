"""The stage: from the frames of a clip to Observations, in two passes over the video."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from closemesh.config import ObserveConfig
from closemesh.errors import InputError
from closemesh.geometry.camera import default_focal
from closemesh.observe.detector import Detection, Detector, Image, Refinement
from closemesh.observe.flips import swapped_sides
from closemesh.observe.fusion import fuse
from closemesh.observe.masks import label_image, write_labels
from closemesh.observe.mediapipe import MediaPipeDetector
from closemesh.observe.people import choose_people, describe, join_pieces
from closemesh.observe.search import find_people
from closemesh.observe.sigmas import keypoint_sigmas, settle_claims
from closemesh.observe.tracking import Track, Tracker
from closemesh.observe.viewing_ray import R_cam_ray
from closemesh.progress import Progress
from closemesh.scene import NUM_CUE_POINTS, NUM_KEYPOINTS, Clip, Floats, Observations
from closemesh.video import read_frames

_FOLLOWED_AFTER = 3  # Frames; a track this long is looked for when it is missing.
_FOLLOWED_SIZE = 0.15  # Of the largest box area; bystanders are not looked for.


def observe(clip: Clip, config: ObserveConfig, mask_folder: Path | None, progress: Progress) -> Observations:
    """Who is where in every frame: boxes, keypoints and their spread, a 3D cue, masks.

    Masks are written to `mask_folder` as 000000.png, ...: 0 nobody, p + 1 person p.
    Raises InputError when nobody is found, ModelFileError when a network's file is missing or damaged.
    """
    detector = MediaPipeDetector()
    tracks = join_pieces(follow_people(clip, detector, progress))
    if not tracks:
        raise InputError(f"no person found in {clip.path}; are people in view, upright and at least 60 pixels tall?")
    people = choose_people(tracks, config.people)
    chosen = ", ".join(str(person.number) for person in people)
    progress.note(f"people found: {describe(tracks)}; taking {chosen}")
    record = _Record(clip, people, detector.name)
    look_closer(clip, detector, record, mask_folder if config.masks else None, progress)
    return record.finish()


def follow_people(clip: Clip, detector: Detector, progress: Progress) -> list[Track]:
    """First pass: everybody's track."""
    tracker = Tracker()
    with progress.task("finding people", len(clip)) as advance:
        for frame, image in enumerate(read_frames(clip)):
            expected = _looked_for(tracker.live(frame), frame)
            tracker.step(frame, image, find_people(detector, image, expected, frame))
            advance(1)
    return tracker.tracks


def _looked_for(live: list[Track], frame: int) -> list[Detection]:
    largest = max((track.detections[-1].area for track in live), default=0)
    return [
        track.predict(frame)
        for track in live
        if len(track.frames) >= _FOLLOWED_AFTER and track.detections[-1].area > _FOLLOWED_SIZE * largest
    ]


def look_closer(clip: Clip, detector: Detector, record: _Record, mask_folder: Path | None, progress: Progress) -> None:
    """Second pass: the chosen people's keypoints, 3D cues and masks."""
    if mask_folder is not None:
        mask_folder.mkdir(parents=True, exist_ok=True)
    with progress.task("keypoints and masks", len(clip)) as advance:
        for frame, image in enumerate(read_frames(clip)):
            looks = _look_at_frame(detector, image, frame, record)
            if mask_folder is not None:
                write_labels(mask_folder / f"{frame:06d}.png", label_image(looks, clip.size))
            advance(1)


def _look_at_frame(
    detector: Detector, image: Image, frame: int, record: _Record
) -> list[tuple[int, Floats, float, Refinement]]:
    looks = []
    for person in range(record.num_people):
        detection = record.detection(frame, person)
        if detection is None:
            continue
        look = detector.refine(image, detection)
        record.add(frame, person, detection, look)
        if look is not None:
            looks.append((person, record.keypoints[frame, person], detection.diagonal, look))
    return looks


class _Record:
    """The arrays of Observations while they are filled."""

    def __init__(self, clip: Clip, people: list[Track], detector: str) -> None:
        T, P = len(clip), len(people)
        self._clip, self._detector = clip, detector
        self._focal = clip.focal_px or default_focal(clip.size)
        self._detections = [_upright_sides(track) for track in people]
        self.num_people = P
        self.boxes = np.zeros((T, P, 4))
        self.keypoints = np.zeros((T, P, NUM_KEYPOINTS, 3))
        self.spread = np.zeros((T, P, NUM_KEYPOINTS))
        self.cue_points = np.zeros((T, P, NUM_CUE_POINTS, 4))
        self.visible = np.zeros((T, P), bool)
        self.track_scores = np.zeros((T, P))
        for p, track in enumerate(people):
            self.track_scores[track.frames, p] = track.margins

    def detection(self, frame: int, person: int) -> Detection | None:
        return self._detections[person].get(frame)

    def add(self, frame: int, person: int, detection: Detection, look: Refinement | None) -> None:
        """Put in what two looks at one person in one frame gave."""
        fused = fuse(detection, look)
        width, height = self._clip.size
        inside = (fused.keypoints[:, :2] >= 0).all(-1) & (fused.keypoints[:, :2] < (width, height)).all(-1)
        self.boxes[frame, person] = np.clip(detection.box, 0, (width, height, width, height))
        self.keypoints[frame, person] = fused.keypoints
        self.keypoints[frame, person, ~inside, 2] = 0
        self.spread[frame, person] = fused.spread
        self.visible[frame, person] = True
        if look is not None:
            R = R_cam_ray(look.centre, self._focal, self._clip.size)
            self.cue_points[frame, person] = np.concatenate([fused.cue_points[:, :3] @ R.T, fused.cue_points[:, 3:]], 1)

    def finish(self) -> Observations:
        """What all frames together tell: claims settled, sigmas."""
        keypoints = settle_claims(self.keypoints, self.boxes, self.visible)
        sigmas = keypoint_sigmas(keypoints, self.boxes, self.visible, self.spread)
        return Observations(
            self.boxes, keypoints, sigmas, self.cue_points, self.visible, self.track_scores, self._detector
        )


def _upright_sides(track: Track) -> dict[int, Detection]:
    swapped = swapped_sides(track.frames, track.detections)
    return {
        frame: detection.side_swapped() if swap else detection
        for frame, detection, swap in zip(track.frames, track.detections, swapped, strict=True)
    }
