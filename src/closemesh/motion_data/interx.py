"""Inter-X (Xu et al. 2024): two people by SMPL-X parameters with hands.

Layout of its release: motions/<clip>/P1.npz and P2.npz, texts/<clip>.txt, splits/{train,val,test}.txt. The world has
y up, as its own viewer shows it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.errors import InputError
from closemesh.motion_data.arrays import expect, expect_equal_lengths, read_npz
from closemesh.motion_data.sequence import MotionSequence
from closemesh.motion_data.smpl_parts import SmplParameters, side_by_side, smpl_sequence

FPS = 120.0
_FILES = ("P1.npz", "P2.npz")
_KEYS = ("pose_body", "pose_lhand", "pose_rhand", "root_orient", "trans", "betas", "gender")
_JOINTS = {"pose_body": 21, "pose_lhand": 15, "pose_rhand": 15}


def is_interx(folder: Path) -> bool:
    """Whether a folder is one clip of Inter-X."""
    return all((folder / name).is_file() for name in _FILES)


def interx_clips(root: Path, split: str | None = None) -> list[Path]:
    """The folders of all clips, or of those of a split (train, val, test), by name. Raises InputError."""
    clips = sorted(file.parent for file in root.rglob("P1.npz") if is_interx(file.parent))
    if split is None:
        return clips
    path = root / "splits" / f"{split}.txt"
    if not path.is_file():
        raise InputError(f"{path}: no such file; get the lists of Inter-X's splits")
    chosen = set(path.read_text().split())
    return [clip for clip in clips if clip.name in chosen]


def read_interx(folder: Path, body: BodyModel | None = None) -> MotionSequence:
    """Both people of a clip; the pelvis by `rest_pelvis`. Raises InputError.

    `action` is the first sentence of texts/<clip>.txt when it is there.
    """
    people = [_person(folder / name, body) for name in _FILES]
    expect_equal_lengths(folder, **{name[:2]: person.pelvis for name, person in zip(_FILES, people, strict=True)})
    text = folder.parent.parent / "texts" / f"{folder.name}.txt"
    lines = text.read_text(errors="replace").splitlines() if text.is_file() else []
    sentence = next((line.strip() for line in lines if line.strip()), "")
    return replace(side_by_side(people, folder.name), action=sentence)


def _person(path: Path, body: BodyModel | None) -> MotionSequence:
    arrays = read_npz(path, _KEYS)
    trans = expect(path, "trans", arrays["trans"], ("T", 3))
    poses = {name: expect(path, name, arrays[name], ("T", count, 3)) for name, count in _JOINTS.items()}
    poses["root_orient"] = expect(path, "root_orient", arrays["root_orient"], ("T", 3))
    expect_equal_lengths(path, trans=trans, **poses)
    parts = {
        "root_orient": poses["root_orient"],
        "pose_body": poses["pose_body"].reshape(len(trans), -1),
        "pose_hand": np.concatenate([poses["pose_lhand"], poses["pose_rhand"]], axis=1).reshape(len(trans), -1),
    }
    betas = expect(path, "betas", arrays["betas"].reshape(-1), ("B",))
    person = SmplParameters("smplx", str(arrays["gender"]), trans, parts, betas=betas)
    return smpl_sequence("", FPS, person, np.eye(3), body)
