"""Read a result with numpy and json alone: joints, camera, contact intervals.

python examples/02_read_result.py out
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main(out: Path) -> None:
    scene = json.loads((out / "scene.json").read_text())
    T_cam_world = np.array(scene["camera"]["T_cam_world"])  # [4, 4] for a still camera
    focal, center = scene["camera"]["focal_px"], scene["camera"]["centre_px"]

    for person in scene["people"]:
        data = np.load(out / person["file"])
        joints_world = data["joints"]  # [T, 55, 3] meters, y up
        joints_cam = joints_world @ T_cam_world[:3, :3].T + T_cam_world[:3, 3]
        pixels = focal * joints_cam[..., :2] / joints_cam[..., 2:] + center  # [T, 55, 2]
        print(person["file"], "joints", joints_world.shape, "pelvis in the first frame at pixel", pixels[0, 0].round())

    for pair in json.loads((out / "contacts.json").read_text())["pairs"]:
        print("people", pair["people"])
        after = pair["after"]  # None when the two never came near each other.
        for contact in after["contacts"] if after else ():
            print("  ", contact)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "closemesh-example"))
