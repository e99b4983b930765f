"""Reader of SAM 3D Body (Yang et al. 2025): outputs of its process_one_image.

Two layouts are read. One .npz file per person and image, named by the image (000012_subj01.npz), as in the repository
of its body model MHR. Or one pickle with a list of people per frame. Only the keypoints are used; the body of closemesh
is fitted to them. The layouts come from the published sources of SAM 3D Body and MHR. They are tested on files that the
tests write, not on files of the tool.
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
from closemesh.core.arrays import Floats, npz_keys, read_npz
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_number, expect_whole_number
from closemesh.core.unpickling import expect_numbers
from closemesh.importers.results import ImportedPerson, ImportedResult, ToolCamera, person_from_keypoints
from closemesh.structures import NUM_KEYPOINTS, Clip

_KEYS = ("pred_keypoints_3d", "pred_cam_t", "focal_length")
_NUM_POINTS = 70
_SIDES = ("left", "right")
_BODY = ("eye", "ear", "shoulder", "elbow", "hip", "knee", "ankle")
_FEET = ("big_toe", "small_toe", "heel")
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_MAX_FOCAL, _MAX_METERS = 1e6, 1e4  # Pixels, and meters from the camera.
_MAX_DISTANCE = 0.5  # Meters between two consecutive detections of a person.
_MAX_MISSING_FRAMES = 30  # Between two consecutive detections of a person.


def _keypoint_indices() -> dict[int, int]:
    """Index of the tool's keypoint for each of the 133 keypoints that it has; its fingers go from tip to knuckle."""
    names = ["nose", *(f"{side}_{part}" for part in _BODY for side in _SIDES)]
    names += [f"{side}_{part}" for side in _SIDES for part in _FEET]
    for side in reversed(_SIDES):
        names += [f"{side}_hand_{finger}{k}" for finger in _FINGERS for k in (4, 3, 2, 1)] + [f"{side}_wrist"]
    return {KEYPOINT_INDEX[name]: k for k, name in enumerate(names)}


SAM3D_KEYPOINTS = _keypoint_indices()
"""COCO-WholeBody index to index among the 70 keypoints of SAM 3D Body."""


@dataclass(frozen=True)
class _Detection:
    """One person in one frame."""

    frame: int
    points: Floats
    """[70, 3] meters, camera of the tool."""
    focal: float
    """Pixels."""
    principal_point: Floats
    """[2] pixels; nan when the file has no 2D keypoints."""


def is_sam3d_person(data: Any) -> bool:
    """True for the output for one person in one image."""
    return hasattr(data, "keys") and all(key in data for key in _KEYS)


def is_sam3d_npz(path: Path) -> bool:
    """True for an .npz file of the tool; False for a file that cannot be read."""
    try:
        return is_sam3d_person(dict.fromkeys(npz_keys(path)))
    except InputError:
        return False


def is_sam3d_frames(data: Any) -> bool:
    """True for the content of a pickle with a list of people per frame."""
    people = [person for frame in data for person in frame] if _is_list_of_lists(data) else []
    return bool(people) and all(is_sam3d_person(person) for person in people)


def _is_list_of_lists(data: Any) -> bool:
    return isinstance(data, Sequence) and all(isinstance(frame, (list, tuple)) for frame in data)


def read_sam3d_files(paths: Sequence[Path], clip: Clip) -> ImportedResult:
    """All people of .npz files, one per person and image; the frame is the number in the image's name.

    Numbers count from 0, or from 1 when no image has number 0. Raises InputError when a file is damaged, has an entry
    of another shape, or has no frame number in its name.
    """
    frames = [_frame_number(path) for path in paths]
    first = min(*frames, 1)
    detections = []
    for path, frame in zip(paths, frames, strict=True):
        advice = "make it again with the tool it is from"
        arrays = read_npz(path, _KEYS, ("pred_keypoints_2d",), fault="cannot be read", advice=advice)
        detections.append(_detection(path, arrays, frame - first))
    return _result(detections, clip)


