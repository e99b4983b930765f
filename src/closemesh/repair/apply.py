"""Edits applied to observations: which track each person has in each frame, pinned keypoints, and contacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.repair.edits import Drop, Edit, Frames, Merge, Pin, Swap, Touching, removed
from closemesh.structures import NUM_KEYPOINTS3D, Observations
from closemesh.text.statements import TimedStatement, Touch

PIN_SIGMA = 2.0
"""Standard deviation in pixels of a keypoint that a user has set."""


@dataclass(frozen=True)
class EditedTracks:
    """What edits make of the tracks of P people: those of Q people."""

    sources: NDArray[np.int64]
    """[T, Q] the track 0..P-1 that a person has in a frame; -1 where the person has none."""
    pins: tuple[Pin, ...] = ()
    """The person of each is the track in `sources`."""


def follow_edits(detected: Bools, edits: Sequence[Edit], size: tuple[int, int]) -> EditedTracks:
    """The tracks after all edits, one after the other; detected [T, P]; size: width and height of the clip, pixels.

    Raises InputError when an edit names a person, frame or pixel that does not exist, or nothing of a person is left.
    """
    num_frames, num_people = detected.shape
    sources = np.tile(np.arange(num_people), (num_frames, 1))
    tracks = EditedTracks(sources)
    for edit in edits:
        present = _present(tracks.sources, detected)
        _check(edit, present, size)
        tracks = _follow(tracks, edit, present)
        empty = np.flatnonzero(~_present(tracks.sources, detected).any(0))
        if len(empty):
            raise InputError(f"{edit}: person {empty[0]} would be in no frame; give drop {empty[0]} alone")
    return tracks


def edit_observations(observations: Observations, tracks: EditedTracks) -> Observations:
    """The observations of the people of `tracks`; zeros where a person has no track."""
    pinned = _pinned(observations, tracks.pins)
    changes: dict[str, Any] = {
        one.name: _gather(value, tracks.sources)
        for one in fields(observations)
        if isinstance(value := getattr(pinned, one.name), np.ndarray)
    }
    return replace(pinned, **changes)


def edit_labels(labels: NDArray[np.uint8], sources: NDArray[np.int64]) -> NDArray[np.uint8]:
    """[H, W] the label image of a frame with the numbers of people after the edits.

    labels: [H, W], 0 background. sources: [Q] of the frame.
    """
    table = np.zeros(256, np.uint8)
    for person, source in enumerate(sources):
        if source >= 0:
            table[source + 1] = person + 1
    return table[labels]


def contact_statements(edits: Sequence[Edit], times: Floats) -> tuple[TimedStatement, ...]:
    """The contacts of edits that fit the clip, as statements without doubt; times: [T] seconds.

    People have their numbers after all edits.
    """
    touches: list[Touching] = []
    for edit in edits:
        if isinstance(edit, Touching):
            touches.append(edit)
        else:
            touches = [after for one in touches if (after := _renumbered(one, edit)) is not None]
    return tuple(_statement(one, times) for one in touches)


def _statement(touch: Touching, times: Floats) -> TimedStatement:
    start, end = times[touch.frames.start], times[-1 if touch.frames.end is None else touch.frames.end]
    statement = Touch(touch.person_a, touch.part_a, touch.person_b, touch.part_b)
    return TimedStatement(statement, float(start), float(end))


def _present(sources: NDArray[np.int64], detected: Bools) -> Bools:
    """[T, Q] whether the person has a track that is detected in the frame."""
    return (sources >= 0) & np.take_along_axis(detected, sources.clip(min=0), axis=1)


def _follow(tracks: EditedTracks, edit: Edit, present: Bools) -> EditedTracks:
    """The tracks after one edit that was checked."""
    if isinstance(edit, Touching):
        return tracks
    if isinstance(edit, Pin):
        track = int(tracks.sources[edit.frame, edit.person])
        same = (track, edit.keypoint, edit.frame)
        others = tuple(one for one in tracks.pins if (one.person, one.keypoint, one.frame) != same)
        return replace(tracks, pins=(*others, replace(edit, person=track)))
    sources = tracks.sources.copy()
    if isinstance(edit, Swap):
        rows = _slice(edit.frames)
        sources[rows, [edit.person_a, edit.person_b]] = tracks.sources[rows, [edit.person_b, edit.person_a]]
    elif isinstance(edit, Merge):
        first, second = sources[:, edit.first], sources[:, edit.second]
        sources[:, min(edit.first, edit.second)] = np.where(present[:, edit.first], first, second)
    elif isinstance(edit, Drop):
        sources[_slice(edit.frames), edit.person] = -1
    gone = removed(edit)
    return replace(tracks, sources=sources if gone is None else np.delete(sources, gone, axis=1))


def _renumbered(touch: Touching, edit: Edit) -> Touching | None:
    """The contact after an edit that may remove a track; None where its person is gone or touches no other."""
    gone = removed(edit)
    if gone is None:
        return touch
    into = min(edit.first, edit.second) if isinstance(edit, Merge) else None
    a, b = (into if one == gone else one - (one > gone) for one in (touch.person_a, touch.person_b))
    return None if a is None or b is None or a == b else replace(touch, person_a=a, person_b=b)


def _slice(frames: Frames) -> slice:
    return slice(frames.start, None if frames.end is None else frames.end + 1)


def _check(edit: Edit, present: Bools, size: tuple[int, int]) -> None:
    """Raises InputError when the edit does not fit people, frames and image."""
    num_frames, num_people = present.shape
    unknown = [person for person in _people(edit) if person >= num_people]
    if unknown:
        raise InputError(f"{edit}: there is no person {unknown[0]}; the result has 0 to {num_people - 1}")
    last = edit.frame if isinstance(edit, Pin) else 0 if isinstance(edit, Merge) else edit.frames.end or 0
    if last >= num_frames:
        raise InputError(f"{edit}: there is no frame {last}; the clip has 0 to {num_frames - 1}")
    if removed(edit) is not None and num_people == 1:
        raise InputError(f"{edit}: no person would be left")
    if isinstance(edit, Pin):
        _check_pin(edit, present, size)


def _check_pin(pin: Pin, present: Bools, size: tuple[int, int]) -> None:
    if not present[pin.frame, pin.person]:
        raise InputError(f"{pin}: person {pin.person} is not detected in frame {pin.frame}; pin another frame")
    if not (0 <= pin.x < size[0] and 0 <= pin.y < size[1]):
        raise InputError(f"{pin}: the pixel is outside the image of {size[0]}x{size[1]}")


def _people(edit: Edit) -> tuple[int, ...]:
    if isinstance(edit, Drop | Pin):
        return (edit.person,)
    return (edit.first, edit.second) if isinstance(edit, Merge) else (edit.person_a, edit.person_b)


def _pinned(observations: Observations, pins: Sequence[Pin]) -> Observations:
    """The observations with pinned keypoints; other estimates of these points, of another place, are left out."""
    arrays: dict[str, Any] = {
        name: None if (value := getattr(observations, name)) is None else value.copy()
        for name in ("keypoints", "sigmas", "keypoints3d", "flow_keypoints", "outside")
    }
    for pin in pins:
        where = pin.frame, pin.person, KEYPOINT_INDEX[pin.keypoint]
        arrays["keypoints"][where] = pin.x, pin.y, 1.0
        arrays["sigmas"][where] = PIN_SIGMA
        if where[2] < NUM_KEYPOINTS3D:
            arrays["keypoints3d"][(*where, 3)] = 0
            for name in ("flow_keypoints", "outside"):
                if arrays[name] is not None:
                    arrays[name][where] = 0
    return replace(observations, **arrays)


def _gather(array: NDArray[Any], sources: NDArray[np.int64]) -> NDArray[Any]:
    """[T, Q, ...] the rows of `array` [T, P, ...] by track; zeros where there is none."""
    found = array[np.arange(len(array))[:, None], sources]
    found[sources < 0] = 0
    return found
