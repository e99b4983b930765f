"""PHALP, WHAM, PromptHMR, GVHMR, CoMotion, AMASS.

4D-Humans (Goel et al. 2023) and its tracker PHALP: outputs/results/demo_CLIP.pkl.

Built from the published source of PHALP; tested on files of that layout that the tests write, on none of the tool's.

WHAM (Shin et al. 2024): wham_output.pkl, which its demo writes with --save_pkl.

Built from the published source of WHAM; tested on files of that layout that the tests write, on none of the tool's.

PromptHMR (Wang et al. 2025), its video pipeline: results.pkl.

Built from the published source of PromptHMR; tested on files of that layout that the tests write, on none of the
tool's.

GVHMR (Shen et al. 2024): hmr4d_results.pt, one person of a clip; several files for several people.

Built from the published source of GVHMR; tested on files of that layout that the tests write, on none of the tool's.

CoMotion (Newell et al. 2025): CLIP.pt, everybody whom its demo tracked through a video.

Built from the published source of CoMotion; tested on files of that layout that the tests write, on none of the tool's.

AMASS-style .npz files, one person each, in a world of their own: what many tools export.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.core.arrays import Floats, expect_equal_lengths
from closemesh.core.errors import InputError
from closemesh.core.unpickling import numbers
from closemesh.importers.results import ImportedPerson, ImportedResult, ToolCamera, smpl_person
from closemesh.motion_files.amass import read_amass
from closemesh.motion_files.sequence import MotionSequence
from closemesh.motion_files.smpl_parameters import Model
from closemesh.structures import NUM_BODY_JOINTS, Clip

_FOCAL, _RESOLUTION = 5000.0, 256.0  # Of the square into which PHALP scales the padded frame: its defaults.
# Joints of SMPL among `3d_joints`, which are in the order of OpenPose.
_OPENPOSE = {17: 2, 19: 3, 21: 4, 16: 5, 18: 6, 20: 7, 0: 8, 2: 9, 5: 10, 8: 11, 1: 12, 4: 13, 7: 14, 12: 1}
_PHALP_KEYS = ("tid", "tracked_time", "smpl", "camera")


def is_phalp(told: Any) -> bool:
    """Whether what a pickle holds is a result of PHALP: frames by name, each with lists over its people."""
    return (
        isinstance(told, Mapping)
        and bool(told)
        and all(isinstance(frame, Mapping) and all(key in frame for key in _PHALP_KEYS) for frame in told.values())
    )


def phalp_camera(size: tuple[int, int]) -> ToolCamera:
    """The pinhole of the full frame that is meant by `camera`, a translation before the padded square frame.

    Pixels of the square are (x / z * 5000 / 256 + 1/2) times its side; half of the padding lies before the frame.
    """
    side = max(size)
    left, top = ((side - length) // 2 for length in size)
    return ToolCamera(_FOCAL / _RESOLUTION * side, (side / 2 - left, side / 2 - top), of_crops=True)


def read_phalp(path: Path, told: Mapping[Any, Any], clip: Clip) -> ImportedResult:
    """Every track, in the frames in which it was detected; where it was only predicted it is left out.

    Frames are those of the clip from its first: PHALP's options start_frame and video.start_frame are not in the
    file. Raises InputError.
    """
    rows: dict[Any, list[tuple[int, Any, int]]] = {}
    for frame in told.values():
        for k, (track, away) in enumerate(zip(frame["tid"], frame["tracked_time"], strict=False)):
            if away == 0:
                rows.setdefault(track, []).append((int(frame["time"]), frame, k))
    people = tuple(_phalp_person(path, sorted(seen, key=lambda row: row[0])) for seen in rows.values())
    return ImportedResult("4D-Humans", people, phalp_camera(clip.size))


def _phalp_person(path: Path, seen: list[tuple[int, Any, int]]) -> ImportedPerson:
    def column(name: str, of: Any, shape: tuple[int | str, ...]) -> Floats:
        return np.stack([numbers(path, name, of(frame, k), shape) for _, frame, k in seen])

    try:
        root = column("global_orient", lambda f, k: f["smpl"][k]["global_orient"], (1, 3, 3))
        pose = column("body_pose", lambda f, k: f["smpl"][k]["body_pose"], (23, 3, 3))
        betas = column("betas", lambda f, k: f["smpl"][k]["betas"], (10,))
        transl = column("camera", lambda f, k: f["camera"][k], (3,))
        confidence = [float(f["conf"][k]) if k < len(f.get("conf", ())) else 1.0 for _, f, k in seen]
        joints = [_joints(path, f["3d_joints"][k]) for _, f, k in seen] if "3d_joints" in seen[0][1] else None
    except (IndexError, KeyError, TypeError) as error:
        raise InputError(f"{path}: a frame of it is not complete ({error}); the file is not as documented") from error
    return smpl_person(
        np.array([time for time, *_ in seen]),
        np.concatenate([root, pose], axis=1),
        transl,
        np.median(betas, axis=0),
        "smpl",
        np.clip(confidence, 0, 1),
        None if joints is None else np.stack(joints),
    )


def _joints(path: Path, told: Any) -> Floats:
    """[22, 3] of SMPL out of the tool's [J, 3]; nan where it has none."""
    given = numbers(path, "3d_joints", told, ("J", 3))
    joints = np.full((NUM_BODY_JOINTS, 3), np.nan)
    if len(given) > max(_OPENPOSE.values()):
        joints[list(_OPENPOSE)] = given[list(_OPENPOSE.values())]
    return joints


