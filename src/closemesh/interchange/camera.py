"""The camera of the clip as JSON: intrinsics, and its pose in every frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from closemesh.interchange.scene import ExportedScene


def write_camera(scene: ExportedScene, folder: Path) -> None:
    """Write `folder`/camera.json at the true times of the frames. The folder exists."""
    camera, clip = scene.camera, scene.clip
    values = {
        "size": list(camera.size),
        "focal_px": camera.focal,
        "focal_std_px": camera.focal_std,
        "principal_point_px": list(camera.principal_point),
        "camera_axes": "x right, y down, z forward",
        "world_up": scene.up,
        "frames": clip.frame_indices.tolist(),
        "seconds": clip.times.tolist(),
        "T_cam_world": camera.T_cam_world.tolist(),
        "T_world_cam": np.linalg.inv(camera.T_cam_world).tolist(),
    }
    (folder / "camera.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
