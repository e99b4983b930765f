"""Motion capture of two people without images: Harmony4D, InterHuman and Inter-X.

Harmony4D (Khirodkar et al. 2024), SMPL: processed_data/smpl/00001.npy ..., or smpl_collision where it exists, each a
dictionary by person (aria01, aria02) of global_orient, transl, body_pose, betas and joints in meters. Its cameras have
a scale of their own and are not read.

InterHuman (Liang et al. 2024), SMPL-H with sentences: motions/<id>.pkl, annots/<id>.txt, and train.txt, val.txt and
test.txt in split/ or in the root folder.

Inter-X (Xu et al. 2024), SMPL-X with hands: motions/<clip>/P1.npz and P2.npz, texts/<clip>.txt,
splits/{train,val,test}.txt; its world has y up.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.core.arrays import Z_UP_TO_Y_UP, Floats, expect, expect_equal_lengths, read_npz
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_number, expect_text, foreign_reader
from closemesh.core.unpickling import expect_numbers, load_pickle, load_pickled_npy
from closemesh.lab.datasets.recording import rotation_to_y_up
from closemesh.motion_files.sequence import MotionSequence
from closemesh.motion_files.smpl_parameters import SmplParameters, merge_people, smpl_sequence

_FOLDERS = ("smpl_collision", "smpl")  # The authors prefer the first, without penetration, where it exists.
_WIDTHS = {"global_orient": 3, "transl": 3, "body_pose": 69}
_NECK = 12


def is_harmony4d(folder: Path) -> bool:
    """Whether a folder is one sequence of Harmony4D."""
    return (folder / "processed_data" / "smpl").is_dir()


@foreign_reader
def read_harmony4d(folder: Path, fps: float) -> MotionSequence:
    """One sequence, its world rotated to y up by `rotation_to_y_up`; the files have no `fps`. Raises InputError."""
    smpl = next((path for name in _FOLDERS if (path := folder / "processed_data" / name).is_dir()), None)
    files = sorted(smpl.glob("*.npy")) if smpl else []
    if not files:
        raise InputError(f"{folder} has no processed_data/smpl/*.npy; unpack Harmony4D's annotations there")
    frames = [_read_frame(file) for file in files]
    shapes = [{name: {key: a.shape for key, a in one.items()} for name, one in frame.items()} for frame in frames]
    other = next((file for file, shape in zip(files, shapes, strict=True) if shape != shapes[0]), None)
    if other is not None:
        raise InputError(f"{other} has other people or shapes of arrays than {files[0].name}; get it again")
    names = sorted(frames[0])
    data = {name: {key: np.stack([frame[name][key] for frame in frames]) for key in frames[0][name]} for name in names}
    trunks = np.stack([person["joints"][:, _NECK] - person["joints"][:, 0] for person in data.values()])
    R_world_file = rotation_to_y_up(trunks)
    return merge_people([_harmony4d_person(data[name], fps, R_world_file) for name in names], folder.name)


def _read_frame(file: Path) -> dict[str, dict[str, Floats]]:
    data = load_pickled_npy(file)
    if not isinstance(data, dict) or not all(isinstance(person, dict) for person in data.values()) or not data:
        raise InputError(f"{file} holds no parameters by person; is it a file of Harmony4D?")
    return {expect_text(file, "a person", name): _checked(file, name, person) for name, person in data.items()}


def _checked(file: Path, name: str, person: dict[str, Any]) -> dict[str, Floats]:
    missing = [key for key in (*_WIDTHS, "betas", "joints") if key not in person]
    if missing:
        raise InputError(f"{file}: {name} has no {', '.join(missing)}")
    flat = {key: np.asarray(person[key]).reshape(-1) for key in (*_WIDTHS, "betas")}
    arrays = {key: expect(file, f"{name}.{key}", flat[key], (width,)) for key, width in _WIDTHS.items()}
    joints = np.asarray(person["joints"])
    if joints.ndim < 2 or joints.shape[-1] != 3:
        raise InputError(f"{file}: {name}.joints must be [24, 3], not {list(joints.shape)}")
    return arrays | {
        "betas": expect(file, f"{name}.betas", flat["betas"], ("B",)),
        "joints": expect(file, f"{name}.joints", joints.reshape(-1, 3)[:24], (24, 3)),
    }


def _harmony4d_person(data: dict[str, Floats], fps: float, R_world_file: Floats) -> MotionSequence:
    parts = {"root_orient": data["global_orient"], "pose_body": data["body_pose"][:, :63]}
    parameters = SmplParameters("smpl", "neutral", data["transl"], parts, betas=data["betas"][0], joints=data["joints"])
    return smpl_sequence("", fps, parameters, R_world_file)


_PEOPLE = ("person1", "person2")
_INTERHUMAN_KEYS = ("trans", "root_orient", "pose_body")


def is_interhuman(data: Any) -> bool:
    """Whether the content of a pickle is a motion of InterHuman."""
    return isinstance(data, dict) and all(isinstance(data.get(person), dict) for person in _PEOPLE)


def interhuman_files(root: Path, split: str | None = None) -> list[Path]:
    """The motions/<id>.pkl of a split (train, val, test), or all, by name. Raises InputError."""
    files = sorted((root / "motions").glob("*.pkl"))
    if split is None:
        return files
    lists = [path for path in (root / "split" / f"{split}.txt", root / f"{split}.txt") if path.is_file()]
    if not lists:
        raise InputError(f"{root} has no {split}.txt and no split/{split}.txt; get the lists of InterHuman's splits")
    chosen = set(lists[0].read_text().split())
    return [file for file in files if file.stem in chosen]


@foreign_reader
def read_interhuman(path: Path) -> MotionSequence:
    """Both people, z up rotated to y up, the pelvis by `smpl_rest_pelvis`. Raises InputError.

    `action` is the first sentence of annots/<id>.txt, if it exists.
    """
    data = load_pickle(path)
    if not is_interhuman(data):
        raise InputError(f"{path} is no motion of InterHuman: it has no person1 and person2")
    rate = expect_number(path, "mocap_framerate", data.get("mocap_framerate", 0))
    if rate <= 0:
        raise InputError(f"{path} has no mocap_framerate above 0; get it again")
    people = [_interhuman_person(path, name, data[name], rate) for name in _PEOPLE]
    expect_equal_lengths(path, **{name: person.pelvis for name, person in zip(_PEOPLE, people, strict=True)})
    return _with_sentence(merge_people(people, path.stem), path.parent.parent / "annots" / f"{path.stem}.txt")


def _interhuman_person(path: Path, name: str, data: dict[str, Any], rate: float) -> MotionSequence:
    missing = [key for key in _INTERHUMAN_KEYS if key not in data]
    if missing:
        raise InputError(f"{path}: {name} has no {', '.join(missing)}; get it again")
    trans = expect_numbers(path, f"{name}.trans", data["trans"], ("T", 3))
    parts = {
        "root_orient": expect_numbers(path, f"{name}.root_orient", data["root_orient"], ("T", 3)),
        "pose_body": expect_numbers(path, f"{name}.pose_body", data["pose_body"], ("T", 63)),
    }
    expect_equal_lengths(path, trans=trans, **parts)
    betas = expect(path, f"{name}.betas", np.asarray(data["betas"]).reshape(-1), ("B",)) if "betas" in data else None
    gender = expect_text(path, f"{name}.gender", data.get("gender", "neutral"))
    return smpl_sequence("", rate, SmplParameters("smplh", gender, trans, parts, betas=betas), Z_UP_TO_Y_UP)


def _with_sentence(sequence: MotionSequence, path: Path) -> MotionSequence:
    """The sequence with the first sentence of a text file, if it exists, as action."""
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return replace(sequence, action=next((line.strip() for line in lines if line.strip()), ""))


FPS = 120.0
_FILES = ("P1.npz", "P2.npz")
_INTERX_KEYS = ("pose_body", "pose_lhand", "pose_rhand", "root_orient", "trans", "betas", "gender")
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


@foreign_reader
def read_interx(folder: Path, body: BodyModel | None = None) -> MotionSequence:
    """Both people of a clip, the pelvis by `smpl_rest_pelvis`. Raises InputError.

    `action` is the first sentence of texts/<clip>.txt, if it exists.
    """
    people = [_interx_person(folder / name, body) for name in _FILES]
    expect_equal_lengths(folder, **{name[:2]: person.pelvis for name, person in zip(_FILES, people, strict=True)})
    return _with_sentence(merge_people(people, folder.name), folder.parent.parent / "texts" / f"{folder.name}.txt")


def _interx_person(path: Path, body: BodyModel | None) -> MotionSequence:
    arrays = read_npz(path, _INTERX_KEYS)
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
    person = SmplParameters("smplx", expect_text(path, "gender", arrays["gender"]), trans, parts, betas=betas)
    return smpl_sequence("", FPS, person, np.eye(3), body)
