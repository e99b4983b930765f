"""Motion files of a person who stands and sways, with a skeleton, as captured files have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from standing import standing_sources

from closemesh.body.loading import load_bundled_body
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.datasets.recording import write_pose_file
from closemesh.motion_files.sequence import NUM_JOINTS, MotionSequence


def standing_motion(name: str = "standing", frames: int = 160, seed: int = 0) -> MotionSequence:
    """One person who leans slowly from side to side with both feet on the floor."""
    body = load_bundled_body("light")
    start = standing_sources(16).body_pose[seed]
    time = torch.arange(frames) / 30
    pose = start.expand(frames, -1, -1).clone()
    pose[:, 2, 2] += 0.05 * torch.sin(1.5 * time + seed)
    rotations = torch.eye(3).expand(frames, 1, NUM_JOINTS, 3, 3).clone()
    rotations[:, 0, 1:22] = axis_angle_to_matrix(pose)
    rest = body.joint_template[None, :22] - body.joint_template[:1]
    pelvis = np.zeros((frames, 1, 3), np.float32)
    pelvis[..., 1] = -float(body.v_template[:, 1].min() - body.joint_template[0, 1])
    known = np.zeros((1, NUM_JOINTS), bool)
    known[:, :22] = True
    return MotionSequence(
        name=name,
        fps=30.0,
        rotations=rotations.numpy(),
        pelvis=pelvis,
        valid=np.ones((frames, 1), bool),
        joint_valid=known,
        rest_joints=rest.numpy(),
        attribution="made for a test",
    )


def write_standing_motion(folder: Path, count: int = 3) -> None:
    """`count` such files."""
    for number in range(count):
        motion = standing_motion(f"standing_{number}", seed=number)
        write_pose_file(folder / "singles" / f"{motion.name}.npz", motion)
