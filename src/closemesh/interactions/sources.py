"""Real single poses that key poses start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from closemesh.motion_data.sequence import MotionSequence


@dataclass(frozen=True)
class SourcePoses:
    """S poses of single people, heading taken out: they look along +z."""

    root: Tensor  # [S, 3] axis-angle of the root, what is left of it after yaw
    body_pose: Tensor  # [S, 21, 3] axis-angle
    frames: tuple[tuple[str, int], ...]  # S times name of the sequence and frame


def find_source_poses(sequences: Sequence[MotionSequence], spacing: float = 0.5) -> SourcePoses:
    """Upright standing and walking poses of the sequences, one every `spacing` seconds."""
    raise NotImplementedError
