"""SAM 3D Body (Yang et al. 2025): what its process_one_image answers, kept by picture and person.

Either .npz files of one person in one picture, as the repository of its body (MHR) has them, named by the picture
(000012_subj01.npz); or one pickle with a list over the frames, each a list of people. Of its body only the keypoints
are taken, and ours is fitted to them. Built from the published sources of SAM 3D Body and MHR; tested on files of that
layout that the tests write, on none of the tool's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.unpickling import numbers
from closemesh.importers.results import ImportedPerson, ImportedResult, ToolCamera, person_of_points
from closemesh.structures import NUM_KEYPOINTS, Clip

_KEYS = ("pred_keypoints_3d", "pred_cam_t", "focal_length")
_NUM_POINTS = 70
_SIDES = ("left", "right")
_BODY = ("eye", "ear", "shoulder", "elbow", "hip", "knee", "ankle")
_FEET = ("big_toe", "small_toe", "heel")
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_FARTHEST = 0.5  # Metres by which keypoints may move from one sighting of a person to the next,
_LONGEST = 30  # so many frames later at most.


def _places() -> dict[int, int]:
    """Which of our 133 keypoints is which of the tool's; its fingers go from the tip to the knuckle."""
    names = ["nose", *(f"{side}_{part}" for part in _BODY for side in _SIDES)]
    names += [f"{side}_{part}" for side in _SIDES for part in _FEET]
    for side in reversed(_SIDES):
        names += [f"{side}_hand_{finger}{k}" for finger in _FINGERS for k in (4, 3, 2, 1)] + [f"{side}_wrist"]
    return {KEYPOINT_INDEX[name]: k for k, name in enumerate(names)}


PLACES = _places()


@dataclass(frozen=True)
class _Detection:
    """One person in one frame."""

    frame: int
    points: Floats
    """[70, 3] metres, the tool's camera."""
    focal: float
    centre: Floats
    """[2] pixels; nan when not told."""


def is_sam3d_person(told: Any) -> bool:
    """Whether this is what the tool says of one person in one picture."""
    return hasattr(told, "keys") and all(key in told for key in _KEYS)


def is_sam3d_npz(path: Path) -> bool:
    """Whether an .npz file is one of the tool's. Raises no error for damaged ones, which are told of elsewhere."""
    try:
        with np.load(path, allow_pickle=False) as told:
            return is_sam3d_person(dict.fromkeys(told.files))
    except Exception:  # numpy raises many kinds.
        return False


def is_sam3d_frames(told: Any) -> bool:
    """Whether what a pickle holds is a list over frames of lists of people."""
    people = [person for frame in told for person in frame] if _is_list_of_lists(told) else []
    return bool(people) and all(is_sam3d_person(person) for person in people)


def _is_list_of_lists(told: Any) -> bool:
    return isinstance(told, Sequence) and all(isinstance(frame, (list, tuple)) for frame in told)


def read_sam3d_files(paths: Sequence[Path], clip: Clip) -> ImportedResult:
    """Everybody in .npz files of one person in one picture each; the frame is the number in the picture's name.

    Numbers count from 0, or from 1 where no picture has 0. Raises InputError.
    """
    frames = [_frame_of(path) for path in paths]
    first = min(*frames, 1)
    sightings = []
    for path, frame in zip(paths, frames, strict=True):
        try:
            with np.load(path, allow_pickle=False) as told:
                arrays = {key: told[key] for key in (*_KEYS, "pred_keypoints_2d") if key in told.files}
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read ({error}); make it again with the tool it is from") from error
        sightings.append(_sighting(path, arrays, frame - first))
    return _result(sightings, clip)


def read_sam3d_frames(path: Path, told: Sequence[Sequence[Mapping[str, Any]]], clip: Clip) -> ImportedResult:
    """Everybody in a pickle of lists of people, one list for each frame from the clip's first. Raises InputError."""
    return _result([_sighting(path, person, t) for t, frame in enumerate(told) for person in frame], clip)


def _frame_of(path: Path) -> int:
    found = re.findall(r"\d+", re.sub(r"_subj\d+$", "", path.stem))
    if not found:
        raise InputError(f"{path}: its name does not tell the frame; name the files like 000012_subj01.npz")
    return int(found[-1])


def _sighting(path: Path, told: Mapping[str, Any], frame: int) -> _Detection:
    points = numbers(path, "pred_keypoints_3d", told["pred_keypoints_3d"], (_NUM_POINTS, 3))
    place = numbers(path, "pred_cam_t", told["pred_cam_t"], (3,))
    focal = float(np.asarray(told["focal_length"], np.float64).reshape(-1)[0])
    in_camera = points + place
    if not focal > 0 or not (in_camera[:, 2] > 0).all():
        raise InputError(f"{path}: people behind the camera, or no focal length; the file is not as documented")
    centre = np.full(2, np.nan)
    if told.get("pred_keypoints_2d") is not None:
        pixels = numbers(path, "pred_keypoints_2d", told["pred_keypoints_2d"], (_NUM_POINTS, 2))
        centre = np.median(pixels - focal * in_camera[:, :2] / in_camera[:, 2:], axis=0)
    return _Detection(frame, in_camera, focal, centre)


def _result(sightings: Sequence[_Detection], clip: Clip) -> ImportedResult:
    """One camera for all: where the tool guessed the focal length anew in every picture, people are moved to fit."""
    focal = float(np.median([one.focal for one in sightings]))
    told = [one.centre for one in sightings if np.isfinite(one.centre).all()]
    centre = np.median(told, axis=0) if told else np.array(clip.size) / 2
    people = tuple(_person(track, focal) for track in tracks_of(sightings))
    return ImportedResult("SAM 3D Body", people, ToolCamera(focal, (float(centre[0]), float(centre[1]))))


def tracks_of(sightings: Sequence[_Detection]) -> list[list[_Detection]]:
    """The tool numbers people anew in every picture: who is where he was is the same."""
    tracks: list[list[_Detection]] = []
    for frame in sorted({one.frame for one in sightings}):
        here = [one for one in sightings if one.frame == frame]
        live = [track for track in tracks if frame - track[-1].frame <= _LONGEST]
        apart = np.array([[_apart(track[-1], one) for one in here] for track in live]).reshape(len(live), len(here))
        new = set(range(len(here)))
        for row, column in zip(*linear_sum_assignment(np.minimum(apart, 10 * _FARTHEST)), strict=True):
            if apart[row, column] < _FARTHEST:
                live[row].append(here[column])
                new.discard(int(column))
        tracks += [[here[column]] for column in sorted(new)]
    return tracks


def _apart(a: _Detection, b: _Detection) -> float:
    """Metres between two sightings; the distance from the camera, which jumps, counts for less."""
    return float(np.linalg.norm((a.points - b.points) * [1, 1, 0.3], axis=-1).mean())


def _person(track: Sequence[_Detection], focal: float) -> ImportedPerson:
    points = np.full((len(track), NUM_KEYPOINTS, 3), np.nan)
    for n, one in enumerate(track):
        away = one.points[:, 2].mean() * (focal / one.focal - 1)
        points[n, list(PLACES)] = (one.points + np.array([0, 0, away]))[list(PLACES.values())]
    return person_of_points(np.array([one.frame for one in track]), points)
