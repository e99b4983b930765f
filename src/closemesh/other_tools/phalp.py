"""4D-Humans (Goel et al. 2023) and its tracker PHALP: outputs/results/demo_CLIP.pkl.

Built from the published source of PHALP; tested on files of that layout that the tests write, on none of the tool's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.errors import InputError
from closemesh.other_tools.torch_file import numbers
from closemesh.other_tools.tracks import ToolCamera, ToolPerson, ToolResult, smpl_person
from closemesh.scene import NUM_BODY_JOINTS, Clip, Floats

_FOCAL, _RESOLUTION = 5000.0, 256.0  # Of the square into which PHALP scales the padded frame: its defaults.
# Joints of SMPL among `3d_joints`, which are in the order of OpenPose.
_OPENPOSE = {17: 2, 19: 3, 21: 4, 16: 5, 18: 6, 20: 7, 0: 8, 2: 9, 5: 10, 8: 11, 1: 12, 4: 13, 7: 14, 12: 1}
_KEYS = ("tid", "tracked_time", "smpl", "camera")


def is_phalp(told: Any) -> bool:
    """Whether what a pickle holds is a result of PHALP: frames by name, each with lists over its people."""
    return (
        isinstance(told, Mapping)
        and bool(told)
        and all(isinstance(frame, Mapping) and all(key in frame for key in _KEYS) for frame in told.values())
    )


def phalp_camera(size: tuple[int, int]) -> ToolCamera:
    """The pinhole of the full frame that is meant by `camera`, a translation before the padded square frame.

    Pixels of the square are (x / z * 5000 / 256 + 1/2) times its side; half of the padding lies before the frame.
    """
    side = max(size)
    left, top = ((side - length) // 2 for length in size)
    return ToolCamera(_FOCAL / _RESOLUTION * side, (side / 2 - left, side / 2 - top), of_crops=True)


def read_phalp(path: Path, told: Mapping[Any, Any], clip: Clip) -> ToolResult:
    """Every track, in the frames in which it was detected; where it was only predicted it is left out.

    Frames are those of the clip from its first: PHALP's options start_frame and video.start_frame are not in the
    file. Raises InputError.
    """
    rows: dict[Any, list[tuple[int, Any, int]]] = {}
    for frame in told.values():
        for k, (track, away) in enumerate(zip(frame["tid"], frame["tracked_time"], strict=False)):
            if away == 0:
                rows.setdefault(track, []).append((int(frame["time"]), frame, k))
    people = tuple(_person(path, sorted(seen, key=lambda row: row[0])) for seen in rows.values())
    return ToolResult("4D-Humans", people, phalp_camera(clip.size))


def _person(path: Path, seen: list[tuple[int, Any, int]]) -> ToolPerson:
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
