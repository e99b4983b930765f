"""A picture of a set of windows: one row for each kind, moments of one of its windows side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from closemesh.body.load import load_open_body
from closemesh.body.model import BodyModel
from closemesh.errors import InputError
from closemesh.geometry.rotations import matrix_to_axis_angle
from closemesh.interactions.film_strip import draw_strip, moments_of, write_sheet
from closemesh.interactions.pair_motion import PairMotion
from closemesh.motion_data.arrays import read_npz
from closemesh.motion_data.pose_file import read_pose_file
from closemesh.motion_data.sequence import MotionSequence

MOMENTS = 7
SIZE = (240, 260)  # Width and height of each, pixels.


def draw_sheet(windows: Path, sheet: Path, number: int = 0) -> None:
    """The `number`-th window of every kind below `windows`, written to `sheet` (PNG).

    Raises InputError when there is none, OutputError when the picture cannot be written.
    """
    kinds: dict[str, list[Path]] = {}
    for file in sorted(windows.rglob("*.npz")):
        kinds.setdefault(read_pose_file(file).action, []).append(file)
    if not kinds:
        raise InputError(f"no windows below {windows}; make some with closemesh interactions")
    body = load_open_body()
    rows = [(kind, _row(files[min(number, len(files) - 1)], body)) for kind, files in sorted(kinds.items())]
    write_sheet(sheet, rows)


def _row(file: Path, body: BodyModel) -> np.ndarray:
    motion = as_pair_motion(read_pose_file(file))
    contact = read_npz(file, (), ("contact",)).get("contact", np.zeros(len(motion), bool))
    between = (motion.pelvis[:, -1] - motion.pelvis[:, 0]).mean(0)
    yaw = float(np.arctan2(between[0], between[2]))  # So that the view goes across the line between the two.
    return draw_strip(motion, moments_of(contact, MOMENTS), body, SIZE, yaw)


def as_pair_motion(sequence: MotionSequence) -> PairMotion:
    """Two people of a window file, on the shapes that the file has."""
    assert sequence.betas is not None
    rotations = torch.as_tensor(sequence.rotations, dtype=torch.float32)
    betas = torch.as_tensor(sequence.betas)
    return PairMotion(
        betas=betas.expand(len(sequence), -1, -1),
        rotations=rotations[:, :, :22],
        hand_pose=matrix_to_axis_angle(rotations[:, :, 25:]),
        pelvis=torch.as_tensor(sequence.pelvis),
    )
