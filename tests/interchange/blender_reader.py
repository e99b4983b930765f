"""Run by a Python with `bpy`: imports a GLB, BVH or USD file into Blender and writes what is there as JSON.

python blender_reader.py FILE RESULT.json SECONDS...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bpy


def load(file: str) -> None:
    """Import into an empty scene whose rate is that of the file, or 24, where the file has times only."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    if file.endswith(".bvh"):
        bpy.ops.import_anim.bvh(filepath=file, update_scene_fps=True)
    elif file.endswith(".usda"):
        bpy.ops.wm.usd_import(filepath=file)
    else:
        bpy.ops.import_scene.gltf(filepath=file)


def heads(seconds: float, rate: float, first: int) -> dict[str, dict[str, list[float]]]:
    """Head [3] of every bone by armature and bone, in axes with y up; first: frame of 0 seconds."""
    frame = seconds * rate + first
    bpy.context.scene.frame_set(int(frame), subframe=frame - int(frame))
    bpy.context.view_layer.update()
    found = {}
    for armature in (one for one in bpy.data.objects if one.type == "ARMATURE"):
        points = {bone.name: armature.matrix_world @ bone.head for bone in armature.pose.bones}
        found[armature.name] = {name: [point.x, point.z, -point.y] for name, point in points.items()}
    return found


def main(file: str, result: str, seconds: list[str]) -> None:
    """Write objects with type and parent, the rate, the frames of the animations and the joints at these times."""
    load(file)
    render = bpy.context.scene.render
    rate = render.fps / render.fps_base
    values = {
        "objects": [[one.name, one.type, one.parent.name if one.parent else None] for one in bpy.data.objects],
        "rate": rate,
        "frames": [list(action.frame_range) for action in bpy.data.actions],
        "heads": [heads(float(one), rate, int(file.endswith(".bvh"))) for one in seconds],
    }
    Path(result).write_text(json.dumps(values))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
