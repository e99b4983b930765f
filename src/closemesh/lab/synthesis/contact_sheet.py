"""Overview image of a set of windows: one row per kind, frames of one window side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.core.arrays import read_npz
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.lab.datasets.recording import read_pose_file
from closemesh.lab.synthesis.pair_motion import PairMotion
from closemesh.motion_files.sequence import MotionSequence
from closemesh.rendering.bodies import BodyRenderer
from closemesh.rendering.floor import draw_floor
from closemesh.rendering.viewpoints import view_camera
from closemesh.structures import Camera

NUM_FRAMES = 7
SIZE = (240, 260)  # Width and height of each frame, pixels.
_LABEL_WIDTH = 150
_INK = (60, 60, 60)


def draw_sheet(windows: Path, sheet: Path, number: int = 0) -> None:
    """Write the `number`-th window of every kind below the folder `windows` to the PNG `sheet`.

    Raises InputError when there is no window, OutputError when the image cannot be written.
    """
    kinds: dict[str, list[Path]] = {}
    for file in sorted(windows.rglob("*.npz")):
        kinds.setdefault(read_pose_file(file).action, []).append(file)
    if not kinds:
        raise InputError(f"no windows below {windows}; make some with closemesh interactions")
    body = load_bundled_body()
    rows = [(kind, _draw_row(files[min(number, len(files) - 1)], body)) for kind, files in sorted(kinds.items())]
    write_sheet(sheet, rows)


def _draw_row(file: Path, body: BodyModel) -> np.ndarray:
    """Image [H, W, 3] RGB of one window, seen across the line between the two people."""
    motion = as_pair_motion(read_pose_file(file))
    contact = read_npz(file, (), ("contact",)).get("contact", np.zeros(len(motion), bool))
    between = (motion.pelvis[:, -1] - motion.pelvis[:, 0]).mean(0)
    yaw = float(np.arctan2(between[0], between[2]))
    return draw_strip(motion, select_frames(contact, NUM_FRAMES), body, SIZE, yaw)


def as_pair_motion(sequence: MotionSequence) -> PairMotion:
    """The people of a window file, with the betas of the file."""
    assert sequence.betas is not None
    rotations = torch.as_tensor(sequence.rotations, dtype=torch.float32)
    betas = torch.as_tensor(sequence.betas)
    return PairMotion(
        betas=betas.expand(len(sequence), -1, -1),
        rotations=rotations[:, :, :22],
        hand_pose=matrix_to_axis_angle(rotations[:, :, 25:]),
        pelvis=torch.as_tensor(sequence.pelvis),
    )


def select_frames(contact: np.ndarray, count: int) -> np.ndarray:
    """`count` frames [count] from the first to the last of a window, the middle one in contact; contact [T] bool."""
    held = np.flatnonzero(contact)
    middle = int(held.mean()) if len(held) else len(contact) // 2
    half = count // 2
    before, after = np.linspace(0, middle, half + 1)[:-1], np.linspace(middle, len(contact) - 1, count - half)
    return np.round(np.concatenate([before, after])).astype(np.int64)


def draw_strip(
    motion: PairMotion, frames: np.ndarray, body: BodyModel, size: tuple[int, int], yaw: float = 0.0
) -> np.ndarray:
    """Image [H, W * F, 3] RGB of frames [F] side by side, all from one camera.

    size: width and height of each frame, pixels. yaw: rotation of the camera about the vertical in radians, 0 for a
    view along -z.
    """
    vertices, joints = motion.frames(torch.as_tensor(frames)).skin(body)
    points = joints[:, :, :22].reshape(-1, 3).double().numpy()
    camera = view_camera("side", _reference_camera(yaw), points, size)
    people = vertices.shape[1]
    renderer = BodyRenderer(body, people)
    floor = draw_floor(camera, points)
    T = camera.T_cam_world[0]
    images = [
        renderer.render(floor.copy(), v.double().numpy() @ T[:3, :3].T + T[:3, 3], np.ones(people, bool), camera)
        for v in vertices
    ]
    return np.concatenate(images, axis=1)


def write_sheet(path: Path, rows: Sequence[tuple[str, np.ndarray]]) -> None:
    """Write a PNG with one row for each of rows: (name, image [H, W, 3] RGB). Raises OutputError."""
    images = [cv2.hconcat([_draw_label(name, row.shape[0]), row]) for name, row in rows]
    sheet = cv2.cvtColor(cv2.vconcat(images), cv2.COLOR_RGB2BGR)
    with atomic_file(path) as part:
        cv2.imwrite(str(part), sheet)


def _draw_label(name: str, height: int) -> np.ndarray:
    label = np.full((height, _LABEL_WIDTH, 3), 255, np.uint8)
    for line, word in enumerate(name.replace("_", " ").split()):
        cv2.putText(label, word, (8, 30 + 24 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.55, _INK, 1, cv2.LINE_AA)
    return label


def _reference_camera(yaw: float) -> Camera:
    """A camera at `yaw` radians about the vertical, from which the side view is derived."""
    ahead = np.array([np.sin(yaw), 0.0, np.cos(yaw)])
    down = np.array([0.0, -1.0, 0.0])
    T = np.eye(4)
    T[:3, :3] = np.stack([np.cross(down, ahead), down, ahead])
    return Camera(1000.0, (0.0, 0.0), (1, 1), "option", T[None])
