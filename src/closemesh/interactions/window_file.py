"""Windows as files: closemesh's motion files with what is held and when."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from closemesh.interactions.timing import FPS
from closemesh.interactions.windows import Window
from closemesh.motion_data.pose_file import write_pose_file
from closemesh.motion_data.sequence import NUM_JOINTS, MotionSequence

BODY_MODEL = "closemesh_open/light"
"""The body that the anchors are vertices of; all variants of the open body share its betas."""


def write_window(path: Path, window: Window, attribution: str) -> None:
    """One window as .npz in the form of `write_pose_file`, fingers included. Raises OutputError.

    Besides that it has contact [T] (the touches are held), anchors [K, 2] (vertices of the body that meet) and touches
    [K, 2] (names of the regions that meet).
    """
    more = {
        "contact": window.contact.numpy(),
        "anchors": window.held.anchors.numpy(),
        "touches": np.array([(touch.a, touch.b) for touch in window.held.touches], dtype=str).reshape(-1, 2),
    }
    write_pose_file(path, as_sequence(path.stem, window, attribution), more)


def as_sequence(name: str, window: Window, attribution: str) -> MotionSequence:
    """The motion of a window as other motion."""
    motion = window.motion
    return MotionSequence(
        name=name,
        fps=FPS,
        rotations=motion.all_rotations().numpy(),
        pelvis=motion.pelvis.numpy(),
        valid=np.ones(motion.pelvis.shape[:2], bool),
        known=np.ones((motion.pelvis.shape[1], NUM_JOINTS), bool),
        betas=motion.betas[0].numpy(),
        body_model=BODY_MODEL,
        action=window.kind,
        synthetic=True,
        attribution=attribution,
    )