_WHAM_KEYS = ("pose", "trans", "betas", "frame_ids")


def is_wham(told: Any) -> bool:
    """Whether what a pickle holds is a result of WHAM: people by number."""
    return (
        isinstance(told, Mapping)
        and bool(told)
        and all(isinstance(person, Mapping) and all(key in person for key in _WHAM_KEYS) for person in told.values())
    )


def read_wham(path: Path, told: Mapping[Any, Any], clip: Clip) -> ImportedResult:
    """Everybody, before WHAM's camera: its focal length is the frame's diagonal. Raises InputError."""
    width, height = clip.size
    camera = ToolCamera(math.hypot(width, height), (width / 2, height / 2))
    return ImportedResult("WHAM", tuple(_wham_person(path, person) for person in told.values()), camera)


def _wham_person(path: Path, told: Mapping[str, Any]) -> ImportedPerson:
    pose = numbers(path, "pose", told["pose"], ("N", 72))
    trans = numbers(path, "trans", np.asarray(told["trans"]).reshape(-1, 3), ("N", 3))
    betas = numbers(path, "betas", told["betas"], ("N", 10))
    frames = numbers(path, "frame_ids", told["frame_ids"], ("N",))
    expect_equal_lengths(path, pose=pose, trans=trans, betas=betas, frame_ids=frames)
    return smpl_person(frames.astype(np.int64), pose.reshape(-1, 24, 3), trans, np.median(betas, axis=0), "smpl")


_SQUARE = 0.02  # Share by which the two sides of a frame may have been scaled otherwise: sides are made even.


def is_prompthmr(told: Any) -> bool:
    """Whether what a pickle holds is a result of PromptHMR."""
    return (
        isinstance(told, Mapping) and isinstance(told.get("people"), Mapping) and "img_focal" in told.get("camera", ())
    )


def read_prompthmr(path: Path, told: Mapping[str, Any], clip: Clip) -> ImportedResult:
    """Everybody before the camera of each frame, SMPL-X. Raises InputError.

    PromptHMR works on frames of 896 lines at most and has the principal point in their middle, which tells their size.
    Frames are those of the clip; of a clip above 60 frames a second PromptHMR leaves some out, which is not told.
    """
    camera = told["camera"]
    focal = float(numbers(path, "img_focal", np.asarray(camera["img_focal"]).reshape(-1)[:1], (1,))[0])
    middle = numbers(path, "img_center", camera.get("img_center", ()), (2,))
    scales = np.array(clip.size) / (2 * np.maximum(middle, 1e-9))
    if abs(scales[0] / scales[1] - 1) > _SQUARE or not focal > 0:
        raise InputError(f"{path} was made from frames of another shape than the clip's; give the result of this clip")
    width, height = clip.size
    people = tuple(_prompthmr_person(path, person) for person in told["people"].values())
    return ImportedResult("PromptHMR", people, ToolCamera(focal * float(scales.mean()), (width / 2, height / 2)))


def _prompthmr_person(path: Path, told: Any) -> ImportedPerson:
    try:
        parts, frames = told["smplx_cam"], numbers(path, "frames", told["frames"], ("N",))
        rotations = numbers(path, "rotmat", parts["rotmat"], ("N", 55, 3, 3))
        trans = numbers(path, "trans", np.asarray(parts["trans"]).reshape(-1, 3), ("N", 3))
        betas = numbers(path, "shape", parts["shape"], ("N", 10))
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: a person of it has no {error}; let the whole pipeline of PromptHMR run") from error
    expect_equal_lengths(path, frames=frames, rotmat=rotations, trans=trans, shape=betas)
    return smpl_person(frames.astype(np.int64), rotations, trans, np.median(betas, axis=0), "smplx")


