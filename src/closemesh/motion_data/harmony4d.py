"""Harmony4D (Khirodkar et al. 2024): wrestling, dancing, fencing and the like, SMPL.

Only what its published evaluation code reads is read here: processed_data/smpl/00001.npy and so on, or smpl_collision
where it exists, each a dictionary by person (aria01, aria02) of global_orient, transl, body_pose, betas and joints in
metres. Cameras are COLMAP fisheye models in a scale of their own and are not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from closemesh.errors import InputError
from closemesh.motion_data.arrays import expect
from closemesh.motion_data.dataset import turn_to_y_up
from closemesh.motion_data.pickle_file import read_pickled_npy
from closemesh.motion_data.sequence import MotionSequence
from closemesh.motion_data.smpl_parts import SmplParameters, side_by_side, smpl_sequence
from closemesh.scene import Floats

_FOLDERS = ("smpl_collision", "smpl")  # The authors take the first where there is one: bodies pushed apart.
_WIDTHS = {"global_orient": 3, "transl": 3, "body_pose": 69}
_NECK = 12


def is_harmony4d(folder: Path) -> bool:
    """Whether a folder is one sequence of Harmony4D."""
    return (folder / "processed_data" / "smpl").is_dir()


def read_harmony4d(folder: Path, fps: float) -> MotionSequence:
    """One sequence, its world turned to y up by `turn_to_y_up`; the files do not tell `fps`. Raises InputError."""
    smpl = next((path for name in _FOLDERS if (path := folder / "processed_data" / name).is_dir()), None)
    files = sorted(smpl.glob("*.npy")) if smpl else []
    if not files:
        raise InputError(f"{folder} has no processed_data/smpl/*.npy; unpack Harmony4D's annotations there")
    frames = [_read_frame(file) for file in files]
    names = sorted(frames[0])
    told = {name: {key: np.stack([frame[name][key] for frame in frames]) for key in frames[0][name]} for name in names}
    trunks = np.stack([person["joints"][:, _NECK] - person["joints"][:, 0] for person in told.values()])
    R_world_file = turn_to_y_up(trunks)
    return side_by_side([_person(told[name], fps, R_world_file) for name in names], folder.name)


def _read_frame(file: Path) -> dict[str, dict[str, Floats]]:
    said = read_pickled_npy(file)
    if not isinstance(said, dict) or not all(isinstance(person, dict) for person in said.values()) or not said:
        raise InputError(f"{file} holds no parameters by person; is it a file of Harmony4D?")
    return {name: _checked(file, name, person) for name, person in said.items()}


def _checked(file: Path, name: str, person: dict[str, Any]) -> dict[str, Floats]:
    missing = [key for key in (*_WIDTHS, "betas", "joints") if key not in person]
    if missing:
        raise InputError(f"{file}: {name} has no {', '.join(missing)}")
    flat = {key: np.asarray(person[key]).reshape(-1) for key in (*_WIDTHS, "betas")}
    arrays = {key: expect(file, f"{name}.{key}", flat[key], (width,)) for key, width in _WIDTHS.items()}
    joints = np.asarray(person["joints"])
    return arrays | {
        "betas": expect(file, f"{name}.betas", flat["betas"], ("B",)),
        "joints": expect(file, f"{name}.joints", joints.reshape(-1, joints.shape[-1])[:24], (24, 3)),
    }


def _person(told: dict[str, Floats], fps: float, R_world_file: Floats) -> MotionSequence:
    parts = {"root_orient": told["global_orient"], "pose_body": told["body_pose"][:, :63]}
    parameters = SmplParameters("smpl", "neutral", told["transl"], parts, betas=told["betas"][0], joints=told["joints"])
    return smpl_sequence("", fps, parameters, R_world_file)
