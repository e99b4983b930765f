"""Reading of motion files of any format, search for them in a folder, and the training and test split."""

from __future__ import annotations

import os
from pathlib import Path

from closemesh.core.arrays import npz_keys
from closemesh.core.errors import InputError
from closemesh.core.foreign import foreign_reader
from closemesh.core.unpickling import load_pickle
from closemesh.lab.datasets.asf_amc import read_amc
from closemesh.lab.datasets.bvh import read_bvh
from closemesh.lab.datasets.chi3d import is_chi3d, read_chi3d
from closemesh.lab.datasets.hi4d import is_hi4d, read_hi4d
from closemesh.lab.datasets.interaction_mocap import (
    is_harmony4d,
    is_interhuman,
    is_interx,
    read_interhuman,
    read_interx,
)
from closemesh.lab.datasets.recording import read_pose_file
from closemesh.lab.datasets.threedpw import is_threedpw, read_threedpw
from closemesh.motion_files.amass import read_amass
from closemesh.motion_files.sequence import MotionSequence
from closemesh.motion_files.smpl_parameters import merge_people

_SUFFIXES = (".npz", ".bvh", ".amc", ".pkl")
_PERSON_FILES = "person_*.npz"
_RESULT = "scene.json"


@foreign_reader
def read_motion(path: Path) -> MotionSequence:
    """The motion in a file or folder: world frame, y up, meters, SMPL-X joints. Raises InputError.

    Files: motion .npz of closemesh or AMASS, .bvh, .amc with its .asf, pickles of 3DPW and InterHuman, CHI3D's
    smplx/<action>.json. Folders: a clip of Inter-X (P1.npz, P2.npz), a recording of Hi4D, a result of closemesh.
    """
    if path.is_dir():
        return _read_folder(path)
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return read_bvh(path)
    if suffix == ".amc":
        return read_amc(path)
    if suffix == ".pkl":
        return _read_pickle(path)
    if suffix == ".json" and is_chi3d(path.parent.parent):
        return read_chi3d(path).sequence
    if suffix == ".npz":
        keys = npz_keys(path)
        return read_pose_file(path) if {"poses", "trans"} <= keys and not _is_amass(keys) else read_amass(path)
    raise InputError(f"{path}: no motion file that is known ({', '.join(_SUFFIXES)}, or a folder of a data set)")


def find_motions(data: Path) -> list[Path]:
    """All files and folders of data sets below `data` that `read_motion` accepts, sorted by name.

    A folder of a recording replaces the files in it. The content of .npz files is not checked.
    """
    found: list[Path] = []
    for folder, below, files in os.walk(data):
        directory = Path(folder)
        if _is_recording(directory):
            found.append(directory)
            below.clear()
        elif is_chi3d(directory):
            found += (directory / "smplx").glob("*.json")
            below.clear()
        else:
            found += (directory / name for name in files if Path(name).suffix.lower() in _SUFFIXES)
    return sorted(found, key=lambda path: (path.name, str(path)))


def _read_folder(folder: Path) -> MotionSequence:
    if is_interx(folder):
        return read_interx(folder)
    if is_hi4d(folder):
        return read_hi4d(folder).sequence
    if is_harmony4d(folder):
        raise InputError(f"{folder}: Harmony4D's files do not contain the frame rate; use read_harmony4d and give it")
    people = sorted((folder / "people" if (folder / _RESULT).is_file() else folder).glob(_PERSON_FILES))
    if people:
        return merge_people([read_amass(file) for file in people], folder.name)
    raise InputError(f"{folder}: no folder of a data set that is known; give one of its files")


def _is_recording(folder: Path) -> bool:
    return is_interx(folder) or is_hi4d(folder) or (folder / _RESULT).is_file() or any(folder.glob(_PERSON_FILES))


def _is_amass(keys: frozenset[str]) -> bool:
    """Whether the keys are those of AMASS; motion files of closemesh have `fps` and one axis of joints."""
    return bool(keys & {"mocap_framerate", "mocap_frame_rate", "root_orient"})


def _read_pickle(path: Path) -> MotionSequence:
    data = load_pickle(path)
    if is_threedpw(data):
        return read_threedpw(path).sequence
    if is_interhuman(data):
        return read_interhuman(path)
    raise InputError(f"{path}: neither a sequence of 3DPW nor a motion of InterHuman")


TEST_PAIRS = ("cmu_60_61_03", "cmu_60_61_13")
"""Trials of the CMU salsa couple."""
TEST_CLIPS = (
    "cmu_conv_test__walking_extra__walking_15",
    "cmu_conv_test__walking_extra__walking_8",
    "cmu_conv_train__basketball_signal__basketball_signal_5",
    "cmu_conv_train__running__running_4",
    "cmu_conv_train__walking_extra__walking_14",
    "cmu_conv_train__walking_extra__walking_25",
    "cmu_conv_train__walking_extra__walking_37",
    "cmu_conv_train__walking_extra__walking_47",
    "cmu_indian_14",
    "cmucc_01_08",
    "cmucc_03_01",
    "cmucc_05_12",
    "cmucc_06_04",
    "cmucc_06_15",
    "cmujump_08_07",
    "cmujump_127_06",
    "cmujump_127_25",
    "cmujump_139_16",
    "cmujump_140_02",
    "cmujump_43_02",
    "cmujump_85_06",
)
"""Clips of single people; others of the same subjects are in training."""
TEST_SUBJECTS = ("cmucc_03", "cmujump_08", "cmujump_43", "cmujump_139", "cmujump_140")
"""CMU subjects without a clip in training; names of clips are SUBJECT_TRIAL."""
TEST_KINDS = ("ground_pin", "lifting_from_bed", "sitting_on_lap", "acrobatic_lift")
"""Kinds of generated interactions of which no window is in training."""


def is_test_motion(path: Path) -> bool:
    """Whether the name of a motion file is in the test split: a listed clip, subject or kind (KIND_UNIT_WINDOW)."""
    name = path.stem
    if name in TEST_PAIRS or name in TEST_CLIPS:
        return True
    return name.rpartition("_")[0] in TEST_SUBJECTS or name.rsplit("_", 2)[0] in TEST_KINDS


def is_test_kind(sequence: MotionSequence) -> bool:
    """Whether the action of a motion is one of TEST_KINDS; an action may end with a note in brackets."""
    return sequence.action.partition("(")[0].strip() in TEST_KINDS


def split_motion_files(data: Path) -> tuple[list[Path], list[Path]]:
    """Training and test split of the motions below `data`, see `find_motions` and `is_test_motion`.

    The split goes by names only, so that no file moves another one. A file of another name is for training.
    """
    files = find_motions(data)
    return [path for path in files if not is_test_motion(path)], [path for path in files if is_test_motion(path)]
