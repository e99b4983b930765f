"""scene.json: where a result came from, by which camera it was seen, what it cost, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from closemesh import __version__
from closemesh.body.model import BodyModel
from closemesh.errors import InputError
from closemesh.output.json_file import read_json, write_json
from closemesh.output.quality import Figures, standing_heights
from closemesh.scene import Appearance, BodyMotion, Camera, Clip, Floats, Reconstruction

SCHEMA = 1


class StageCost(Protocol):
    """What is told of a stage."""

    @property
    def name(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def peak_megabytes(self) -> float | None: ...
    @property
    def peak_gpu_megabytes(self) -> float | None: ...
    @property
    def reused(self) -> bool: ...


def write_scene(
    path: Path,
    reconstruction: Reconstruction,
    body: BodyModel,
    stages: Sequence[StageCost],
    quality: Mapping[str, Figures],
) -> None:
    """Write scene.json; `quality` by the name of the motion. Raises OutputError when it cannot be written."""
    values = {
        "closemesh": __version__,
        "input": _input(reconstruction.clip),
        "camera": _camera(reconstruction.camera),
        "people": _people(reconstruction.motion, body),
        "pairs": [
            [pair.person_a, pair.person_b] for pair in next(reversed(list(reconstruction.contacts.values())), ())
        ],
        "detector": reconstruction.observations.detector,
        "body_model": {"name": body.name, "sha256": body.sha256},
        "weight_files": [vars(file) for file in reconstruction.weight_files],
        "config": reconstruction.config,
        "seed": reconstruction.config.get("seed"),
        "stages": [_stage(stage) for stage in stages],
        "quality": quality,
        "appearance": _appearance(reconstruction.appearance),
        "notes": reconstruction.notes,
    }
    write_json(path, SCHEMA, values)


def read_scene(path: Path) -> dict[str, Any]:
    """The values of scene.json. Raises InputError when it is missing, damaged or of another schema."""
    return read_json(path, SCHEMA)


def scene_camera(scene: dict[str, Any]) -> Camera:
    """The Camera that a scene.json tells of. Raises InputError when it is not complete."""
    try:
        camera, num_frames = scene["camera"], scene["input"]["frames"]
        T_cam_world = np.array(camera["T_cam_world"], dtype=np.float64)
        return Camera(
            focal=camera["focal_px"],
            centre=tuple(camera["centre_px"]),
            size=tuple(scene["input"]["size"]),
            focal_source=camera["focal_source"],
            T_cam_world=np.broadcast_to(T_cam_world, (num_frames, 4, 4)).copy(),
            floor_found=camera["floor_found"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"scene.json is damaged: no complete camera ({error}); run reconstruct again") from error


def _input(clip: Clip) -> dict[str, Any]:
    return {
        "name": clip.path.name,
        "path": clip.path.resolve(),
        "sha256": clip.sha256,
        "size": clip.size,
        "fps": clip.fps,
        "frames": len(clip),
        "frame_range": [clip.frame_indices[0], clip.frame_indices[-1]],
        "seconds": [clip.times[0], clip.times[-1]],
    }


def _camera(camera: Camera) -> dict[str, Any]:
    return {
        "focal_px": camera.focal,
        "focal_source": camera.focal_source,
        "centre_px": camera.centre,
        "floor_found": camera.floor_found,
        "T_cam_world": _one_if_still(camera.T_cam_world),
    }


def _one_if_still(T_cam_world: Floats) -> Floats:
    """[4, 4] of a camera that stands still, else [T, 4, 4]."""
    return T_cam_world[0] if (T_cam_world == T_cam_world[0]).all() else T_cam_world


def _people(motion: BodyMotion, body: BodyModel) -> list[dict[str, Any]]:
    heights = standing_heights(motion, body)
    return [
        {
            "file": f"people/person_{person:02d}.npz",
            "frames_valid": int(motion.valid[:, person].sum()),
            "height_m": round(float(heights[person]), 3),
        }
        for person in range(motion.num_people)
    ]


def _appearance(appearance: Appearance | None) -> dict[str, Any] | None:
    if appearance is None:
        return None
    orders = [vars(order) for order in appearance.depth_orders]
    return {"psnr_db": round(appearance.psnr, 2), "depth_orders": orders}


def _stage(stage: StageCost) -> dict[str, Any]:
    return {
        "name": stage.name,
        "seconds": round(stage.seconds, 3),
        "peak_megabytes": stage.peak_megabytes,
        "peak_gpu_megabytes": stage.peak_gpu_megabytes,
        "reused": stage.reused,
    }
