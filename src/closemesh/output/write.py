"""Everything that a run leaves, written in one go; scene.json comes last and says that the rest is there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from closemesh.body.model import BodyModel
from closemesh.files import remove, replacing_folder
from closemesh.output.contacts_file import write_contacts
from closemesh.output.glb import write_glb
from closemesh.output.meshes import write_frame_meshes
from closemesh.output.movie import Image
from closemesh.output.people import write_people
from closemesh.output.quality import motion_quality
from closemesh.output.render import render_overlay
from closemesh.output.scene_file import StageCost, write_scene
from closemesh.progress import Progress
from closemesh.records import save_record
from closemesh.scene import Reconstruction


def write_results(
    out: Path,
    reconstruction: Reconstruction,
    body: BodyModel,
    stages: Sequence[StageCost],
    frames: Iterable[Image],
    progress: Progress,
) -> None:
    """Write people/, observations.npz, contacts.json, meshes/, overlay.mp4 and scene.json to the folder `out`.

    `frames` are the RGB frames of the clip; they are read only when the configuration asks for an overlay.
    Raises OutputError when a file cannot be written; scene.json is absent until everything else is complete.
    """
    r, motion = reconstruction, reconstruction.motion
    options = {"mesh_format": "glb", "overlay": True, **r.config.get("output", {})}
    remove(out / "scene.json")
    write_people(out / "people", r.clip, r.camera, motion, body)
    save_record(out / "observations.npz", r.observations)
    of_motions = list(r.contacts.values()) or [()]
    write_contacts(out / "contacts.json", r.clip, before=of_motions[0], after=of_motions[-1])
    _write_meshes(out / "meshes", reconstruction, body, options["mesh_format"], progress)
    remove(out / "overlay.mp4")
    if options["overlay"]:
        render_overlay(frames, r.clip, r.camera, motion, body, out / "overlay.mp4", progress)
    quality = {
        name: motion_quality(r.clip, r.observations, r.camera, stage_motion, body, r.contacts.get(name, ()))
        for name, stage_motion in r.motions.items()
    }
    write_scene(out / "scene.json", reconstruction, body, stages, quality)


def _write_meshes(folder: Path, r: Reconstruction, body: BodyModel, mesh_format: Any, progress: Progress) -> None:
    with replacing_folder(folder) as part:
        write_glb(part / "scene.glb", r.clip, r.camera, r.motion, body)
        if mesh_format != "glb":
            write_frame_meshes(part / mesh_format, mesh_format, r.camera, r.motion, body, progress)
