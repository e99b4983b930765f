"""What is scored on each data set (clips, cameras, frames and true joints), and the results that papers report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_joints
from closemesh.config.schema import ClipConfig
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError
from closemesh.lab.datasets.chi3d import FPS as CHI3D_FPS
from closemesh.lab.datasets.chi3d import chi3d_recordings, read_chi3d
from closemesh.lab.datasets.hi4d import FPS as HI4D_FPS
from closemesh.lab.datasets.hi4d import hi4d_recordings, read_hi4d
from closemesh.lab.datasets.recording import DatasetCamera, Recording
from closemesh.lab.datasets.threedpw import FPS as THREEDPW_FPS
from closemesh.lab.datasets.threedpw import read_threedpw, threedpw_files
from closemesh.lab.evaluation.joint_metrics import lsp_joints
from closemesh.motion_files.sequence import to_body_motion

DatasetName = Literal["hi4d", "chi3d", "3dpw"]

_CLOSEAPP = "CloseApp (Huang et al., CVPR 2025), Table 2, from secondary sources"
_CLOSEAPP_ABLATION = "CloseApp (Huang et al., CVPR 2025), Table 3, from secondary sources"
_BUDDI = "BUDDI (Müller et al., CVPR 2024), Table 3"
_PROSEPOSE = "ProsePose (Subramanian et al., CVPR 2025); its own selection of frames and cameras"
_PROMPTHMR = "PromptHMR (Wang et al., CVPR 2025), from secondary sources; people not exchanged"


@dataclass(frozen=True)
class PublishedRow:
    """One row of a paper's table. The JSON file has these fields."""

    method: str
    metrics: dict[str, float]
    """By the names of METRICS and PERSON_PA, mm."""
    source: str


PERSON_PA = ("PA-MPJPE person 0", "PA-MPJPE person 1")
"""BUDDI reports the two people of CHI3D separately: person 0 wears markers, person 1 does not."""

_COLUMNS = ("MPJPE", "PA-MPJPE", "MPVPE", "Inter", "A-PD")
_CHI3D_COLUMNS = (*PERSON_PA, "Pair-PA-MPJPE-best")


def _row(method: str, columns: tuple[str, ...], values: tuple[float | None, ...], source: str) -> PublishedRow:
    reported = {name: value for name, value in zip(columns, values, strict=True) if value is not None}
    return PublishedRow(method, reported, source)


def _one(name: str, source: str, values: dict[str, float]) -> tuple[PublishedRow, ...]:
    """Rows of a table with a single column."""
    return tuple(PublishedRow(method, {name: value}, source) for method, value in values.items())


PUBLISHED: dict[DatasetName, tuple[PublishedRow, ...]] = {
    "hi4d": (
        _row("GroupRec", _COLUMNS, (82.4, 51.6, 88.6, 98.8, None), _CLOSEAPP),
        _row("BUDDI", _COLUMNS, (96.8, 70.6, 116.0, 102.6, None), _CLOSEAPP),
        _row("CloseInt", _COLUMNS, (63.1, 47.5, 76.4, 81.4, None), _CLOSEAPP),
        _row("CloseApp", _COLUMNS, (59.1, 44.3, 72.0, 80.2, None), _CLOSEAPP),
        _row("CloseApp, initial prediction", _COLUMNS, (65.05, 48.54, 78.35, 86.20, 1.16), _CLOSEAPP_ABLATION),
        _row("CloseApp, full", _COLUMNS, (59.06, 44.29, 71.99, 80.18, 0.81), _CLOSEAPP_ABLATION),
        *_one("Pair-PA-MPJPE-best", _PROSEPOSE, {"BEV": 144, "Heuristic contact": 116, "ProsePose": 93, "BUDDI": 89}),
        *_one(
            "Pair-PA-MPJPE",
            _PROMPTHMR,
            {"BEV": 136, "BUDDI": 98, "Multi-HMR (zero-shot)": 80.6, "PromptHMR (zero-shot)": 78.1, "PromptHMR": 39.5},
        ),
    ),
    "chi3d": (
        _row("BEV", _CHI3D_COLUMNS, (50, 52, 96), _BUDDI),
        _row("BUDDI (sampling only)", _CHI3D_COLUMNS, (53, 53, 80), _BUDDI),
        _row("BUDDI", _CHI3D_COLUMNS, (48, 47, 68), _BUDDI),
        *_one("Pair-PA-MPJPE-best", _PROSEPOSE, {"Heuristic contact": 105, "ProsePose": 100}),
        *_one(
            "Pair-PA-MPJPE",
            _PROMPTHMR,
            {"Multi-HMR (zero-shot)": 100.0, "PromptHMR (zero-shot)": 58.5, "PromptHMR": 45.3},
        ),
    ),
    "3dpw": (
        _row("GroupRec", ("MPJPE", "PA-MPJPE"), (73.3, 48.7), _CLOSEAPP),
        _row("BUDDI", ("MPJPE", "PA-MPJPE"), (83.6, 53.6), _CLOSEAPP),
        _row("CloseInt", ("MPJPE", "PA-MPJPE"), (70.6, 51.4), _CLOSEAPP),
        _row("CloseApp", ("MPJPE", "PA-MPJPE"), (64.5, 45.6), _CLOSEAPP),
        *_one(
            "PA-MPJPE",
            _PROMPTHMR,
            {"CLIFF": 43.0, "HMR2.0a": 44.4, "CameraHMR": 35.1, "Multi-HMR": 45.9, "PromptHMR": 36.6},
        ),
    ),
}


