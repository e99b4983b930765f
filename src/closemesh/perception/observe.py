"""The two passes, ObservationBuilder, short gaps.

The arrays of Observations: what was seen of everybody is collected frame by frame, and put together at the end.

Short gaps in a track: where the person must be in between, so that the closer look can check.

The stage: from the frames of a clip to Observations, in two passes over the video.
"""

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
from closemesh.perception.keypoints.uncertainty import keypoint_sigmas, resolve_shared_keypoints
from closemesh.perception.model_selection import (
    make_detector,
    make_hand_reader,
    make_mask_maker,
    notes_on,
    select_models,
)
from closemesh.perception.segmentation.label_images import label_image, write_labels
from closemesh.perception.tracking.identity import fix_identity_switches, remove_duplicate_tracks
from closemesh.perception.tracking.tracker import BoxTracker, Track, Tracker
from closemesh.perception.tracking.tracklets import MIN_PIECE, choose_people, close_pairs, describe, link_tracklets
from closemesh.perception.types import NUM_BODY, CropEstimate, CropPose, Detection, Detector, Segmenter
from closemesh.structures import NUM_CUE_POINTS, NUM_KEYPOINTS, Clip, Observations
from closemesh.video import read_frames

_NO_MASK = np.zeros((0, 0))  # Masks are written when they are made, and not kept.


class ObservationBuilder:
    """Collects what is seen of each person; `finish` adds what only all frames together tell."""

    def __init__(self, clip: Clip, num_people: int) -> None:
        T, P = len(clip), num_people
        self._size = clip.size
        self._focal = clip.focal_px or default_focal(clip.size)
        self._seen: list[dict[int, tuple[Detection, CropPose | None]]] = [{} for _ in range(P)]
        self.boxes = np.zeros((T, P, 4))
        self.keypoints = np.zeros((T, P, NUM_KEYPOINTS, 3))
        self.spread = np.zeros((T, P, NUM_KEYPOINTS))
        self.keypoints3d = np.zeros((T, P, NUM_CUE_POINTS, 4))
        self.visible = np.zeros((T, P), bool)

    def add(self, frame: int, person: int, detection: Detection, look: CropEstimate | None) -> None:
        """Put in what was seen of one person in one frame."""
        self._seen[person][frame] = detection, replace(look.refinement, mask=_NO_MASK) if look else None

    def finish(self, track_scores: Floats, detector: str) -> Observations:
        """Sides and claims settled, sigmas added. track_scores: [T, P]."""
        for person, seen in enumerate(self._seen):
            for frame, (detection, refinement) in _with_told_sides(seen).items():
                self._put(frame, person, detection, refinement)
        keypoints = resolve_shared_keypoints(self.keypoints, self.boxes, self.visible)
        sigmas = keypoint_sigmas(keypoints, self.boxes, self.visible, self.spread)
        return Observations(
            self.boxes, keypoints, sigmas, self.keypoints3d, self.visible, track_scores * self.visible, detector
        )

    def _put(self, frame: int, person: int, detection: Detection, refinement: CropPose | None) -> None:
        fused = fuse(detection, refinement)
        width, height = self._size
        inside = (fused.keypoints[:, :2] >= 0).all(-1) & (fused.keypoints[:, :2] < (width, height)).all(-1)
        self.boxes[frame, person] = np.clip(detection.box, 0, (width, height, width, height))
        self.keypoints[frame, person] = fused.keypoints
        self.keypoints[frame, person, ~inside, 2] = 0
        self.spread[frame, person] = fused.spread
        self.visible[frame, person] = True
        if refinement is not None:
            self.keypoints3d[frame, person] = self._in_camera_axes(fused.keypoints3d, refinement.centre)

    def _in_camera_axes(self, cue_points: Floats, centre: Floats) -> Floats:
        R = ray_rotation(centre, self._focal, self._size)
        return np.concatenate([cue_points[:, :3] @ R.T, cue_points[:, 3:]], 1)


