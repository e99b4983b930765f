"""Independent reader of .bvh files: forward kinematics as its text describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass
class Joint:
    name: str
    parent: str | None
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    channels: tuple[str, ...] = ()


class Bvh:
    def __init__(self, path: Path) -> None:
        head, motion = path.read_text().split("MOTION\n")
        self.joints = self._parse(head)
        count, frame_time, *rows = motion.strip().split("\n")
        self.frame_time = float(frame_time.removeprefix("Frame Time:"))
        self.rows = np.array([row.split() for row in rows], dtype=float)
        assert len(self.rows) == int(count.removeprefix("Frames:"))

    @staticmethod
    def _parse(head: str) -> list[Joint]:
        joints: list[Joint] = []
        open_joints: list[Joint] = []
        for words in (line.split() for line in head.splitlines()[1:]):
            if words[0] in ("ROOT", "JOINT", "End"):
                one = Joint(words[1], open_joints[-1].name if open_joints else None)
                open_joints.append(one)
                if words[0] != "End":
                    joints.append(one)
            elif words[0] == "OFFSET":
                open_joints[-1].offset = np.array(words[1:], dtype=float)
            elif words[0] == "CHANNELS":
                open_joints[-1].channels = tuple(words[2:])
                assert len(open_joints[-1].channels) == int(words[1])
            elif words[0] == "}":
                open_joints.pop()
        assert not open_joints
        return joints

    def positions(self, frame: int) -> dict[str, np.ndarray]:
        """Position [3] of every joint."""
        values = iter(self.rows[frame])
        placed: dict[str | None, tuple[Rotation, np.ndarray]] = {None: (Rotation.identity(), np.zeros(3))}
        for joint in self.joints:
            rotation, position = placed[joint.parent]
            position = position + rotation.apply(joint.offset)
            for channel in joint.channels:
                value, axis = next(values), channel[0]
                if channel.endswith("position"):
                    position = position + rotation.apply(np.eye(3)["XYZ".index(axis)] * value)
                else:
                    rotation = rotation * Rotation.from_euler(axis, value, degrees=True)
            placed[joint.name] = rotation, position
        assert not list(values)
        return {joint.name: placed[joint.name][1] for joint in self.joints}
