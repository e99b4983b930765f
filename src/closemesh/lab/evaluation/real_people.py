"""Which track follows which person of the facts about a real clip, and joints whose places are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from closemesh.body.skeleton import KEYPOINT_INDEX, LIMBS
from closemesh.core.arrays import Bools, Floats, expect
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_list, expect_mapping, foreign_reader, read_json_file
from closemesh.lab.evaluation.real_facts import ClipFacts
from closemesh.lab.evaluation.real_masks import frame_position
from closemesh.structures import Clip, Observations

_ON_PERSON = 0.15  # Diagonals of the box; a point farther from a skeleton is not on that person.
_TRUNK_LINES = ((5, 12), (6, 11))  # Diagonals of the trunk.
_MIN_JOINTS = 6  # Joints whose extent gives the size of a person.
_LIMB_KEYPOINTS = np.arange(5, 17)  # Shoulders to ankles.
_BODY_25 = [5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11]  # The same joints in the order of OpenPose.
_CLEAR = 0.5  # Confidence of a joint that is clearly visible ...
_TALL = 0.5  # ... and height, of the tallest person's, of a person who is.
_MAX_PIXELS = 1e6
_MATCHED = 0.15  # Diagonals: mean distance of joints below which a track is on a person.


@dataclass(frozen=True)
class PersonTracks:
    """Which track follows which person of the facts."""

    track: Mapping[str, int]
    """Without people who were not found."""
    held: Bools
    """[N] True for each point of the facts that lies on the track of its person; without people who need not be found
    and were not."""


def assign_tracks(facts: ClipFacts, clip: Clip, observations: Observations) -> PersonTracks:
    """The assignment of people to tracks for which most points lie on the right track; one track each.

    A point lies on the track whose skeleton is nearest. Points of frames that were not processed do not count.
    """
    names = list(facts.people or {})
    on_track = []  # Person and track of each point; -1 where there is none.
    for point in facts.points:
        position = frame_position(clip, point.frame)
        if position is not None:
            nearest = track_at(observations, position, point.xy)
            on_track.append((names.index(point.person), -1 if nearest is None else nearest))
    count = np.zeros((len(names), observations.num_people), int)
    for person, track in on_track:
        if track >= 0:
            count[person, track] += 1
    rows, columns = linear_sum_assignment(count, maximize=True)
    best = {
        person: track for person, track in zip(rows.tolist(), columns.tolist(), strict=True) if count[person, track]
    }
    # A person who need not be found and is not found is no error of identity.
    counted = [(p, track) for p, track in on_track if p in best or names[p] not in facts.optional_people]
    held = np.array([best.get(person) == track for person, track in counted], bool)
    return PersonTracks({names[person]: track for person, track in best.items()}, held)


def track_at(observations: Observations, position: int, xy: tuple[float, float]) -> int | None:
    """The detected person whose skeleton is nearest to a pixel; None beyond 0.15 diagonals of the box."""
    distances = np.full(observations.num_people, np.inf)
    for person in np.flatnonzero(observations.detected[position]):
        points = observations.keypoints[position, person, :17].astype(float)
        diagonal = float(np.linalg.norm(np.ptp(observations.boxes[position, person].reshape(2, 2), axis=0)))
        lines = [(a, b) for a, b in (*LIMBS, *_TRUNK_LINES) if min(points[a, 2], points[b, 2]) > 0]
        if lines and diagonal > 0:
            start, end = (points[[line[k] for line in lines], :2] for k in (0, 1))
            distances[person] = _distance_to_lines(np.array(xy), start, end) / diagonal
    nearest = int(distances.argmin()) if len(distances) else -1
    return nearest if nearest >= 0 and distances[nearest] < _ON_PERSON else None


def _distance_to_lines(point: Floats, start: Floats, end: Floats) -> float:
    """The smallest distance of `point` [2] to the lines from start [N, 2] to end [N, 2]."""
    along = end - start
    length = np.maximum((along**2).sum(-1), 1e-9)
    fraction = np.clip(((point - start) * along).sum(-1) / length, 0, 1)
    return float(np.linalg.norm(start + fraction[:, None] * along - point, axis=-1).min())


@dataclass(frozen=True)
class TrueJoint:
    """A joint whose place in one frame is known."""

    track: int | None
    position: int
    keypoint: int
    xy: tuple[float, float]
    size: float
    """Pixels: the diagonal of the person."""
    hidden: bool
    group: tuple[str, int]
    """Person and frame."""


def marked_joints(facts: ClipFacts, clip: Clip, observations: Observations, people: PersonTracks) -> list[TrueJoint]:
    """The joints that the facts mark, in the processed frames.

    The size of a person is the extent of the joints marked in that frame, or with fewer than six the detected box.
    """
    joints = []
    for joint in facts.joints:
        position, track = frame_position(clip, joint.frame), people.track.get(joint.person)
        if position is None:
            continue
        group = (joint.person, joint.frame)
        marked = np.array([one.xy for one in facts.joints if (one.person, one.frame) == group])
        if len(marked) >= _MIN_JOINTS:
            size = float(np.linalg.norm(np.ptp(marked, axis=0)))
        elif track is not None and observations.detected[position, track]:
            size = float(np.linalg.norm(np.ptp(observations.boxes[position, track].reshape(2, 2), axis=0)))
        else:
            size = 1.0  # Not used: without a detection there is no distance.
        keypoint = KEYPOINT_INDEX[joint.joint]
        joints.append(TrueJoint(track, position, keypoint, joint.xy, size, joint.hidden, group))
    return joints


@foreign_reader
def photo_joints(path: Path, observations: Observations) -> tuple[int, int, list[TrueJoint]]:
    """How many of the clearly visible people of the first frame were found, how many there are, and their joints.

    path: keypoints of a large detector. People with six clear joints count who are at least half as tall as the
    tallest. Each is found by the nearest track that is less than 0.15 of the diagonal away.
    Raises InputError when the file is damaged or is not in the order BODY_25.
    """
    people = _read_body_25(path)
    people = [person for person in people if (person[:, 2] > _CLEAR).sum() >= _MIN_JOINTS]
    heights = [float(np.ptp(person[person[:, 2] > _CLEAR, 1])) for person in people]
    people = [person for person, height in zip(people, heights, strict=True) if height >= _TALL * max(heights)]
    seen = observations.keypoints[0][:, _LIMB_KEYPOINTS, :2].astype(float)
    free = set(np.flatnonzero(observations.detected[0]).tolist())
    joints, found = [], 0
    for number, person in enumerate(people):
        clear = person[:, 2] > _CLEAR
        size = float(np.linalg.norm(np.ptp(person[clear, :2], axis=0)))
        far = {track: np.linalg.norm(seen[track, clear] - person[clear, :2], axis=1).mean() / size for track in free}
        track = min(far, key=far.__getitem__, default=None)
        if track is not None and far[track] <= _MATCHED:
            free.remove(track)
            found += 1
        else:
            track = None
        for keypoint, (x, y, _) in zip(_LIMB_KEYPOINTS[clear].tolist(), person[clear].tolist(), strict=True):
            joints.append(TrueJoint(track, 0, keypoint, (x, y), size, False, (str(number), 0)))
    return found, len(people), joints


def _read_body_25(path: Path) -> list[Floats]:
    """Shoulders to ankles [12, 3] of each person: x, y, confidence. Raises InputError."""
    values = expect_mapping(path, "the file", read_json_file(path, "check the key keypoints"))
    try:
        people = [expect_mapping(path, "a person", one) for one in expect_list(path, "people", values["people"])]
        rows = [np.array(person["pose_keypoints_2d"], float).reshape(25, 3) for person in people]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: is not a file of OpenPose with 25 keypoints per person ({error})") from error
    chosen = [expect(path, "pose_keypoints_2d", row[_BODY_25], (12, 3)) for row in rows]
    if not all((np.abs(row) < _MAX_PIXELS).all() for row in chosen):
        raise InputError(f"{path}: keypoints beyond {_MAX_PIXELS:g} pixels; is it a file of OpenPose?")
    return chosen
