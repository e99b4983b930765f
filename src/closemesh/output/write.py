"""All files of a result folder, with optional PLY or OBJ meshes per person and frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_in_world, stream_vertices
from closemesh.core.progress import Progress
from closemesh.core.records import save_record
from closemesh.output.gltf import write_glb
from closemesh.output.people import write_people
from closemesh.output.quality import check_numbers, motion_quality
from closemesh.output.result_json import StageCost, write_contacts, write_scene
from closemesh.rendering.bodies import Scene, render_overlay
from closemesh.rendering.shading import person_color
from closemesh.structures import BodyMotion, Camera, Reconstruction
from closemesh.video.video_files import Image

FrameFormat = Literal["ply", "obj"]


def write_frame_meshes(
    folder: Path, mesh_format: FrameFormat, camera: Camera, motion: BodyMotion, body: BodyModel, progress: Progress
) -> None:
    """Write `folder`/person_00/000000.ply and so on, numbered by processed frame, from camera-frame motion.

    Frame of the meshes: world. Vertices are in the order of the body. A person who is not valid in a frame has no file
    for it. The folder does not exist yet.
    """
    from trimesh import Trimesh

    faces = body.faces.cpu().numpy()
    meshes = stream_vertices(motion_in_world(motion, camera, body), body)
    with progress.task(f"{mesh_format} meshes", len(motion.transl)) as advance:
        for person in range(motion.num_people):
            (folder / f"person_{person:02d}").mkdir(parents=True)
        for frame, vertices in enumerate(meshes):
            for person in motion.valid[frame].nonzero()[0]:
                colors = np.tile((*person_color(int(person)), 255), (len(body.v_template), 1)).astype(np.uint8)
                mesh = Trimesh(vertices[person], faces, vertex_colors=colors, process=False)
                mesh.export(folder / f"person_{person:02d}" / f"{frame:06d}.{mesh_format}")
            advance(1)


def write_results(
    out: Path,
    reconstruction: Reconstruction,
    body: BodyModel,
    stages: Sequence[StageCost],
    frames: Iterable[Image],
    progress: Progress,
    run: str = "",
) -> None:
    """Write people/, observations.npz, contacts.json, meshes/, overlay.mp4 and scene.json to the folder `out`.

    `out` is new or empty: `OutputFolder.publish` moves the files into an older result. A clip of one frame has an
    overlay.png too. frames: RGB frames of the clip, read only when the configuration asks for an overlay. run:
    identifier of the run, for scene.json. Raises OutputError when a file cannot be written, and NonFiniteError before
    the first when a metric is NaN or infinite.
    """
    r, motion = reconstruction, reconstruction.motion
    options = {"mesh_format": "glb", "overlay": True, **r.config.get("output", {})}
    quality = {
        name: motion_quality(r.clip, r.observations, r.camera, stage_motion, body, r.contacts.get(name, ()))
        for name, stage_motion in r.motions.items()
    }
    check_numbers("quality", quality)
    write_people(out / "people", r.clip, r.camera, motion, body)
    save_record(out / "observations.npz", r.observations)
    contacts = list(r.contacts.values()) or [()]
    write_contacts(out / "contacts.json", r.clip, before=contacts[0], after=contacts[-1])
    _write_meshes(out / "meshes", reconstruction, body, options["mesh_format"], progress)
    if options["overlay"]:
        render_overlay(frames, Scene(r.clip, r.camera, motion, body), out / "overlay.mp4", progress)
    write_scene(out / "scene.json", reconstruction, body, stages, quality, run)


def _write_meshes(folder: Path, r: Reconstruction, body: BodyModel, mesh_format: Any, progress: Progress) -> None:
    folder.mkdir()
    write_glb(folder / "scene.glb", r.clip, r.camera, r.motion, body)
    if mesh_format != "glb":
        write_frame_meshes(folder / mesh_format, mesh_format, r.camera, r.motion, body, progress)