CHI3D_SUBJECT = "s03"
"""The pair of people that BUDDI is evaluated on. s01 and s05 have no published truth; s02 and s04 are training data."""
_CONTEXT = 25  # Frames before and after a single scored frame: the pipeline needs motion.
_LSP_OF_IMAR25 = (
    6,
    5,
    4,
    1,
    2,
    3,
    16,
    15,
    14,
    11,
    12,
    13,
    8,
    9,
)  # 9 is at the head joint of SMPL-X.


@dataclass(frozen=True)
class DatasetItem:
    """One clip of one camera."""

    name: str
    clip: Path
    clip_config: ClipConfig
    K: Floats
    """[3, 3] true intrinsics; the pipeline gets the focal length, as in the papers."""
    clip_frames: np.ndarray
    """[N] scored frames of the clip."""
    joints_cam: Floats
    """[N, P, 14, 3] true LSP joints, camera frame."""
    valid: Bools
    """[N, P] True where the truth is known."""


def dataset_items(name: DatasetName, root: Path, body: BodyModel) -> Iterator[DatasetItem]:
    """The items of a data set, one for each clip and camera; without clips whose images are missing.

    Raises InputError when the root is not a folder of the data set, or a file cannot be read.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder that {name} was unpacked to")
    return _ITEMS[name](root, body)


def _hi4d(root: Path, body: BodyModel) -> Iterator[DatasetItem]:
    """All frames of all cameras."""
    for folder in _found(hi4d_recordings(root), root, "pairXX/<action>XX/meta.npz with smpl/ beside it"):
        data = read_hi4d(folder)
        assert data.sequence.joints is not None
        joints = lsp_joints(data.sequence.joints)
        for camera in data.cameras:
            yield from _item(data, camera, joints, np.arange(len(joints)), ClipConfig(fps=HI4D_FPS))


def _chi3d(root: Path, body: BodyModel) -> Iterator[DatasetItem]:
    """The frame of contact of each recording of BUDDI's test pair, for each camera."""
    recordings = [path for path in chi3d_recordings(root) if path.parent.parent.name == CHI3D_SUBJECT]
    for path in _found(recordings, root, f"train/{CHI3D_SUBJECT}/smplx/<action>.json with joints3d_25/ beside smplx/"):
        data = read_chi3d(path, body)
        joints = _chi3d_joints(data, body)
        for camera in data.cameras if len(data.contact_frames) else ():
            frames = data.contact_frames
            start = max(int(frames.min()) - _CONTEXT, 0) / CHI3D_FPS
            clip_config = ClipConfig(start=start, end=(int(frames.max()) + _CONTEXT + 1) / CHI3D_FPS, fps=CHI3D_FPS)
            yield from _item(data, camera, joints, frames, clip_config)


def _threedpw(root: Path, body: BodyModel) -> Iterator[DatasetItem]:
    """The test split, frames with a known camera."""
    for path in _found(threedpw_files(root), root, "sequenceFiles/test/*.pkl"):
        data = read_threedpw(path)
        assert data.sequence.joints is not None
        joints = lsp_joints(data.sequence.joints)
        frames = np.flatnonzero(data.sequence.valid.any(1))
        yield from _item(data, data.cameras[0], joints, frames, ClipConfig(fps=THREEDPW_FPS))


_ITEMS: dict[DatasetName, Callable[[Path, BodyModel], Iterator[DatasetItem]]] = {
    "hi4d": _hi4d,
    "chi3d": _chi3d,
    "3dpw": _threedpw,
}


def _chi3d_joints(data: Recording, body: BodyModel) -> Floats:
    """[T, P, 14, 3] joints of the SMPL-X body that was fitted to the data, if it is used here; else measured points."""
    if not body.is_bundled and data.sequence.body_model == body.name:
        return lsp_joints(motion_joints(to_body_motion(data.sequence, body), body))
    assert data.keypoints is not None
    return data.keypoints[:, :, list(_LSP_OF_IMAR25)]


def _item(
    data: Recording, camera: DatasetCamera, joints: Floats, frames: np.ndarray, clip_config: ClipConfig
) -> Iterator[DatasetItem]:
    """One item; none when the clip is missing or has none of the frames."""
    frames = frames[camera.clip_frames[frames] >= 0]
    if not camera.clip.exists() or len(frames) == 0:
        return
    T_cam_world = np.broadcast_to(camera.T_cam_world, (len(joints), 4, 4))[frames]
    rotated = np.einsum("tij,tpkj->tpki", T_cam_world[:, :3, :3], joints[frames])
    yield DatasetItem(
        name=f"{data.sequence.name} {camera.name}",
        clip=camera.clip,
        clip_config=clip_config,
        K=camera.K,
        clip_frames=camera.clip_frames[frames],
        joints_cam=rotated + T_cam_world[:, None, None, :3, 3],
        valid=data.sequence.valid[frames],
    )


def _found(recordings: list[Path], root: Path, layout: str) -> list[Path]:
    if not recordings:
        raise InputError(f"{root} holds no recordings; expected is {layout}")
    return recordings
