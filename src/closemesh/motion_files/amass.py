"""AMASS-style .npz files (Mahmood et al. 2019): SMPL, SMPL-H or SMPL-X parameters of one person over time."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from closemesh.body.model import BodyModel
from closemesh.body.skinning import posed_joints
from closemesh.core.arrays import Z_UP_TO_Y_UP, Floats, expect, expect_equal_lengths, read_npz
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.core.foreign import expect_number, expect_text, foreign_reader
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.motion_files.sequence import MotionSequence, to_body_motion
from closemesh.motion_files.smpl_parameters import BODY_PARTS, PARTS, Model, SmplParameters, body_name, smpl_sequence

Arrays = dict[str, np.ndarray]

_RATES = ("mocap_frame_rate", "mocap_framerate", "fps")
_ABOUT = ("gender", "surface_model_type", "body_model", "betas", "valid", "joints")
_BODY_ONLY = {name: PARTS[name] for name in BODY_PARTS}
# Model and parts of `poses` by its width; the last two joints of SMPL, the hands, do not exist in SMPL-X.
_LAYOUTS: dict[int, tuple[Model, dict[str, slice]]] = {
    165: ("smplx", PARTS),
    156: ("smplh", _BODY_ONLY | {"pose_hand": slice(66, 156)}),
    72: ("smpl", _BODY_ONLY),
    66: ("smplh", _BODY_ONLY),
}
_OPEN = "closemesh_open"


@foreign_reader
def read_amass(path: Path, body: BodyModel | None = None, up: Literal["y", "z"] | None = None) -> MotionSequence:
    """One person from `poses` [T, 165 | 156 | 72 | 66], or parts such as `root_orient`, and `trans` [T, 3].

    The z up of AMASS is rotated to y up; person files of closemesh, which have a `body_model`, are y up already; `up`
    overrides this. The pelvis is trans plus the pelvis at rest: exact for person files and when `body` is the SMPL-X
    body of the file, else see `smpl_rest_pelvis`. Raises InputError.
    """
    arrays = read_npz(path, ("trans",), (*_RATES, *_ABOUT, "poses", *PARTS))
    model, parts = _pose_parts(path, arrays)
    model = _model_type(path, arrays, model)
    trans = expect(path, "trans", arrays["trans"], ("T", 3))
    valid = {name: expect(path, name, arrays[name].reshape(-1), ("T",)) != 0 for name in ("valid",) if name in arrays}
    expect_equal_lengths(path, trans=trans, **parts, **valid)
    own = "body_model" in arrays
    person = SmplParameters(
        model=model,
        gender=_gender(path, arrays),
        transl=trans,
        parts=parts,
        betas=_betas(path, arrays),
        valid=valid.get("valid"),
        joints=expect(path, "joints", arrays["joints"], (len(trans), "J", 3)) if own and "joints" in arrays else None,
        body_name=_body_name(path, arrays, model),
    )
    R_world_file = np.eye(3) if (up or ("y" if own else "z")) == "y" else Z_UP_TO_Y_UP
    return smpl_sequence(path.stem, _rate(path, arrays), person, R_world_file, body)


def write_amass(path: Path, sequence: MotionSequence, body: BodyModel, person: int = 0) -> None:
    """Writes one person of a sequence, transferred to `body`, under the field names of AMASS. Raises OutputError.

    With an SMPL-X body the world has z up, as in AMASS. With the bundled body it keeps y up, and `surface_model_type`
    is closemesh_open, so that SMPL-X loaders do not accept its betas.
    """
    motion = to_body_motion(sequence.people([person]), body)
    turn = np.eye(3) if body.is_bundled else Z_UP_TO_Y_UP.T
    rotations = motion.rotations[:, 0].astype(np.float64)
    rotations[:, 0] = turn @ rotations[:, 0]
    rest = sequence.pelvis[:, person].astype(np.float64) - motion.transl[:, 0]  # [T, 3]
    poses = matrix_to_axis_angle(torch.as_tensor(rotations)).flatten(1).float().numpy()
    arrays: Arrays = {
        "gender": np.array(_gender_of(body)),
        "surface_model_type": np.array(_OPEN if body.is_bundled else "smplx"),
        "mocap_frame_rate": np.array(sequence.fps),
        "trans": (sequence.pelvis[:, person] @ turn.T - rest).astype(np.float32),
        "betas": motion.betas[0],
        "poses": poses,
        "valid": sequence.valid[:, person],
        **{name: poses[:, part] for name, part in PARTS.items()},
    }
    if body.is_bundled:
        joints = posed_joints(
            body, torch.as_tensor(motion.betas), torch.as_tensor(motion.rotations), torch.as_tensor(motion.transl)
        )
        arrays["joints"] = joints[:, 0].numpy()  # With them the pelvis is known without the body.
        arrays["body_model"] = np.array(body.name)
    with atomic_file(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _pose_parts(path: Path, arrays: Arrays) -> tuple[Model, Arrays]:
    """The model of the layout, and the parts of the pose [T, 3 N] by name. Raises InputError."""
    if "root_orient" in arrays and "pose_body" in arrays:
        parts = {name: arrays[name] for name in PARTS if name in arrays}
        wanted = {name: ("T", part.stop - part.start) for name, part in PARTS.items()}
        return "smplx" if "pose_jaw" in parts else "smplh", {
            name: expect(path, name, part, wanted[name]) for name, part in parts.items()
        }
    if "poses" not in arrays:
        raise InputError(f"{path} has no poses and no root_orient with pose_body; give an AMASS-style file")
    poses = expect(path, "poses", arrays["poses"], ("T", "N"))
    if poses.shape[1] not in _LAYOUTS:
        widths = ", ".join(str(width) for width in _LAYOUTS)
        raise InputError(f"{path}: poses has {poses.shape[1]} numbers a frame; it must be one of {widths}")
    model, layout = _LAYOUTS[poses.shape[1]]
    return model, {name: poses[:, part] for name, part in layout.items()}


def _rate(path: Path, arrays: Arrays) -> float:
    name = next((name for name in _RATES if name in arrays), None)
    if name is None:
        raise InputError(f"{path} has no mocap_frame_rate (or mocap_framerate); add the rate of the capture")
    rate = expect_number(path, name, arrays[name].reshape(-1)[:1])
    if rate <= 0:
        raise InputError(f"{path}: {name} must be above 0, not {rate:g}")
    return rate


def _betas(path: Path, arrays: Arrays) -> Floats | None:
    """betas [B]; of one row for each frame, the first."""
    if "betas" not in arrays:
        return None
    betas = arrays["betas"]
    return expect(path, "betas", betas if betas.ndim < 2 or not betas.size else betas[(0,) * (betas.ndim - 1)], ("B",))


def _model_type(path: Path, arrays: Arrays, model: Model) -> Model:
    """The model that the file names, else `model`."""
    stored = _text(path, arrays, "surface_model_type")
    longest_first: tuple[Model, ...] = ("smplx", "smplh", "smpl")
    for name in longest_first:
        if stored.startswith(name):
            return name
    return model


def _body_name(path: Path, arrays: Arrays, model: str) -> str:
    if "body_model" in arrays:
        return _text(path, arrays, "body_model")
    return body_name(_text(path, arrays, "surface_model_type") or model, _gender(path, arrays))


def _gender(path: Path, arrays: Arrays) -> str:
    return _text(path, arrays, "gender").lower() or "neutral"


def _gender_of(body: BodyModel) -> str:
    return next((gender for gender in ("female", "male") if gender in body.name.lower()), "neutral")


def _text(path: Path, arrays: Arrays, name: str) -> str:
    """A stored string; some files of AMASS have bytes. Empty where there is none."""
    array = arrays.get(name)
    return "" if array is None or not array.size else expect_text(path, name, array.reshape(-1)[0])
