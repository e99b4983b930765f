"""What of a data set is scored: clips, their cameras, and the true joints in the frames that the papers take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.config import ClipConfig
from closemesh.errors import InputError
from closemesh.evaluation.lsp import lsp_joints
from closemesh.evaluation.published import DatasetName
from closemesh.motion_data.chi3d import FPS as CHI3D_FPS
from closemesh.motion_data.chi3d import chi3d_recordings, read_chi3d
from closemesh.motion_data.dataset import DatasetCamera, DatasetSequence
from closemesh.motion_data.hi4d import FPS as HI4D_FPS
from closemesh.motion_data.hi4d import hi4d_recordings, read_hi4d
from closemesh.motion_data.sequence import put_on_body
from closemesh.motion_data.threedpw import FPS as THREEDPW_FPS
from closemesh.motion_data.threedpw import read_threedpw, threedpw_files
from closemesh.output.skinned import motion_joints
from closemesh.scene import Bools, Floats

CHI3D_SUBJECT = "s03"
"""The pair that BUDDI is evaluated on; s01 and s05 have no published truth, s02 and s04 are learned from."""
_AROUND = 25  # Frames before and after a single frame that is scored: the pipeline lives on motion.
_LSP_OF_IMAR25 = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 9)  # 9 lies where SMPL-X has its head joint, 10 on top.


@dataclass(frozen=True)
class DatasetItem:
    """One clip of one camera."""

    name: str
    clip: Path
    clip_config: ClipConfig
    K: Floats
    """[3, 3] the true camera; the pipeline is told its focal length, as in the papers."""
    clip_frames: np.ndarray
    """[N] frames of the clip that are scored."""
    joints_cam: Floats
    """[N, P, 14, 3] the true joints in the frame of the camera, LSP order."""
    valid: Bools
    """[N, P]."""


def dataset_items(name: DatasetName, root: Path, body: BodyModel) -> Iterator[DatasetItem]:
    """Clip after clip, camera after camera; clips whose images are not there are passed over.

    Raises InputError when the root is none of the data set, and when a file of it cannot be read.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder that {name} was unpacked to")
    return _ITEMS[name](root, body)


def _hi4d(root: Path, body: BodyModel) -> Iterator[DatasetItem]:
    """All frames of all cameras."""
    for folder in _some(hi4d_recordings(root), root, "pairXX/<action>XX/meta.npz with smpl/ beside it"):
        data = read_hi4d(folder)
        assert data.sequence.joints is not None
        joints = lsp_joints(data.sequence.joints)
        for camera in data.cameras:
            yield from _item(data, camera, joints, np.arange(len(joints)), ClipConfig(fps=HI4D_FPS))


def _chi3d(root: Path, body: BodyModel) -> Iterator[DatasetItem]:
    """The frame of contact of each recording of BUDDI's test pair, seen by each camera."""
    recordings = [path for path in chi3d_recordings(root) if path.parent.parent.name == CHI3D_SUBJECT]
    for path in _some(recordings, root, f"train/{CHI3D_SUBJECT}/smplx/<action>.json with joints3d_25/ beside smplx/"):
        data = read_chi3d(path, body)
        joints = _chi3d_joints(data, body)
        for camera in data.cameras if len(data.contact_frames) else ():
            frames = data.contact_frames
            start = max(int(frames.min()) - _AROUND, 0) / CHI3D_FPS
            around = ClipConfig(start=start, end=(int(frames.max()) + _AROUND + 1) / CHI3D_FPS, fps=CHI3D_FPS)
            yield from _item(data, camera, joints, frames, around)


def _threedpw(root: Path, body: BodyModel) -> Iterator[DatasetItem]:
    """The test split, in the frames whose camera is known."""
    for path in _some(threedpw_files(root), root, "sequenceFiles/test/*.pkl"):
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


def _chi3d_joints(data: DatasetSequence, body: BodyModel) -> Floats:
    """[T, P, 14, 3]: SMPL-X's own with the licensed body, which the truth was fitted with, else the measured points."""
    if not body.is_open and data.sequence.body_model == body.name:
        return lsp_joints(motion_joints(put_on_body(data.sequence, body), body))
    assert data.keypoints is not None
    return data.keypoints[:, :, list(_LSP_OF_IMAR25)]


def _item(
    data: DatasetSequence, camera: DatasetCamera, joints: Floats, frames: np.ndarray, clip_config: ClipConfig
) -> Iterator[DatasetItem]:
    """One item, or none when the clip is not there or shows none of the frames."""
    frames = frames[camera.clip_frames[frames] >= 0]
    if not camera.clip.exists() or len(frames) == 0:
        return
    T_cam_world = np.broadcast_to(camera.T_cam_world, (len(joints), 4, 4))[frames]
    turned = np.einsum("tij,tpkj->tpki", T_cam_world[:, :3, :3], joints[frames])
    yield DatasetItem(
        name=f"{data.sequence.name} {camera.name}",
        clip=camera.clip,
        clip_config=clip_config,
        K=camera.K,
        clip_frames=camera.clip_frames[frames],
        joints_cam=turned + T_cam_world[:, None, None, :3, 3],
        valid=data.sequence.valid[frames],
    )


def _some(recordings: list[Path], root: Path, layout: str) -> list[Path]:
    if not recordings:
        raise InputError(f"{root} holds no recordings; expected is {layout}")
    return recordings
