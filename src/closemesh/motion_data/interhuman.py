"""InterHuman (Liang et al. 2024): two people by SMPL-H parameters, with sentences that describe them.

Layout, as InterGen's README and the users of its raw files tell it: motions/<id>.pkl, annots/<id>.txt, and train.txt,
val.txt and test.txt in split/ or beside them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.errors import InputError
from closemesh.motion_data.arrays import Z_UP_TO_Y_UP, expect, expect_equal_lengths
from closemesh.motion_data.pickle_file import read_pickle
from closemesh.motion_data.sequence import MotionSequence
from closemesh.motion_data.smpl_parts import SmplParameters, side_by_side, smpl_sequence

_PEOPLE = ("person1", "person2")
_KEYS = ("trans", "root_orient", "pose_body")


def is_interhuman(told: Any) -> bool:
    """Whether what a pickle holds is a motion of InterHuman."""
    return isinstance(told, dict) and all(isinstance(told.get(person), dict) for person in _PEOPLE)


def interhuman_files(root: Path, split: str | None = None) -> list[Path]:
    """motions/<id>.pkl of a split (train, val, test), or of all, by name. Raises InputError."""
    files = sorted((root / "motions").glob("*.pkl"))
    if split is None:
        return files
    lists = [path for path in (root / "split" / f"{split}.txt", root / f"{split}.txt") if path.is_file()]
    if not lists:
        raise InputError(f"{root} has no {split}.txt and no split/{split}.txt; get the lists of InterHuman's splits")
    chosen = set(lists[0].read_text().split())
    return [file for file in files if file.stem in chosen]


def read_interhuman(path: Path) -> MotionSequence:
    """Both people; the file's z up turned to y up, the pelvis by `rest_pelvis`. Raises InputError.

    `action` is the first sentence of annots/<id>.txt when it is there.
    """
    told = read_pickle(path)
    if not is_interhuman(told):
        raise InputError(f"{path} is no motion of InterHuman: it has no person1 and person2")
    rate = float(told.get("mocap_framerate", 0))
    if rate <= 0:
        raise InputError(f"{path} has no mocap_framerate above 0; get it again")
    people = [_person(path, name, told[name], rate) for name in _PEOPLE]
    expect_equal_lengths(path, **{name: person.pelvis for name, person in zip(_PEOPLE, people, strict=True)})
    return _with_sentence(side_by_side(people, path.stem), path.parent.parent / "annots" / f"{path.stem}.txt")


def _person(path: Path, name: str, said: dict[str, Any], rate: float) -> MotionSequence:
    missing = [key for key in _KEYS if key not in said]
    if missing:
        raise InputError(f"{path}: {name} has no {', '.join(missing)}; get it again")
    trans = expect(path, f"{name}.trans", np.asarray(said["trans"]), ("T", 3))
    parts = {
        "root_orient": expect(path, f"{name}.root_orient", np.asarray(said["root_orient"]), ("T", 3)),
        "pose_body": expect(path, f"{name}.pose_body", np.asarray(said["pose_body"]), ("T", 63)),
    }
    expect_equal_lengths(path, trans=trans, **parts)
    betas = expect(path, f"{name}.betas", np.asarray(said["betas"]).reshape(-1), ("B",)) if "betas" in said else None
    gender = str(said.get("gender", "neutral"))
    return smpl_sequence("", rate, SmplParameters("smplh", gender, trans, parts, betas=betas), Z_UP_TO_Y_UP)


def _with_sentence(sequence: MotionSequence, path: Path) -> MotionSequence:
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return replace(sequence, action=next((line.strip() for line in lines if line.strip()), ""))
