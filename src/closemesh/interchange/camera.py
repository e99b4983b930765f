"""The camera of the clip as JSON: intrinsics, and its pose in every frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from closemesh.interchange.scene import ExportedScene


def write_camera(scene: ExportedScene, folder: Path) -> None:
    """Write `folder`/camera.json at the true times of the frames; `reconstruct --camera` reads it.

    The folder exists.
    """
    camera, clip = scene.camera, scene.clip
    values = {
        **{"fx": camera.focal, "fy": camera.focal},
        **dict(zip(("cx", "cy"), camera.principal_point, strict=True)),
        **dict(zip(("width", "height"), camera.size, strict=True)),
        **({"focal_std": camera.focal_std} if camera.focal_std > 0 else {}),
        "camera_axes": "x right, y down, z forward",
        "world_up": scene.up,
        "frames": clip.frame_indices.tolist(),
        "seconds": clip.times.tolist(),
        "T_cam_world": camera.T_cam_world.tolist(),
        "T_world_cam": np.linalg.inv(camera.T_cam_world).tolist(),
    }
    (folder / "camera.json").write_text(json.dumps(values, indent=1), encoding="utf-8")