def _with_told_sides(
    seen: dict[int, tuple[Detection, CropPose | None]],
) -> dict[int, tuple[Detection, CropPose | None]]:
    """One person's detections with left and right as most of the closer looks have them."""
    frames = sorted(seen)
    detections, looks = [seen[frame][0] for frame in frames], [seen[frame][1] for frame in frames]
    told = [
        left_right_score(d, look.keypoints[:NUM_BODY]) if look else 0.0
        for d, look in zip(detections, looks, strict=True)
    ]
    swapped = swapped_sides(frames, detections, np.array(told))
    return {
        frame: (detection.flip_left_right() if swap else detection, look)
        for frame, detection, look, swap in zip(frames, detections, looks, swapped, strict=True)
    }


MAX_FILLED = 10  # Frames between two sightings; limbs cannot be interpolated over more.
_GUESS = 0.5  # Confidence of an interpolated keypoint relative to its neighbours.


def interpolate_boxes(seen: dict[int, Detection]) -> dict[int, Detection]:
    """A detection for each frame of each short gap, linear between the sightings around it, score 0."""
    frames = sorted(seen)
    guesses = {}
    for before, after in pairwise(frames):
        if 1 < after - before <= MAX_FILLED + 1:
            for frame in range(before + 1, after):
                guesses[frame] = _between(seen[before], seen[after], (frame - before) / (after - before))
    return guesses


def _between(a: Detection, b: Detection, share: float) -> Detection:
    keypoints = (1 - share) * a.keypoints + share * b.keypoints
    keypoints[:, 2] = _GUESS * np.minimum(a.keypoints[:, 2], b.keypoints[:, 2])
    return Detection((1 - share) * a.box + share * b.box, keypoints, 0.0)


_CPU = torch.device("cpu")
_FOLLOWED_AFTER = 3  # Frames; a track this long is looked for when it is missing.
_FOLLOWED_SIZE = 0.25  # Of the largest box area: half as tall; bystanders are not looked for again.
_CERTAIN = 0.7  # Presence and agreement from which an interpolated person is taken to be there.


def observe(
    clip: Clip,
    config: ObserveConfig,
    mask_folder: Path | None,
    progress: Progress,
    device: torch.device = _CPU,
) -> Observations:
    """Who is where in every frame: boxes, keypoints and their spread, a 3D cue, masks.

    The first pass follows everybody, the second looks closer at the people who are chosen by `config.people`.
    Masks are written to `mask_folder` as 000000.png, ...: 0 nobody, p + 1 person p. `device` is where downloaded
    networks run. Raises InputError when nobody is found, ModelFileError when a network's file is missing or damaged.
    """
    choice = select_models(config)
    for line in notes_on(choice, config):
        progress.note(line)
    detector = make_detector(choice, device)
    wants_masks = config.masks and mask_folder is not None
    masks = make_mask_maker(choice, device) if wants_masks else None
    people = select_tracks(clip, detector, config, progress)
    record = ObservationBuilder(clip, len(people))
    folder, hands = mask_folder if wants_masks else None, make_hand_reader(choice, config)
    estimate_crops(clip, detector, people, record, folder, progress, masks, hands)
    observations = record.finish(track_scores(people, len(clip)), detector.name)
    for pair in close_pairs(observations):
        when = ", ".join(f"{clip.times[first]:.1f}-{clip.times[last]:.1f} s" for first, last in pair.intervals)
        progress.note(f"persons {pair.person_a} and {pair.person_b} are close in the picture: {when}")
    return observations