def read_sam3d_frames(path: Path, data: Sequence[Sequence[Mapping[str, Any]]], clip: Clip) -> ImportedResult:
    """All people of a pickle with one list of people per frame, from the first frame of the clip.

    Raises InputError when an entry is of another shape.
    """
    return _result([_detection(path, person, t) for t, frame in enumerate(data) for person in frame], clip)


def _first(value: Any) -> Any:
    """The first number of an array, or the number itself."""
    flat = np.asarray(value).reshape(-1)
    return flat[0] if len(flat) else None


def _frame_number(path: Path) -> int:
    found = re.findall(r"\d+", re.sub(r"_subj\d+$", "", path.stem))
    if not found:
        raise InputError(f"{path} has no frame number in its name; name the files like 000012_subj01.npz")
    return expect_whole_number(path, "the number of the image", int(found[-1]))


def _detection(path: Path, data: Mapping[str, Any], frame: int) -> _Detection:
    points = expect_numbers(path, "pred_keypoints_3d", data["pred_keypoints_3d"], (_NUM_POINTS, 3))
    translation = expect_numbers(path, "pred_cam_t", data["pred_cam_t"], (3,))
    focal = expect_number(path, "focal_length", _first(data["focal_length"]), 0, _MAX_FOCAL)
    in_camera = points + translation
    if not (np.abs(in_camera) < _MAX_METERS).all():
        raise InputError(f"{path}: people farther away than {_MAX_METERS:g} m; the file is not as documented")
    if not focal > 0 or not (in_camera[:, 2] > 0).all():
        raise InputError(f"{path}: people behind the camera, or no focal length; the file is not as documented")
    principal_point = np.full(2, np.nan)
    if data.get("pred_keypoints_2d") is not None:
        pixels = expect_numbers(path, "pred_keypoints_2d", data["pred_keypoints_2d"], (_NUM_POINTS, 2))
        principal_point = np.median(pixels - focal * in_camera[:, :2] / in_camera[:, 2:], axis=0)
    return _Detection(frame, in_camera, focal, principal_point)


def _result(detections: Sequence[_Detection], clip: Clip) -> ImportedResult:
    """The detections in one camera: the tool may estimate another focal length in every image."""
    focal = float(np.median([one.focal for one in detections]))
    known = [one.principal_point for one in detections if np.isfinite(one.principal_point).all()]
    x, y = np.median(known, axis=0) if known else np.array(clip.size) / 2
    people = tuple(_person(track, focal) for track in link_detections(detections))
    return ImportedResult("SAM 3D Body", people, ToolCamera(focal, (float(x), float(y))))


def link_detections(detections: Sequence[_Detection]) -> list[list[_Detection]]:
    """Detections of the same person, in the order of frames; linked by position, as the tool has no tracks."""
    tracks: list[list[_Detection]] = []
    for frame in sorted({one.frame for one in detections}):
        current = [one for one in detections if one.frame == frame]
        open_tracks = [track for track in tracks if frame - track[-1].frame <= _MAX_MISSING_FRAMES]
        distances = np.array([[_distance(track[-1], one) for one in current] for track in open_tracks])
        distances = distances.reshape(len(open_tracks), len(current))
        new = set(range(len(current)))
        for row, column in zip(*linear_sum_assignment(np.minimum(distances, 10 * _MAX_DISTANCE)), strict=True):
            if distances[row, column] < _MAX_DISTANCE:
                open_tracks[row].append(current[column])
                new.discard(int(column))
        tracks += [[current[column]] for column in sorted(new)]
    return tracks


def _distance(a: _Detection, b: _Detection) -> float:
    """Meters between two detections; depth counts less, because it is less accurate."""
    return float(np.linalg.norm((a.points - b.points) * [1, 1, 0.3], axis=-1).mean())


def _person(track: Sequence[_Detection], focal: float) -> ImportedPerson:
    keypoints = np.full((len(track), NUM_KEYPOINTS, 3), np.nan)
    for n, one in enumerate(track):
        shift = one.points[:, 2].mean() * (focal / one.focal - 1)
        keypoints[n, list(SAM3D_KEYPOINTS)] = (one.points + np.array([0, 0, shift]))[list(SAM3D_KEYPOINTS.values())]
    return person_from_keypoints(np.array([one.frame for one in track]), keypoints)
