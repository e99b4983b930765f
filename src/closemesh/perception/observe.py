"""Stage `observe`: from the frames of a clip to Observations, in two passes over the video."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from closemesh.config.schema import ObserveConfig
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.progress import Progress
from closemesh.geometry.camera import default_focal, ray_rotation
from closemesh.perception.detectors.multi_scale import detect_multi_scale
from closemesh.perception.keypoints.hand_landmarks import HandLandmarks
from closemesh.perception.keypoints.left_right import fix_left_right, left_right_score, swapped_sides
from closemesh.perception.keypoints.topdown import estimate_frame, fuse
from closemesh.perception.keypoints.uncertainty import keypoint_sigmas, without_shared_keypoints
from closemesh.perception.model_selection import (
    make_detector,
    make_hand_landmarks,
    make_segmenter,
    select_models,
    selection_notes,
)
from closemesh.perception.segmentation.label_images import label_image, write_labels
from closemesh.perception.tracking.identity import fix_identity_switches, remove_duplicate_tracks
from closemesh.perception.tracking.tracker import BoxTracker, Track, Tracker
from closemesh.perception.tracking.tracklets import (
    MIN_TRACKLET,
    choose_tracks,
    close_pairs,
    describe_tracks,
    link_tracklets,
)
from closemesh.perception.types import NUM_BODY_KEYPOINTS, CropEstimate, CropPose, Detection, Detector, Segmenter
from closemesh.structures import NUM_KEYPOINTS, NUM_KEYPOINTS3D, Clip, Observations
from closemesh.video import read_frames

MAX_INTERPOLATED = 10  # Frames between two detections; limbs cannot be interpolated over more.
_INTERPOLATED_CONFIDENCE = 0.5  # Confidence of an interpolated keypoint, relative to its neighbors in time.
_MIN_CONFIRMATION = 0.7  # Presence and agreement of a crop pose that confirm an interpolated detection.
_MIN_SEARCHED_FRAMES = 3  # Frames; a longer track is searched for where it is missing.
_MIN_SEARCHED_AREA = 0.25  # Fraction of the largest box area: half as tall. Background people are not searched for.
_NO_MASK = np.zeros((0, 0))  # Masks are written per frame, not stored.
_CPU = torch.device("cpu")


def observe(
    clip: Clip,
    config: ObserveConfig,
    mask_folder: Path | None,
    progress: Progress,
    device: torch.device = _CPU,
) -> Observations:
    """Observations of a clip: boxes, keypoints and their sigmas, monocular 3D keypoints, and mask files.

    The first pass tracks all people, the second estimates poses of those that `config.people` selects.
    Masks are written to `mask_folder` as 000000.png, ...: 0 background, p + 1 person p. Downloaded networks run on
    `device`. Raises InputError when no person is found, ModelFileError when a network's file is missing or damaged.
    """
    selection = select_models(config)
    for line in selection_notes(selection, config):
        progress.note(line)
    detector = make_detector(selection, device)
    writes_masks = config.masks and mask_folder is not None
    segmenter = make_segmenter(selection, device) if writes_masks else None
    tracks = select_tracks(clip, detector, config, progress)
    builder = ObservationBuilder(clip, len(tracks))
    folder, hands = mask_folder if writes_masks else None, make_hand_landmarks(selection, config)
    estimate_crops(clip, detector, tracks, builder, folder, progress, segmenter, hands)
    observations = builder.finish(track_confidence(tracks, len(clip)), detector.name)
    for pair in close_pairs(observations):
        when = ", ".join(f"{clip.times[first]:.1f}-{clip.times[last]:.1f} s" for first, last in pair.intervals)
        progress.note(f"persons {pair.person_a} and {pair.person_b} are close in the image: {when}")
    return observations


def select_tracks(clip: Clip, detector: Detector, config: ObserveConfig, progress: Progress) -> list[Track]:
    """First pass: tracks of the people to reconstruct, with duplicates and identity switches corrected.

    Raises InputError when no person is found or `config.people` names one that is missing.
    """
    tracker = BoxTracker(config.tracker) if config.tracker in ("bytetrack", "botsort") else Tracker()
    tracks = link_tracklets(track_people(clip, detector, progress, tracker), min(MIN_TRACKLET, len(clip)))
    if not tracks:
        raise InputError(f"no person found in {clip.path}; give a clip that shows people nearly whole, or larger")
    chosen = choose_tracks(tracks, config.people)
    ids = ", ".join(str(track.track_id) for track in chosen)
    progress.note(f"people found: {describe_tracks(tracks)}; taking {ids}")
    chosen, duplicates = remove_duplicate_tracks(chosen)
    if duplicates:
        progress.note(f"{duplicates} duplicate detections of a person under another person's ID removed")
    chosen, switches = fix_identity_switches(chosen)
    if switches:
        progress.note(f"{switches} identity switches corrected by clothing colors; please check them")
    return chosen


def track_people(clip: Clip, detector: Detector, progress: Progress, tracker: Tracker | None = None) -> list[Track]:
    """Tracks of all people in the clip, with interruptions."""
    tracker = tracker or Tracker()
    with progress.task("finding people", len(clip)) as advance:
        for frame, image in enumerate(read_frames(clip)):
            expected = _expected_detections(tracker.active_tracks(frame), frame)
            tracker.step(frame, image, detect_multi_scale(detector, image, expected, frame))
            advance(1)
    return tracker.tracks


def _expected_detections(active: list[Track], frame: int) -> list[Detection]:
    """Predicted detections of tracks that are large, and longer than the time for which they have been missing."""
    largest = max((track.detections[-1].area for track in active), default=0)
    return [
        track.predict(frame)
        for track in active
        if len(track.frames) >= max(_MIN_SEARCHED_FRAMES, frame - track.frames[-1])
        and track.detections[-1].area > _MIN_SEARCHED_AREA * largest
    ]


def estimate_crops(
    clip: Clip,
    detector: Detector,
    tracks: list[Track],
    builder: ObservationBuilder,
    mask_folder: Path | None,
    progress: Progress,
    segmenter: Segmenter | None = None,
    hands: HandLandmarks | None = None,
) -> None:
    """Second pass: adds crop poses of the tracked people to `builder` and writes their masks.

    `segmenter` replaces the masks of the crop poses, `hands` adds 21 keypoints per hand.
    """
    if mask_folder is not None:
        mask_folder.mkdir(parents=True, exist_ok=True)
    by_frame = [fix_left_right(dict(zip(track.frames, track.detections, strict=True))) for track in tracks]
    by_frame = [{**detected, **interpolate_boxes(detected)} for detected in by_frame]
    with progress.task("keypoints and masks", len(clip)) as advance:
        for frame, image in enumerate(read_frames(clip)):
            detections = {person: found[frame] for person, found in enumerate(by_frame) if frame in found}
            estimates = estimate_frame(detector, image, detections)
            estimates = hands.refine_hands(image, estimates) if hands else estimates
            estimates = _add_confirmed(builder, frame, detections, estimates)
            if mask_folder is not None:
                estimates = segmenter.refine_masks(image, estimates) if segmenter else estimates
                write_labels(mask_folder / f"{frame:06d}.png", label_image(estimates, clip.size))
            advance(1)


def _add_confirmed(
    builder: ObservationBuilder, frame: int, detections: dict[int, Detection], estimates: dict[int, CropEstimate]
) -> dict[int, CropEstimate]:
    """Add the frame to `builder`; the estimates without those of interpolated detections that they do not confirm."""
    confirmed = dict(estimates)
    for person, detection in detections.items():
        estimate = estimates.get(person)
        interpolated = detection.score == 0
        if interpolated and (estimate is None or min(estimate.agreement, estimate.pose.presence) < _MIN_CONFIRMATION):
            confirmed.pop(person, None)
            continue
        builder.add(frame, person, detection, estimate)
    return confirmed


def interpolate_boxes(detections: dict[int, Detection]) -> dict[int, Detection]:
    """Detections by frame for short interruptions of a track, linear in time and with score 0."""
    interpolated = {}
    for before, after in pairwise(sorted(detections)):
        if 1 < after - before <= MAX_INTERPOLATED + 1:
            for frame in range(before + 1, after):
                weight = (frame - before) / (after - before)
                interpolated[frame] = _interpolate(detections[before], detections[after], weight)
    return interpolated


def _interpolate(a: Detection, b: Detection, weight: float) -> Detection:
    keypoints = (1 - weight) * a.keypoints + weight * b.keypoints
    keypoints[:, 2] = _INTERPOLATED_CONFIDENCE * np.minimum(a.keypoints[:, 2], b.keypoints[:, 2])
    return Detection((1 - weight) * a.box + weight * b.box, keypoints, 0.0)


def track_confidence(tracks: list[Track], num_frames: int) -> Floats:
    """[T, P] association margins of the tracks; half of the interpolated margin in frames without a detection."""
    confidence = np.zeros((num_frames, len(tracks)))
    for p, track in enumerate(tracks):
        confidence[:, p] = 0.5 * np.interp(np.arange(num_frames), track.frames, track.margins)
        confidence[track.frames, p] = track.margins
    return confidence


class ObservationBuilder:
    """Collects detections and crop poses per frame; `finish` adds what depends on all frames."""

    def __init__(self, clip: Clip, num_people: int) -> None:
        T, P = len(clip), num_people
        self._size = clip.size
        self._focal = clip.focal_px or default_focal(clip.size)
        self._estimates: list[dict[int, tuple[Detection, CropPose | None]]] = [{} for _ in range(P)]
        self.boxes = np.zeros((T, P, 4))
        self.keypoints = np.zeros((T, P, NUM_KEYPOINTS, 3))
        self.disagreement = np.zeros((T, P, NUM_KEYPOINTS))
        self.keypoints3d = np.zeros((T, P, NUM_KEYPOINTS3D, 4))
        self.detected = np.zeros((T, P), bool)

    def add(self, frame: int, person: int, detection: Detection, estimate: CropEstimate | None) -> None:
        """Add the detection and, if given, the crop estimate of one person in one frame."""
        self._estimates[person][frame] = detection, replace(estimate.pose, mask=_NO_MASK) if estimate else None

    def finish(self, track_confidence: Floats, detector: str) -> Observations:
        """Observations with consistent left and right, shared keypoints resolved, and sigmas.

        track_confidence: [T, P].
        """
        for person, estimates in enumerate(self._estimates):
            for frame, (detection, pose) in _with_consistent_sides(estimates).items():
                self._fill(frame, person, detection, pose)
        keypoints = without_shared_keypoints(self.keypoints, self.boxes, self.detected)
        return Observations(
            boxes=self.boxes,
            keypoints=keypoints,
            sigmas=keypoint_sigmas(keypoints, self.boxes, self.detected, self.disagreement),
            keypoints3d=self.keypoints3d,
            detected=self.detected,
            track_confidence=track_confidence * self.detected,
            detector=detector,
        )

    def _fill(self, frame: int, person: int, detection: Detection, pose: CropPose | None) -> None:
        fused = fuse(detection, pose)
        width, height = self._size
        inside = (fused.keypoints[:, :2] >= 0).all(-1) & (fused.keypoints[:, :2] < (width, height)).all(-1)
        self.boxes[frame, person] = np.clip(detection.box, 0, (width, height, width, height))
        self.keypoints[frame, person] = fused.keypoints
        self.keypoints[frame, person, ~inside, 2] = 0
        self.disagreement[frame, person] = fused.disagreement
        self.detected[frame, person] = True
        if pose is not None:
            self.keypoints3d[frame, person] = self._in_camera_axes(fused.keypoints3d, pose.center)

    def _in_camera_axes(self, keypoints3d: Floats, center: Floats) -> Floats:
        R = ray_rotation(center, self._focal, self._size)
        return np.concatenate([keypoints3d[:, :3] @ R.T, keypoints3d[:, 3:]], 1)


def _with_consistent_sides(
    estimates: dict[int, tuple[Detection, CropPose | None]],
) -> dict[int, tuple[Detection, CropPose | None]]:
    """One person's detections by frame, with left and right as most of the crop poses have them."""
    frames = sorted(estimates)
    detections, poses = [estimates[frame][0] for frame in frames], [estimates[frame][1] for frame in frames]
    scores = [
        left_right_score(detection, pose.keypoints[:NUM_BODY_KEYPOINTS]) if pose else 0.0
        for detection, pose in zip(detections, poses, strict=True)
    ]
    swapped = swapped_sides(frames, detections, np.array(scores))
    return {
        frame: (detection.flip_left_right() if swap else detection, pose)
        for frame, detection, pose, swap in zip(frames, detections, poses, swapped, strict=True)
    }