def select_tracks(clip: Clip, detector: Detector, config: ObserveConfig, progress: Progress) -> list[Track]:
    """First pass: the tracks of the people to reconstruct."""
    tracker = BoxTracker(config.tracker) if config.tracker in ("bytetrack", "botsort") else Tracker()
    tracks = link_tracklets(track_people(clip, detector, progress, tracker), min(MIN_PIECE, len(clip)))
    if not tracks:
        raise InputError(f"no person found in {clip.path}; give a clip that shows people nearly whole, or larger")
    chosen = choose_people(tracks, config.people)
    numbers = ", ".join(str(track.number) for track in chosen)
    progress.note(f"people found: {describe(tracks)}; taking {numbers}")
    people, doubles = remove_duplicate_tracks(chosen)
    if doubles:
        progress.note(f"{doubles} detections of somebody in another one's place and clothes left out")
    people, swaps = fix_identity_switches(people)
    if swaps:
        progress.note(f"{swaps} exchanged identities put right by the colour of the clothes; please check them")
    return people


def track_people(clip: Clip, detector: Detector, progress: Progress, tracker: Tracker | None = None) -> list[Track]:
    """A track for everybody who is seen, with all its interruptions."""
    tracker = tracker or Tracker()
    with progress.task("finding people", len(clip)) as advance:
        for frame, image in enumerate(read_frames(clip)):
            expected = _looked_for(tracker.live(frame), frame)
            tracker.step(frame, image, detect_multi_scale(detector, image, expected, frame))
            advance(1)
    return tracker.tracks


def _looked_for(live: list[Track], frame: int) -> list[Detection]:
    """Where the people should be who are worth a second look: large, and seen for longer than they are missing."""
    largest = max((track.detections[-1].area for track in live), default=0)
    return [
        track.predict(frame)
        for track in live
        if len(track.frames) >= max(_FOLLOWED_AFTER, frame - track.frames[-1])
        and track.detections[-1].area > _FOLLOWED_SIZE * largest
    ]


def estimate_crops(
    clip: Clip,
    detector: Detector,
    people: list[Track],
    record: ObservationBuilder,
    mask_folder: Path | None,
    progress: Progress,
    masks: Segmenter | None = None,
    hands: HandLandmarks | None = None,
) -> None:
    """Second pass: keypoints, 3D cues and masks of these people.

    `masks` makes better ones than the closer look, `hands` adds 21 points of each hand to it.
    """
    if mask_folder is not None:
        mask_folder.mkdir(parents=True, exist_ok=True)
    sightings = [fix_left_right(dict(zip(track.frames, track.detections, strict=True))) for track in people]
    whereabouts = [{**seen, **interpolate_boxes(seen)} for seen in sightings]
    with progress.task("keypoints and masks", len(clip)) as advance:
        for frame, image in enumerate(read_frames(clip)):
            seen = {p: where[frame] for p, where in enumerate(whereabouts) if frame in where}
            looks = estimate_frame(detector, image, seen)
            looks = hands.remade(image, looks) if hands else looks
            _record_frame(record, frame, seen, looks)
            if mask_folder is not None:
                looks = masks.refine_masks(image, looks) if masks else looks
                write_labels(mask_folder / f"{frame:06d}.png", label_image(looks, clip.size))
            advance(1)


def _record_frame(
    record: ObservationBuilder, frame: int, seen: dict[int, Detection], looks: dict[int, CropEstimate]
) -> None:
    """Guesses that the closer look does not confirm are dropped, from `looks` too."""
    for person, detection in seen.items():
        look = looks.get(person)
        guessed = detection.score == 0
        if guessed and (look is None or min(look.agreement, look.refinement.presence) < _CERTAIN):
            looks.pop(person, None)
            continue
        record.add(frame, person, detection, look)


def track_scores(people: list[Track], num_frames: int) -> Floats:
    """[T, P]; frames that were filled in get half the score of their neighbours."""
    scores = np.zeros((num_frames, len(people)))
    for p, track in enumerate(people):
        scores[:, p] = 0.5 * np.interp(np.arange(num_frames), track.frames, track.margins)
        scores[track.frames, p] = track.margins
    return scores