_IN_CAMERA = "smpl_params_incam"
_WIDTHS = {"global_orient": 3, "body_pose": 63, "transl": 3, "betas": 10}


def is_gvhmr(told: Any) -> bool:
    """Whether what a .pt file holds is a result of GVHMR."""
    return isinstance(told, Mapping) and isinstance(told.get(_IN_CAMERA), Mapping) and "K_fullimg" in told


def read_gvhmr(path: Path, told: Mapping[str, Any]) -> ImportedResult:
    """The person in every frame of the clip, from its first, SMPL-X, before the camera K_fullimg. Raises InputError."""
    missing = [name for name in _WIDTHS if name not in told[_IN_CAMERA]]
    if missing:
        raise InputError(f"{path}: {_IN_CAMERA} has no {', '.join(missing)}; the file is not as documented")
    parts = {name: numbers(path, name, told[_IN_CAMERA][name], ("N", width)) for name, width in _WIDTHS.items()}
    expect_equal_lengths(path, **parts)
    K = numbers(path, "K_fullimg", told["K_fullimg"], ("N", 3, 3))[0]
    count = len(parts["transl"])
    pose = np.concatenate([parts["global_orient"], parts["body_pose"]], axis=1).reshape(count, 22, 3)
    betas = np.median(parts["betas"], axis=0)
    person = smpl_person(np.arange(count), pose, parts["transl"], betas, "smplx")
    return ImportedResult("GVHMR", (person,), ToolCamera(float(K[0, 0]), (float(K[0, 2]), float(K[1, 2]))))


_COMOTION_KEYS = ("id", "pose", "trans", "betas", "frame_idx")


def is_comotion(told: Any) -> bool:
    """Whether what a .pt file holds is a tracked clip of CoMotion."""
    return isinstance(told, Mapping) and all(key in told for key in _COMOTION_KEYS)


def read_comotion(path: Path, told: Mapping[str, Any], clip: Clip) -> ImportedResult:
    """Everybody, before CoMotion's camera, whose focal length is twice the longer side of the frame.

    Frames are those of the clip from its first: the options --start-frame and --frameskip are not in the file. Raises
    InputError.
    """
    widths = {"pose": 72, "trans": 3, "betas": 10}
    rows = {name: numbers(path, name, told[name], ("N", width)) for name, width in widths.items()}
    of = {name: numbers(path, name, told[name], ("N",)).astype(np.int64) for name in ("id", "frame_idx")}
    expect_equal_lengths(path, **rows, **of)
    people = []
    for track in np.unique(of["id"]):
        chosen = np.flatnonzero(of["id"] == track)
        chosen = chosen[np.argsort(of["frame_idx"][chosen], kind="stable")]
        pose, betas = rows["pose"][chosen].reshape(-1, 24, 3), np.median(rows["betas"][chosen], axis=0)
        people.append(smpl_person(of["frame_idx"][chosen], pose, rows["trans"][chosen], betas, "smpl"))
    width, height = clip.size
    return ImportedResult("CoMotion", tuple(people), ToolCamera(2.0 * max(clip.size), (width / 2, height / 2)))


_FINGERS = slice(25, 55)


def read_amass_person(path: Path, clip: Clip) -> ImportedResult:
    """The person at the times of the clip's frames; the first of the file is taken at the clip's time 0.

    The file's rate (mocap_framerate) may be another than the clip's: the nearest of its frames stands for each of the
    clip's. Frames that the file calls not valid are left out. Raises InputError.
    """
    sequence = read_amass(path)
    nearest = np.rint(np.asarray(clip.times) * sequence.fps).astype(int)
    inside = (nearest >= 0) & (nearest < len(sequence))
    chosen = nearest[inside]
    valid = sequence.valid[chosen, 0]
    model = _model(sequence)
    person = ImportedPerson(
        frames=clip.frame_indices[inside][valid],
        rotations=sequence.rotations[chosen[valid], 0].astype(np.float64),
        pelvis=sequence.pelvis[chosen[valid], 0].astype(np.float64),
        confidence=np.ones(int(valid.sum())),
        model=model,
        betas=None if sequence.betas is None else sequence.betas[0],
        joints=None if sequence.joints is None else sequence.joints[chosen[valid], 0].astype(np.float64),
        known_hands=bool(sequence.known[0, _FINGERS].any()),
    )
    return ImportedResult("AMASS", (person,), None)


def _model(sequence: MotionSequence) -> Model:
    told = (sequence.body_model or "").partition("/")[0]
    return "smplx" if told == "smplx" else "smpl" if told == "smpl" else "smplh"
