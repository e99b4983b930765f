"""Hi4D (Yin et al. 2023): two people in close contact, SMPL, eight cameras.

Layout of one recording, from its README: `pairXX/<action>XX/` with meta.npz, cameras/rgb_cameras.npz,
smpl/000XXX.npz and images/<camera>/000XXX.jpg.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from closemesh.core.arrays import Floats, expect, expect_equal_lengths, read_npz
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_text, foreign_reader
from closemesh.lab.datasets.recording import DatasetCamera, Recording, extrinsics
from closemesh.motion_files.sequence import MotionSequence
from closemesh.motion_files.smpl_parameters import SmplParameters, merge_people, smpl_sequence

FPS = 30.0
_SHAPES = {"global_orient": ("P", 3), "body_pose": ("P", 69), "transl": ("P", 3), "betas": ("P", "B")}
_INTRINSICS = ("intirnsics", "intrinsics")  # The release has the first spelling.


def is_hi4d(folder: Path) -> bool:
    """Whether a folder is one recording of Hi4D."""
    return (folder / "meta.npz").is_file() and (folder / "smpl").is_dir()


def hi4d_recordings(root: Path) -> list[Path]:
    """The folders of all recordings below `root`, by name; the parts of a pair (`pairXX_1`) are separate."""
    return sorted({meta.parent for meta in root.rglob("meta.npz") if is_hi4d(meta.parent)})


@foreign_reader
def read_hi4d(folder: Path) -> Recording:
    """One recording; its world has y up. Raises InputError with the file and the array at fault."""
    meta = read_npz(folder / "meta.npz", (), ("genders", "contact_ids"))
    files = sorted((folder / "smpl").glob("*.npz"))
    if not files:
        raise InputError(f"{folder / 'smpl'} holds no .npz files; unpack the SMPL annotations of Hi4D there")
    numbers = np.array([_number(file) for file in files])
    data = _read_frames(files)
    joints = data["joints_3d"]  # [T, P, 24, 3]
    meta_path = folder / "meta.npz"
    genders = [expect_text(meta_path, "genders", one) for one in np.atleast_1d(meta.get("genders", np.array([])))]
    people = [_person(data, p, genders) for p in range(joints.shape[1])]
    sequence = merge_people(people, f"{folder.parent.name}_{folder.name}")
    contact = expect(meta_path, "contact_ids", meta.get("contact_ids", np.zeros(0)).reshape(-1), ("N",))
    return Recording(
        sequence=sequence,
        cameras=_cameras(folder, numbers) if (folder / "cameras").is_dir() else (),
        contact_frames=np.flatnonzero(np.isin(numbers, contact)),
    )


def _number(file: Path) -> int:
    """The frame number in the name of a file. Raises InputError."""
    if not (file.stem.isascii() and file.stem.isdigit() and len(file.stem) < 10):
        raise InputError(f"{file} is not named by a frame number, such as 000011.npz; remove or rename it")
    return int(file.stem)


def _read_frames(files: list[Path]) -> dict[str, Floats]:
    """Every array with a leading axis of frames [T, ...]. Raises InputError."""
    frames: list[dict[str, Floats]] = []
    for file in files:
        arrays = read_npz(file, (*_SHAPES, "joints_3d"))
        checked = {name: expect(file, name, arrays[name], shape) for name, shape in _SHAPES.items()}
        frames.append({**checked, "joints_3d": expect(file, "joints_3d", arrays["joints_3d"], ("P", "J", 3))})
        if any(len(array) != len(frames[0]["transl"]) for array in frames[-1].values()):
            raise InputError(f"{file}: has another number of people than {files[0].name} or than its own arrays")
        if any(array.shape != frames[0][name].shape for name, array in frames[-1].items()):
            raise InputError(f"{file}: has other shapes of arrays than {files[0].name}; get it again")
    return {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}


def _person(data: dict[str, Floats], p: int, genders: list[str]) -> MotionSequence:
    parameters = SmplParameters(
        model="smpl",
        gender=genders[p] if p < len(genders) else "neutral",
        transl=data["transl"][:, p],
        parts={"root_orient": data["global_orient"][:, p], "pose_body": data["body_pose"][:, p, :63]},
        betas=data["betas"][0, p],
        joints=data["joints_3d"][:, p],
    )
    return smpl_sequence("", FPS, parameters, np.eye(3))


def _cameras(folder: Path, numbers: np.ndarray) -> tuple[DatasetCamera, ...]:
    path = folder / "cameras" / "rgb_cameras.npz"
    arrays = read_npz(path, ("ids", "extrinsics"), (*_INTRINSICS, "dist_coeffs"))
    name = next((name for name in _INTRINSICS if name in arrays), None)
    if name is None:
        raise InputError(f"{path} has no intrinsics; get it again")
    K = expect(path, name, arrays[name], ("C", 3, 3))
    T = expect(path, "extrinsics", arrays["extrinsics"], ("C", 3, 4))
    distortion = expect(path, "dist_coeffs", arrays.get("dist_coeffs", np.zeros((len(K), 5))), ("C", 5))
    names = arrays["ids"].reshape(-1)
    expect_equal_lengths(path, ids=names, intrinsics=K, extrinsics=T, dist_coeffs=distortion)
    return tuple(
        DatasetCamera(
            name=str(camera),
            K=K[c],
            distortion=distortion[c],
            T_cam_world=extrinsics(T[c, :, :3], T[c, :, 3], np.eye(3)),
            clip=folder / "images" / str(camera),
            clip_frames=_image_indices(folder / "images" / str(camera), numbers),
        )
        for c, camera in enumerate(names.tolist())
    )


def _image_indices(images: Path, numbers: np.ndarray) -> np.ndarray:
    """Index of the image of each frame number among the images of a folder; -1 without an image."""
    index_of = {_number(file): index for index, file in enumerate(sorted(images.glob("*.jpg")))}
    return np.array([index_of.get(int(number), -1) for number in numbers], np.int64)
