"""SMPL-X .npz in the layout of AMASS, which the SMPL-X add-on of Blender plays.

The add-on takes y up as its format `SMPL-X` and z up as `AMASS`, and cuts the digits after the point of a frame rate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from closemesh.interchange.scene import ExportedScene
from closemesh.output.people import world_people


def write_smplx(scene: ExportedScene, folder: Path) -> None:
    """Write `folder`/person_00.npz and so on, at a whole number of frames per second. The folder exists.

    Betas of the bundled body mean nothing to SMPL-X, so zeros, the mean shape, are written in their place.
    """
    resampled = scene.at_constant_rate(whole=True)
    people = world_people(resampled.clip, resampled.camera, resampled.motion, resampled.body)
    for name, person in zip(scene.people, people, strict=True):
        np.savez_compressed(
            folder / f"{name}.npz",
            trans=person.trans,
            poses=person.poses,
            betas=np.zeros_like(person.betas) if scene.body.is_bundled else person.betas,
            gender=person.gender,
            mocap_frame_rate=resampled.clip.fps,
            mocap_time_length=len(person.trans) / resampled.clip.fps,
            expression=person.expression,
            surface_model_type="smplx",
            up_axis=scene.up,
        )
