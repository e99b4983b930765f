"""Stage `observe`: from the frames of a clip to Observations, in two passes over the video."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from closemesh.config.schema import ObserveConfig
from closemesh.core.arrays import Floats
from closemesh.core.device import return_freed_memory
from closemesh.core.errors import InputError
from closemesh.core.parallel import available_cores, map_in_order
from closemesh.core.progress import Progress
from closemesh.perception.detectors.multi_scale import SEARCH_PERIOD, all_found, detect_multi_scale
from closemesh.perception.detectors.occluded import find_occluded
from closemesh.perception.keypoints.flow import carry_keypoints, fuse_carried
from closemesh.perception.keypoints.hand_landmarks import HandLandmarks
from closemesh.perception.keypoints.left_right import fix_left_right
from closemesh.perception.keypoints.topdown import estimate_frame
from closemesh.perception.model_selection import (
    make_detector,
    make_hand_landmarks,
    make_segmenter,
    select_models,
    selection_notes,
)
from closemesh.perception.observation_builder import ObservationBuilder
from closemesh.perception.segmentation.clip_colors import FrameSamples
from closemesh.perception.segmentation.label_images import MaskWriter
from closemesh.perception.tracking.identity import fix_identity_switches, remove_duplicate_tracks
from closemesh.perception.tracking.tracker import BoxTracker, Track, Tracker
from closemesh.perception.tracking.tracklets import (
    MIN_TRACKLET,
    choose_tracks,
    close_pairs,
    describe_tracks,
    link_tracklets,
)
from closemesh.perception.types import CropEstimate, Detection, Detector, Image
from closemesh.structures import Clip, Observations
from closemesh.video import read_frames

MAX_INTERPOLATED = 10  # Frames between two detections; limbs cannot be interpolated over more.
_INTERPOLATED_CONFIDENCE = 0.5  # Confidence of an interpolated keypoint, relative to its neighbors in time.
_MIN_NEIGHBORS = 4  # Detections in the two frames before and after, from which an outlier is found.
_OUTLIER, _STEADY = 0.12, 0.04  # Fractions of the box diagonal: distance of an outlier, deviation in steady frames.
_MIN_CONFIRMATION = 0.7  # Presence and agreement of a crop pose that confirm an interpolated detection.
_MIN_SEARCHED_FRAMES = 3  # Frames; a longer track is searched for where it is missing.
_MIN_SEARCHED_AREA = 0.25  # Fraction of the largest box area: half as tall. Background people are not searched for.
_TRIM_PERIOD = 50  # Frames.
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
    masks = (
        MaskWriter(mask_folder, len(clip), make_segmenter(selection, device)) if config.masks and mask_folder else None
    )
    tracks = select_tracks(clip, detector, config, progress, masks.samples if masks else None)
    builder = ObservationBuilder(clip, len(tracks))
    estimate_crops(clip, detector, tracks, builder, progress, masks, make_hand_landmarks(selection, config))
    observations = builder.finish(track_confidence(tracks, len(clip)), detector.name)
    if config.flow:
        observations = fuse_carried(observations, carry_keypoints(clip, observations, progress))
    for pair in close_pairs(observations):
        when = ", ".join(f"{clip.times[first]:.1f}-{clip.times[last]:.1f} s" for first, last in pair.intervals)
        close = f"persons {pair.person_a} and {pair.person_b} are close in the image"
        progress.note(f"{close}: {when}" if len(clip) > 1 else close)
    return observations


def select_tracks(
    clip: Clip, detector: Detector, config: ObserveConfig, progress: Progress, samples: FrameSamples | None = None
) -> list[Track]:
    """First pass: tracks of the people to reconstruct, with duplicates and identity switches corrected.

    samples: collects frames. Raises InputError when no person is found or `config.people` names one that is missing.
    """
    tracker = BoxTracker(config.tracker) if config.tracker in ("bytetrack", "botsort") else Tracker()
    tracks = link_tracklets(track_people(clip, detector, progress, tracker, samples), min(MIN_TRACKLET, len(clip)))
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


def track_people(
    clip: Clip,
    detector: Detector,
    progress: Progress,
    tracker: Tracker | None = None,
    samples: FrameSamples | None = None,
) -> list[Track]:
    """Tracks of all people in the clip, with interruptions. samples: collects frames."""
    tracker = tracker or Tracker()
    with progress.task("finding people", len(clip)) as advance:
        for frame, image in enumerate(read_frames(clip)):
            expected = _expected_detections(tracker.active_tracks(frame), frame)
            found = detect_multi_scale(detector, image, expected, frame)
            if frame % SEARCH_PERIOD == 0 or not all_found(expected, found):
                found += find_occluded(detector, image, found)
            tracker.step(frame, image, found)
            if samples is not None:
                samples.add(frame, image)
            if frame % _TRIM_PERIOD == 0:
                return_freed_memory()
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
    progress: Progress,
    masks: MaskWriter | None = None,
    hands: HandLandmarks | None = None,
) -> None:
    """Second pass: adds crop poses of the tracked people to `builder` and writes their masks.

    `masks` saw samples of the first pass, `hands` adds 21 keypoints per hand.
    """
    by_frame = [fix_left_right(dict(zip(track.frames, track.detections, strict=True))) for track in tracks]
    by_frame = [replace_outliers(detected) for detected in by_frame]
    by_frame = [{**detected, **interpolate_boxes(detected)} for detected in by_frame]
    if masks is not None:
        masks.learn_colors(by_frame)
    estimator = _FrameEstimator(detector, by_frame, masks, hands, change_crops=len(clip) == 1)
    with progress.task("keypoints and masks", len(clip)) as advance:
        with closing(map_in_order(estimator.estimate, enumerate(read_frames(clip)), available_cores())) as results:
            for frame, result in enumerate(results):
                for person, detection in result.detections.items():
                    builder.add(frame, person, detection, result.estimates.get(person))
                for person, confidence in result.mask_confidence.items():
                    builder.mask_confidence[frame, person] = confidence
                if frame % _TRIM_PERIOD == 0:
                    return_freed_memory()
                advance(1)


@dataclass(frozen=True)
class _FrameResult:
    """People of one frame."""

    detections: dict[int, Detection]
    estimates: dict[int, CropEstimate]
    mask_confidence: Mapping[int, float]


@dataclass(frozen=True)
class _FrameEstimator:
    """Crop poses, hands and masks of one frame; frames are independent of each other."""

    detector: Detector
    by_frame: list[dict[int, Detection]]
    masks: MaskWriter | None
    hands: HandLandmarks | None
    change_crops: bool

    def estimate(self, item: tuple[int, Image]) -> _FrameResult:
        """item: number of the frame and the image [H, W, 3]."""
        frame, image = item
        detections = {person: found[frame] for person, found in enumerate(self.by_frame) if frame in found}
        estimates = estimate_frame(self.detector, image, detections, self.change_crops)
        estimates = self.hands.refine_hands(image, estimates) if self.hands else estimates
        detections, estimates = _without_unconfirmed(detections, estimates)
        confidence = self.masks.write(frame, image, estimates) if self.masks else {}
        return _FrameResult(detections, estimates, confidence)


def _without_unconfirmed(
    detections: dict[int, Detection], estimates: dict[int, CropEstimate]
) -> tuple[dict[int, Detection], dict[int, CropEstimate]]:
    """Both without the interpolated detections that no crop pose confirms."""
    unconfirmed = set()
    for person, detection in detections.items():
        estimate = estimates.get(person)
        interpolated = detection.score == 0
        if interpolated and (estimate is None or min(estimate.agreement, estimate.pose.presence) < _MIN_CONFIRMATION):
            unconfirmed.add(person)
    return (
        {person: detection for person, detection in detections.items() if person not in unconfirmed},
        {person: estimate for person, estimate in estimates.items() if person not in unconfirmed},
    )


def replace_outliers(detections: dict[int, Detection]) -> dict[int, Detection]:
    """One person's detections by frame, without keypoints that lie on another person for a frame or two.

    A keypoint far from its median over the frames around, where these agree, gets that median and half its confidence.
    A crop follows the keypoints: wrong hips alone would lose the mask and the 3D keypoints of the frame.
    """
    replaced = dict(detections)
    for frame, detection in detections.items():
        near = [detections[f] for f in range(frame - 2, frame + 3) if f != frame and f in detections]
        if len(near) < _MIN_NEIGHBORS:
            continue
        points = np.stack([other.keypoints for other in near])  # [N, 17, 3]
        median = np.median(points, axis=0)
        deviation = np.median(np.linalg.norm(points[..., :2] - median[:, :2], axis=-1), axis=0)
        distance = np.linalg.norm(detection.keypoints[:, :2] - median[:, :2], axis=1)
        outlier = (distance > _OUTLIER * detection.diagonal) & (deviation < _STEADY * detection.diagonal)
        if outlier.any():
            keypoints = detection.keypoints.copy()
            keypoints[outlier, :2], keypoints[outlier, 2] = median[outlier, :2], 0.5 * median[outlier, 2]
            replaced[frame] = Detection(detection.box, keypoints, detection.score)
    return replaced


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
