"""The stage: from the frames of a clip to Observations, in two passes over the video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from closemesh.config import ObserveConfig
from closemesh.errors import InputError
from closemesh.observe.box_tracking import BoxTracker
from closemesh.observe.choice import choose, make_detector, make_hand_reader, make_mask_maker, notes_on
from closemesh.observe.closer import Look, look_at_people
from closemesh.observe.detector import Detection, Detector
from closemesh.observe.doubles import drop_doubles
from closemesh.observe.flips import with_steady_sides
from closemesh.observe.gaps import interpolated
from closemesh.observe.hand_landmarks import HandLandmarks
from closemesh.observe.mask_maker import MaskMaker
from closemesh.observe.masks import label_image, write_labels
from closemesh.observe.people import MIN_PIECE, choose_people, describe, join_pieces
from closemesh.observe.proximity import close_pairs
from closemesh.observe.record import Record
from closemesh.observe.search import find_people
from closemesh.observe.swaps import undo_swaps
from closemesh.observe.tracking import Track, Tracker
from closemesh.progress import Progress
from closemesh.scene import Clip, Floats, Observations
from closemesh.video import read_frames

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
    choice = choose(config)
    for line in notes_on(choice, config):
        progress.note(line)
    detector = make_detector(choice, device)
    wants_masks = config.masks and mask_folder is not None
    masks = make_mask_maker(choice, device) if wants_masks else None
    people = find_whom(clip, detector, config, progress)
    record = Record(clip, len(people))
    folder, hands = mask_folder if wants_masks else None, make_hand_reader(choice, config)
    look_closer(clip, detector, people, record, folder, progress, masks, hands)
    observations = record.finish(track_scores(people, len(clip)), detector.name)
    for pair in close_pairs(observations):
        when = ", ".join(f"{clip.times[first]:.1f}-{clip.times[last]:.1f} s" for first, last in pair.intervals)
        progress.note(f"persons {pair.person_a} and {pair.person_b} are close in the picture: {when}")
    return observations


def find_whom(clip: Clip, detector: Detector, config: ObserveConfig, progress: Progress) -> list[Track]:
    """First pass: the tracks of the people to reconstruct."""
    tracker = Tracker() if config.tracker == "own" else BoxTracker(config.tracker)
    tracks = join_pieces(follow_everybody(clip, detector, progress, tracker), min(MIN_PIECE, len(clip)))
    if not tracks:
        raise InputError(f"no person found in {clip.path}; give a clip that shows people nearly whole, or larger")
    chosen = choose_people(tracks, config.people)
    numbers = ", ".join(str(track.number) for track in chosen)
    progress.note(f"people found: {describe(tracks)}; taking {numbers}")
    people, doubles = drop_doubles(chosen)
    if doubles:
        progress.note(f"{doubles} detections of somebody in another one's place and clothes left out")
    people, swaps = undo_swaps(people)
    if swaps:
        progress.note(f"{swaps} exchanged identities put right by the colour of the clothes; please check them")
    return people


def follow_everybody(clip: Clip, detector: Detector, progress: Progress, tracker: Tracker | None = None) -> list[Track]:
    """A track for everybody who is seen, with all its interruptions."""
    tracker = tracker or Tracker()
    with progress.task("finding people", len(clip)) as advance:
        for frame, image in enumerate(read_frames(clip)):
            expected = _looked_for(tracker.live(frame), frame)
            tracker.step(frame, image, find_people(detector, image, expected, frame))
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


def look_closer(
    clip: Clip,
    detector: Detector,
    people: list[Track],
    record: Record,
    mask_folder: Path | None,
    progress: Progress,
    masks: MaskMaker | None = None,
    hands: HandLandmarks | None = None,
) -> None:
    """Second pass: keypoints, 3D cues and masks of these people.

    `masks` makes better ones than the closer look, `hands` adds 21 points of each hand to it.
    """
    if mask_folder is not None:
        mask_folder.mkdir(parents=True, exist_ok=True)
    sightings = [with_steady_sides(dict(zip(track.frames, track.detections, strict=True))) for track in people]
    whereabouts = [{**seen, **interpolated(seen)} for seen in sightings]
    with progress.task("keypoints and masks", len(clip)) as advance:
        for frame, image in enumerate(read_frames(clip)):
            seen = {p: where[frame] for p, where in enumerate(whereabouts) if frame in where}
            looks = look_at_people(detector, image, seen)
            looks = hands.remade(image, looks) if hands else looks
            _record_frame(record, frame, seen, looks)
            if mask_folder is not None:
                looks = masks.remade(image, looks) if masks else looks
                write_labels(mask_folder / f"{frame:06d}.png", label_image(looks, clip.size))
            advance(1)


def _record_frame(record: Record, frame: int, seen: dict[int, Detection], looks: dict[int, Look]) -> None:
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
