"""Blender imports one armature per person, the camera by itself, joints within a millimeter, and the right speed.

Needs a Python with the package `bpy`: this one, or that of $CLOSEMESH_BLENDER_PYTHON, since `bpy` pins an old numpy.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from closemesh.body.motion import motion_joints
from closemesh.body.skeleton import JOINT_NAMES
from closemesh.interchange.export import FORMATS
from closemesh.interchange.scene import ExportedScene

PYTHON = os.environ.get("CLOSEMESH_BLENDER_PYTHON") or (sys.executable if importlib.util.find_spec("bpy") else None)
pytestmark = pytest.mark.skipif(PYTHON is None, reason="Blender's package bpy is not installed")


@pytest.fixture
def even(scene: ExportedScene) -> ExportedScene:
    """Eleven frames at 25 a second, all people valid."""
    frames = slice(0, 11)
    clip = replace(scene.clip, times=0.5 + np.arange(11) / 25, frame_indices=scene.clip.frame_indices[frames])
    motion = replace(scene.motion, valid=np.ones_like(scene.motion.valid)).frames(frames)
    return replace(scene, clip=clip, camera=scene.camera.frames(frames), motion=motion)


def imported(file: Path, seconds: list[float]) -> dict[str, Any]:
    """What Blender has after importing the file."""
    result, reader = file.with_suffix(".json"), Path(__file__).with_name("blender_reader.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(PYTHON), str(reader), str(file), str(result), *map(str, seconds)]
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=120)
    return json.loads(result.read_text())


def check_joints(found: dict[str, list[float]], scene: ExportedScene, frame: int, person: int, prefix: str) -> None:
    expected = motion_joints(scene.motion_world, scene.body)[frame, person]
    joints = np.array([found[f"{prefix}{name}"] for name in JOINT_NAMES])
    np.testing.assert_allclose(joints, expected, atol=1e-3)


def test_glb(even: ExportedScene, tmp_path: Path) -> None:
    FORMATS["glb"].write(even, tmp_path)
    found = imported(tmp_path / "scene.glb", [0.0, 0.2, 0.4])
    parents = {(kind, name): parent for name, kind, parent in found["objects"]}
    assert [name for kind, name in parents if kind == "ARMATURE"] == even.people
    assert parents["CAMERA", "camera"] is None
    assert {parents["MESH", f"{name}_mesh"] for name in even.people} == set(even.people)
    for heads, frame in zip(found["heads"], (0, 5, 10), strict=True):
        for person, name in enumerate(even.people):
            check_joints(heads[name], even, frame, person, f"{name}_")


def test_bvh(even: ExportedScene, tmp_path: Path) -> None:
    FORMATS["bvh"].write(even, tmp_path)
    found = imported(tmp_path / "person_01.bvh", [0.0, 0.2, 0.4])
    assert [kind for _, kind, _ in found["objects"]] == ["ARMATURE"]
    assert abs(found["rate"] - 25) < 1e-3 and found["frames"] == [[1, 11]]
    for heads, frame in zip(found["heads"], (0, 5, 10), strict=True):
        check_joints(heads["person_01"], even, frame, 1, "")
