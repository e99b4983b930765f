"""A sequence that needs no file: two people who stand near each other and wave."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from closemesh.body.loading import load_bundled_body
from closemesh.body.motion import motion_in_camera
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.lab.simulation.scene import SimulatedScene
from closemesh.motion_files.sequence import MotionSequence, body_rotations, to_body_motion
from closemesh.structures import Camera, Clip

FPS = 30.0
PELVIS_HEIGHT = 0.98


def two_people(frames: int = 20, offset: tuple[float, float, float] = (0.5, 0.0, 0.2)) -> MotionSequence:
    """Person 0 at the origin, person 1 at `offset` from it; both face +z."""
    pose = np.zeros((frames, 2, 22, 3), np.float32)
    wave = np.sin(np.arange(frames) / FPS * 2 * np.pi)[:, None]
    pose[:, :, JOINT_INDEX["left_shoulder"], 2] = -1.1
    pose[:, :, JOINT_INDEX["right_shoulder"], 2] = 1.1 - 0.8 * wave
    rotations, known = body_rotations(pose)
    pelvis = np.tile(
        np.array([[0, PELVIS_HEIGHT, 0], np.add([0, PELVIS_HEIGHT, 0], offset)], np.float32), (frames, 1, 1)
    )
    return MotionSequence("wave", FPS, rotations, pelvis, np.ones((frames, 2), bool), known, action="waving")


def front_view(sequence: MotionSequence, distance: float = 4.0, behind: bool = False) -> SimulatedScene:
    """On the mean light body, before (or behind) a level camera that points at the origin from pelvis height."""
    body = load_bundled_body("light")
    side = -1.0 if behind else 1.0
    T = np.eye(4)
    T[:3, :3] = np.diag([side, -1.0, -side])
    T[:3, 3] = [0, PELVIS_HEIGHT, distance]
    size = (480, 640)
    frames = len(sequence)
    camera = Camera(600.0, (240.0, 320.0), size, "option", np.tile(T, (frames, 1, 1)), floor_found=True)
    clip = Clip(Path("wave.mp4"), "", np.arange(frames), sequence.times, size, sequence.fps)
    motion = motion_in_camera(to_body_motion(sequence, body), camera, body)
    return SimulatedScene(clip, camera, motion, body, sequence.name, sequence.action)
