"""One recording of a data set: the true motion, and the cameras that saw it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from closemesh.motion_data.sequence import MotionSequence
from closemesh.scene import Floats


@dataclass(frozen=True)
class DatasetCamera:
    """One camera of a recording, OpenCV axes."""

    name: str
    K: Floats
    """[3, 3] pixels."""
    distortion: Floats
    """[5] k1, k2, p1, p2, k3 as the data set tells them; zeros when it tells none."""
    T_cam_world: Floats
    """[4, 4], or [T, 4, 4] when it moves; `world` is that of the motion, y up."""
    clip: Path
    """The video, or the folder of images; it need not be there."""
    clip_frames: NDArray[np.int64]
    """[T] which frame of the clip shows each frame of the motion."""


@dataclass(frozen=True)
class DatasetSequence:
    """The truth of one recording and what belongs to it."""

    sequence: MotionSequence
    cameras: tuple[DatasetCamera, ...]
    contact_frames: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """[N] frames of the motion in which the data set tells of contact."""
    keypoints: Floats | None = None
    """[T, P, K, 3] joints in the data set's own order, where those of `sequence` are not all it gives; world."""


def turn_to_y_up(trunks: Floats) -> Floats:
    """R_world_file [3, 3] that turns the axis of a file's world along which trunks [..., 3] stand on average to y.

    For data sets that do not say which axis is up; people who mostly lie on the floor mislead it.
    """
    mean = trunks.reshape(-1, 3).mean(0)
    axis = np.zeros(3)
    largest = np.abs(mean).argmax()
    axis[largest] = 1 if mean[largest] >= 0 else -1
    return Rotation.align_vectors(np.array([[0.0, 1.0, 0.0]]), axis[None])[0].as_matrix().round()


def extrinsics(R_cam_file: Floats, t_cam_file: Floats, R_world_file: Floats) -> Floats:
    """T_cam_world [..., 4, 4] of a camera told in the world of the file: R [..., 3, 3], t [..., 3] metres."""
    T = np.zeros((*R_cam_file.shape[:-2], 4, 4))
    T[..., :3, :3] = R_cam_file @ R_world_file.T
    T[..., :3, 3] = t_cam_file
    T[..., 3, 3] = 1
    return T
