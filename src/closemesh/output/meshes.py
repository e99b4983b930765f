"""Meshes as one file for each person and frame, for tools that read no animation."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from closemesh.body.frames import motion_in_world
from closemesh.body.model import BodyModel
from closemesh.files import replacing_folder
from closemesh.output.shading import person_colour
from closemesh.output.skinned import stream_vertices
from closemesh.progress import Progress
from closemesh.scene import BodyMotion, Camera

FrameFormat = Literal["ply", "obj"]


def write_frame_meshes(
    folder: Path, mesh_format: FrameFormat, camera: Camera, motion: BodyMotion, body: BodyModel, progress: Progress
) -> None:
    """`folder`/person_00/000000.ply and so on, numbered by processed frame, from camera-frame motion; frame: world.

    Vertices keep the order of the body; a person who is not valid in a frame has no file there. Raises OutputError
    when they cannot be written.
    """
    from trimesh import Trimesh

    faces = body.faces.cpu().numpy()
    meshes = stream_vertices(motion_in_world(motion, camera, body), body)
    with replacing_folder(folder) as part, progress.task(f"{mesh_format} meshes", len(motion.transl)) as advance:
        for person in range(motion.num_people):
            (part / f"person_{person:02d}").mkdir()
        for frame, vertices in enumerate(meshes):
            for person in motion.valid[frame].nonzero()[0]:
                colours = np.tile((*person_colour(int(person)), 255), (len(body.v_template), 1)).astype(np.uint8)
                mesh = Trimesh(vertices[person], faces, vertex_colors=colours, process=False)
                mesh.export(part / f"person_{person:02d}" / f"{frame:06d}.{mesh_format}")
            advance(1)
