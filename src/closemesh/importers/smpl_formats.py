"""Readers of results in SMPL-family parameters: PHALP, WHAM, PromptHMR, GVHMR, CoMotion and AMASS-style files.

The layouts come from the published source of each tool. They are tested on files that the tests write, not on files
of the tools.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from closemesh.core.arrays import Floats, expect_equal_lengths
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_list, expect_number, expect_whole_number
from closemesh.core.unpickling import expect_numbers
from closemesh.importers.results import ImportedPerson, ImportedResult, ToolCamera, smpl_person
from closemesh.motion_files.amass import read_amass
from closemesh.motion_files.sequence import MotionSequence
from closemesh.motion_files.smpl_parameters import Model
from closemesh.structures import NUM_BODY_JOINTS, Clip

# Defaults of PHALP: focal length of the square to which it scales the padded frame, and side of that square.
_PHALP_FOCAL, _PHALP_SIDE = 5000.0, 256.0
# Joints of SMPL among `3d_joints`, which are in the order of OpenPose.
_OPENPOSE = {17: 2, 19: 3, 21: 4, 16: 5, 18: 6, 20: 7, 0: 8, 2: 9, 5: 10, 8: 11, 1: 12, 4: 13, 7: 14, 12: 1}
_PHALP_KEYS = ("tid", "tracked_time", "smpl", "camera")
_WHAM_KEYS = ("pose", "trans", "betas", "frame_ids")
_MAX_ASPECT_ERROR = 0.02  # PromptHMR rounds the sides of scaled frames to even numbers.
_GVHMR_CAMERA = "smpl_params_incam"
_GVHMR_WIDTHS = {"global_orient": 3, "body_pose": 63, "transl": 3, "betas": 10}
_COMOTION_KEYS = ("id", "pose", "trans", "betas", "frame_idx")
_FINGERS = slice(25, 55)
_MAX_FRAME = 2**31


def is_phalp(data: Any) -> bool:
    """True for the pickle of 4D-Humans (Goel et al. 2023) and its tracker PHALP: frames by name, people in lists."""
    return (
        isinstance(data, Mapping)
        and bool(data)
        and all(isinstance(frame, Mapping) and all(key in frame for key in _PHALP_KEYS) for frame in data.values())
    )


def phalp_camera(size: tuple[int, int]) -> ToolCamera:
    """Full-frame pinhole of PHALP, for frames of `size` (width, height).

    PHALP pads the frame to a square. A point falls on (x / z * 5000 / 256 + 1/2) times the side of that square.
    """
    side = max(size)
    left, top = ((side - length) // 2 for length in size)
    return ToolCamera(_PHALP_FOCAL / _PHALP_SIDE * side, (side / 2 - left, side / 2 - top), crop_focal=True)


def read_phalp(path: Path, data: Mapping[Any, Any], clip: Clip) -> ImportedResult:
    """All tracks of outputs/results/demo_CLIP.pkl, without the frames in which a track is only predicted.

    Frames count from the first of the clip: PHALP's options start_frame and video.start_frame are not in the file.
    Raises InputError when an entry is missing or of another shape.
    """
    rows: dict[int, list[tuple[int, Any, int]]] = {}
    for frame in data.values():
        tracks, lost = (expect_list(path, name, frame[name]) for name in ("tid", "tracked_time"))
        for k, (track, frames_lost) in enumerate(zip(tracks, lost, strict=False)):
            if expect_whole_number(path, "tracked_time", frames_lost) == 0:
                time = expect_whole_number(path, "time", frame.get("time"), 0, _MAX_FRAME)
                rows.setdefault(expect_whole_number(path, "tid", track), []).append((time, frame, k))
    people = tuple(_phalp_person(path, sorted(track, key=lambda row: row[0])) for track in rows.values())
    return ImportedResult("4D-Humans", people, phalp_camera(clip.size))


def _phalp_person(path: Path, rows: list[tuple[int, Any, int]]) -> ImportedPerson:
    def column(name: str, entry: Any, shape: tuple[int | str, ...]) -> Floats:
        return np.stack([expect_numbers(path, name, entry(frame, k), shape) for _, frame, k in rows])

    try:
        root = column("global_orient", lambda f, k: f["smpl"][k]["global_orient"], (1, 3, 3))
        pose = column("body_pose", lambda f, k: f["smpl"][k]["body_pose"], (23, 3, 3))
        betas = column("betas", lambda f, k: f["smpl"][k]["betas"], (10,))
        transl = column("camera", lambda f, k: f["camera"][k], (3,))
        confidence = [_phalp_confidence(path, f, k) for _, f, k in rows]
        joints = [_phalp_joints(path, f["3d_joints"][k]) for _, f, k in rows] if "3d_joints" in rows[0][1] else None
    except (IndexError, KeyError, TypeError) as error:
        raise InputError(f"{path}: a frame of it is not complete ({error}); the file is not as documented") from error
    return smpl_person(
        np.array([time for time, *_ in rows]),
        np.concatenate([root, pose], axis=1),
        transl,
        np.median(betas, axis=0),
        "smpl",
        np.clip(confidence, 0, 1),
        None if joints is None else np.stack(joints),
    )


def _phalp_confidence(path: Path, frame: Any, k: int) -> float:
    values = expect_list(path, "conf", frame.get("conf", ()))
    return expect_number(path, "conf", values[k]) if k < len(values) else 1.0


def _phalp_joints(path: Path, values: Any) -> Floats:
    """SMPL joints [22, 3] from the joints [J, 3] of PHALP; nan where it has none."""
    source = expect_numbers(path, "3d_joints", values, ("J", 3))
    joints = np.full((NUM_BODY_JOINTS, 3), np.nan)
    if len(source) > max(_OPENPOSE.values()):
        joints[list(_OPENPOSE)] = source[list(_OPENPOSE.values())]
    return joints


def is_wham(data: Any) -> bool:
    """True for the pickle of WHAM (Shin et al. 2024): people by number."""
    return (
        isinstance(data, Mapping)
        and bool(data)
        and all(isinstance(person, Mapping) and all(key in person for key in _WHAM_KEYS) for person in data.values())
    )


def read_wham(path: Path, data: Mapping[Any, Any], clip: Clip) -> ImportedResult:
    """All people of wham_output.pkl (option --save_pkl). WHAM's focal length is the diagonal of the frame.

    Raises InputError when an entry is of another shape.
    """
    width, height = clip.size
    camera = ToolCamera(math.hypot(width, height), (width / 2, height / 2))
    return ImportedResult("WHAM", tuple(_wham_person(path, person) for person in data.values()), camera)


def _wham_person(path: Path, data: Mapping[str, Any]) -> ImportedPerson:
    pose = expect_numbers(path, "pose", data["pose"], ("N", 72))
    trans = _rows(path, "trans", data["trans"])
    betas = expect_numbers(path, "betas", data["betas"], ("N", 10))
    frames = _whole_numbers(path, "frame_ids", data["frame_ids"])
    expect_equal_lengths(path, pose=pose, trans=trans, betas=betas, frame_ids=frames)
    return smpl_person(frames, pose.reshape(-1, 24, 3), trans, np.median(betas, axis=0), "smpl")


def _rows(path: Path, name: str, value: Any) -> Floats:
    """[N, 3] of [N, 3] or [N, 1, 3]."""
    array = np.asarray(value)
    return expect_numbers(path, name, array.reshape(-1, 3) if array.size % 3 == 0 else array, ("N", 3))


def _whole_numbers(path: Path, name: str, value: Any, low: int = 0) -> NDArray[np.int64]:
    """[N] from `low` to the largest number of a frame. Raises InputError."""
    numbers = expect_numbers(path, name, value, ("N",))
    if not ((numbers >= low) & (numbers <= _MAX_FRAME) & (numbers == np.rint(numbers))).all():
        raise InputError(f"{path}: {name} must be whole numbers from {low} on; the file is not as documented")
    return numbers.astype(np.int64)


def is_prompthmr(data: Any) -> bool:
    """True for the pickle of the video pipeline of PromptHMR (Wang et al. 2025)."""
    return (
        isinstance(data, Mapping)
        and isinstance(data.get("people"), Mapping)
        and isinstance(data.get("camera"), Mapping)
        and "img_focal" in data["camera"]
    )


def read_prompthmr(path: Path, data: Mapping[str, Any], clip: Clip) -> ImportedResult:
    """All people of results.pkl, SMPL-X, in the camera of each frame.

    PromptHMR works on frames of at most 896 rows. Their principal point is at the middle, which gives their size.
    Frames are those of the clip; PromptHMR drops frames of clips above 60 frames a second, and the file does not list
    them. Raises InputError when an entry is missing or of another shape, or when the clip has another aspect ratio.
    """
    camera = data["camera"]
    focal = float(expect_numbers(path, "img_focal", np.asarray(camera["img_focal"]).reshape(-1), ("N",))[:1].sum())
    middle = expect_numbers(path, "img_center", camera.get("img_center", ()), (2,))
    scales = np.array(clip.size) / (2 * np.maximum(middle, 1e-9))
    if abs(scales[0] / scales[1] - 1) > _MAX_ASPECT_ERROR or not focal > 0:
        raise InputError(f"{path} was made from frames of another shape than the clip's; give the result of this clip")
    width, height = clip.size
    people = tuple(_prompthmr_person(path, person) for person in data["people"].values())
    return ImportedResult("PromptHMR", people, ToolCamera(focal * float(scales.mean()), (width / 2, height / 2)))


def _prompthmr_person(path: Path, data: Any) -> ImportedPerson:
    try:
        parts, frames = data["smplx_cam"], _whole_numbers(path, "frames", data["frames"])
        rotations = expect_numbers(path, "rotmat", parts["rotmat"], ("N", 55, 3, 3))
        trans = _rows(path, "trans", parts["trans"])
        betas = expect_numbers(path, "shape", parts["shape"], ("N", 10))
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: a person of it has no {error}; let the whole pipeline of PromptHMR run") from error
    expect_equal_lengths(path, frames=frames, rotmat=rotations, trans=trans, shape=betas)
    return smpl_person(frames, rotations, trans, np.median(betas, axis=0), "smplx")


def is_gvhmr(data: Any) -> bool:
    """True for the .pt file of GVHMR (Shen et al. 2024)."""
    return isinstance(data, Mapping) and isinstance(data.get(_GVHMR_CAMERA), Mapping) and "K_fullimg" in data


def read_gvhmr(path: Path, data: Mapping[str, Any]) -> ImportedResult:
    """The one person of hmr4d_results.pt in every frame of the clip, SMPL-X, in the camera K_fullimg.

    Several people are several files. Raises InputError when an entry is missing or of another shape.
    """
    missing = [name for name in _GVHMR_WIDTHS if name not in data[_GVHMR_CAMERA]]
    if missing:
        raise InputError(f"{path}: {_GVHMR_CAMERA} has no {', '.join(missing)}; the file is not as documented")
    parts = {
        name: expect_numbers(path, name, data[_GVHMR_CAMERA][name], ("N", width))
        for name, width in _GVHMR_WIDTHS.items()
    }
    expect_equal_lengths(path, **parts)
    matrices = expect_numbers(path, "K_fullimg", data["K_fullimg"], ("N", 3, 3))
    expect_equal_lengths(path, K_fullimg=matrices)
    K, count = matrices[0], len(parts["transl"])
    pose = np.concatenate([parts["global_orient"], parts["body_pose"]], axis=1).reshape(count, 22, 3)
    betas = np.median(parts["betas"], axis=0)
    person = smpl_person(np.arange(count), pose, parts["transl"], betas, "smplx")
    return ImportedResult("GVHMR", (person,), ToolCamera(float(K[0, 0]), (float(K[0, 2]), float(K[1, 2]))))


def is_comotion(data: Any) -> bool:
    """True for the .pt file of a clip that CoMotion (Newell et al. 2025) tracked."""
    return isinstance(data, Mapping) and all(key in data for key in _COMOTION_KEYS)


def read_comotion(path: Path, data: Mapping[str, Any], clip: Clip) -> ImportedResult:
    """All tracks of CLIP.pt. CoMotion's focal length is twice the longer side of the frame.

    Frames count from the first of the clip: the options --start-frame and --frameskip are not in the file. Raises
    InputError when an entry is of another shape.
    """
    widths = {"pose": 72, "trans": 3, "betas": 10}
    rows = {name: expect_numbers(path, name, data[name], ("N", width)) for name, width in widths.items()}
    ids, frames = (
        _whole_numbers(path, "id", data["id"], -_MAX_FRAME),
        _whole_numbers(path, "frame_idx", data["frame_idx"]),
    )
    expect_equal_lengths(path, **rows, id=ids, frame_idx=frames)
    people = []
    for track in np.unique(ids):
        chosen = np.flatnonzero(ids == track)
        chosen = chosen[np.argsort(frames[chosen], kind="stable")]
        pose, betas = rows["pose"][chosen].reshape(-1, 24, 3), np.median(rows["betas"][chosen], axis=0)
        people.append(smpl_person(frames[chosen], pose, rows["trans"][chosen], betas, "smpl"))
    width, height = clip.size
    return ImportedResult("CoMotion", tuple(people), ToolCamera(2.0 * max(clip.size), (width / 2, height / 2)))


def read_amass_person(path: Path, clip: Clip) -> ImportedResult:
    """The person of an AMASS-style .npz at the times of the clip's frames, in a world without a camera.

    The first frame of the file is at time 0 of the clip. The file's rate (mocap_framerate) may differ: each frame of
    the clip takes the nearest one. Frames that are not `valid` in the file are left out. Raises InputError when the
    file is damaged or not AMASS-style.
    """
    sequence = read_amass(path)
    nearest = np.rint(np.asarray(clip.times) * sequence.fps).astype(int)
    inside = (nearest >= 0) & (nearest < len(sequence))
    chosen = nearest[inside]
    valid = sequence.valid[chosen, 0]
    person = ImportedPerson(
        frames=clip.frame_indices[inside][valid],
        rotations=sequence.rotations[chosen[valid], 0].astype(np.float64),
        pelvis=sequence.pelvis[chosen[valid], 0].astype(np.float64),
        confidence=np.ones(int(valid.sum())),
        model=_amass_model(sequence),
        betas=None if sequence.betas is None else sequence.betas[0],
        joints=None if sequence.joints is None else sequence.joints[chosen[valid], 0].astype(np.float64),
        hands_known=bool(sequence.joint_valid[0, _FINGERS].any()),
    )
    return ImportedResult("AMASS", (person,), None)


def _amass_model(sequence: MotionSequence) -> Model | Literal["closemesh_open"]:
    family = (sequence.body_model or "").partition("/")[0]
    if family == "closemesh_open":
        return "closemesh_open"
    return "smplx" if family == "smplx" else "smpl" if family == "smpl" else "smplh"
