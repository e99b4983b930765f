"""scene.json (input, camera, cost and quality of a result) and contacts.json (contact intervals of each pair)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from closemesh import __version__
from closemesh.body.model import BodyModel
from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_list, expect_number, expect_text, expect_whole_number, foreign_file
from closemesh.core.records import read_json, write_json
from closemesh.output.quality import Metrics, standing_heights
from closemesh.structures import AppearanceSummary, BodyMotion, Camera, Clip, Contact, PairContacts, Reconstruction

SCENE_SCHEMA = 1
_MOST, _FAR = 10_000_000, 1e6  # Frames; meters or pixels.


class StageCost(Protocol):
    """Cost of a stage."""

    @property
    def name(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def peak_rss_mb(self) -> float | None: ...
    @property
    def peak_gpu_mb(self) -> float | None: ...
    @property
    def from_cache(self) -> bool: ...
    @property
    def run(self) -> str: ...


def write_scene(
    path: Path,
    reconstruction: Reconstruction,
    body: BodyModel,
    stages: Sequence[StageCost],
    quality: Mapping[str, Metrics],
    run: str = "",
) -> None:
    """Write scene.json; `quality` is by motion name, `run` identifies the run. Raises OutputError."""
    values = {
        "closemesh": __version__,
        "run": run,
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
    write_json(path, SCENE_SCHEMA, values)


def read_scene(path: Path) -> dict[str, Any]:
    """The values of scene.json. Raises InputError when it is missing, damaged or of another schema."""
    return read_json(path, SCENE_SCHEMA)


def scene_camera(scene: dict[str, Any]) -> Camera:
    """The camera of a scene.json. Raises InputError when it is not complete."""
    file = Path("scene.json")
    with foreign_file(file, advice="it has no complete camera; run reconstruct again"):
        camera, num_frames = scene["camera"], expect_whole_number(file, "frames", scene["input"]["frames"], 1, _MOST)
        T_cam_world = np.array(camera["T_cam_world"], dtype=np.float64)
        if not (np.abs(T_cam_world) < _FAR).all():
            raise InputError(f"{file}: T_cam_world is not finite; run reconstruct again")
        x, y = (
            expect_number(file, "centre_px", one, -_FAR, _FAR) for one in expect_list(file, "", camera["centre_px"])
        )
        width, height = (expect_whole_number(file, "size", one, 1, 1 << 16) for one in scene["input"]["size"])
        return Camera(
            focal=expect_number(file, "focal_px", camera["focal_px"], 1e-3, 1e7),
            principal_point=(x, y),
            size=(width, height),
            focal_source=expect_text(file, "focal_source", camera["focal_source"]),  # type: ignore[arg-type]
            T_cam_world=np.broadcast_to(T_cam_world, (num_frames, 4, 4)).copy(),
            floor_found=bool(camera["floor_found"]),
            focal_std=expect_number(file, "focal_std_px", camera.get("focal_std_px", 0.0), 0),
            up_std=expect_number(file, "up_std", camera.get("up_std", 0.0), 0),
        )


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
        "focal_std_px": camera.focal_std,
        "focal_source": camera.focal_source,
        "centre_px": camera.principal_point,
        "floor_found": camera.floor_found,
        "up_std": camera.up_std,
        "T_cam_world": _single_if_static(camera.T_cam_world),
    }


def scene_psnr(scene: dict[str, Any]) -> float | None:
    """PSNR in dB of the avatars in views that no fit used; None without. Raises InputError when it is damaged."""
    file = Path("scene.json")
    with foreign_file(file, advice="its appearance is not as documented; run reconstruct again"):
        value = (scene.get("appearance") or {}).get("psnr_held_out_db")
        return None if value is None else expect_number(file, "psnr_held_out_db", value, -1e3, 1e3)


def _single_if_static(T_cam_world: Floats) -> Floats:
    """[4, 4] of a static camera, else [T, 4, 4]."""
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


def _appearance(appearance: AppearanceSummary | None) -> dict[str, Any] | None:
    if appearance is None:
        return None
    orders = [vars(order) for order in appearance.depth_orders]
    held_out = None if math.isnan(appearance.psnr_held_out) else round(appearance.psnr_held_out, 2)
    return {"psnr_db": round(appearance.psnr, 2), "psnr_held_out_db": held_out, "depth_orders": orders}


def _stage(stage: StageCost) -> dict[str, Any]:
    return {
        "name": stage.name,
        "seconds": round(stage.seconds, 3),
        "peak_megabytes": stage.peak_rss_mb,
        "peak_gpu_megabytes": stage.peak_gpu_mb,
        "reused": stage.from_cache,
        "run": stage.run,
    }


CONTACTS_SCHEMA = 1
Pairs = tuple[PairContacts, ...]


def write_contacts(path: Path, clip: Clip, before: Pairs, after: Pairs) -> None:
    """Write the contacts of the first motion and of the result.

    Frames count processed frames from 0; end frames are inclusive; seconds are those of the clip. Raises OutputError
    when it cannot be written.
    """
    pairs_before, pairs_after = _by_people(before), _by_people(after)
    pairs = [
        {
            "people": people,
            "before": _to_json(pairs_before.get(people), clip),
            "after": _to_json(pairs_after.get(people), clip),
        }
        for people in sorted({*pairs_before, *pairs_after})
    ]
    write_json(path, CONTACTS_SCHEMA, {"units": "metres and seconds", "times": clip.times.round(4), "pairs": pairs})


def read_contacts(path: Path) -> tuple[Pairs, Pairs]:
    """The contacts before and after. Raises InputError when the file is missing, damaged or of another schema."""
    values = read_json(path, CONTACTS_SCHEMA)
    try:
        before, after = (
            tuple(_from_json(path, pair["people"], pair[when]) for pair in values["pairs"] if pair[when] is not None)
            for when in ("before", "after")
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} is damaged ({error}); run `closemesh reconstruct` again") from error
    return before, after


def _by_people(pairs: Pairs) -> dict[tuple[int, int], PairContacts]:
    return {(pair.person_a, pair.person_b): pair for pair in pairs}


def _to_json(pair: PairContacts | None, clip: Clip) -> dict[str, Any] | None:
    if pair is None:
        return None
    contacts = [
        {
            "part_a": contact.part_a,
            "part_b": contact.part_b,
            "start_frame": contact.start,
            "end_frame": contact.end,
            "start_seconds": round(float(clip.times[contact.start]), 4),
            "end_seconds": round(float(clip.times[contact.end]), 4),
            "min_distance": round(float(contact.min_distance), 5),
            "max_depth": round(float(contact.max_depth), 5),
        }
        for contact in pair.contacts
    ]
    return {
        "contacts": contacts,
        "distance": pair.distance.astype(np.float64).round(5),
        "depth": pair.depth.astype(np.float64).round(5),
    }


def _from_json(path: Path, people: list[int], values: dict[str, Any]) -> PairContacts:
    a, b = (expect_whole_number(path, "people", person, 0, _MOST) for person in people)
    contacts = tuple(
        Contact(
            person_a=a,
            person_b=b,
            part_a=expect_text(path, "part_a", contact["part_a"]),
            part_b=expect_text(path, "part_b", contact["part_b"]),
            start=expect_whole_number(path, "start_frame", contact["start_frame"], 0, _MOST),
            end=expect_whole_number(path, "end_frame", contact["end_frame"], 0, _MOST),
            min_distance=expect_number(path, "min_distance", contact["min_distance"], -_FAR, _FAR),
            max_depth=expect_number(path, "max_depth", contact["max_depth"], -_FAR, _FAR),
        )
        for contact in values["contacts"]
    )
    return PairContacts(a, b, _floats(values["distance"]), _floats(values["depth"]), contacts)


def _floats(values: list[float | None]) -> Floats:
    """[T] with nan for null."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != 1 or (np.abs(array) > _FAR).any():
        raise ValueError("distances must be one plausible number a frame")
    return array
