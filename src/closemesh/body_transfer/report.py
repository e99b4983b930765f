"""Transfer errors, conversion.json, result folder.

How near a motion on the new body comes to that on the old one, in millimetres: joints, keypoints, skin, contact.

A converted result as a folder of the form that `reconstruct` writes, with conversion.json beside the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_joints, motion_keypoints
from closemesh.body_transfer.targets import motion_skin, same_faces, skins
from closemesh.contact.measure import ContactConfig, measure_contacts
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError, OutputError
from closemesh.core.progress import Progress
from closemesh.core.records import load_record, save_record, write_json
from closemesh.output.result_json import read_scene
from closemesh.output.write import write_results
from closemesh.structures import (
    NUM_BODY_JOINTS,
    BodyMotion,
    Camera,
    Clip,
    Observations,
    PairContacts,
    Reconstruction,
    WeightFile,
)
from closemesh.weights.registry import LICENSED_BODY

Figures = dict[str, Any]
"""Plain values for JSON; lengths in millimetres with the unit at the end of the name."""

_NUM_KEYPOINTS = 23  # Body and feet.
_SKIN_FRAMES = 24  # Frames, spread over the clip, whose skin is measured.
_TOUCH = ContactConfig().touch_distance


def conversion_figures(
    motion: BodyMotion, source: BodyModel, versions: Mapping[str, BodyMotion], target: BodyModel
) -> Figures:
    """Mean and largest distances of each of `versions` on `target` from `motion` on `source`, over valid frames."""
    points = {
        "joints_mm": lambda m, body: motion_joints(m, body)[:, :, :NUM_BODY_JOINTS],
        "keypoints_mm": lambda m, body: motion_keypoints(m, body)[:, :, :_NUM_KEYPOINTS],
    }
    figures: Figures = {}
    for name, of_motion in points.items():
        old = of_motion(motion, source)
        figures[name] = {
            version: _in_mm(np.linalg.norm(of_motion(m, target) - old, axis=-1), motion.valid)
            for version, m in versions.items()
        }
    figures["surface_measured_to"] = "the same vertex" if same_faces(source, target) else "the nearest point"
    figures["surface_mm"] = {name: _skin_error(motion, source, m, target) for name, m in versions.items()}
    return figures


def contact_figures(contacts: Mapping[str, Sequence[PairContacts]]) -> list[Figures]:
    """What became of every pair that touches in the first of `contacts`, in the frames in which it does.

    gap: mean of the smallest distances; depth: deepest crossing; touching: frames nearer than the touch distance.
    """
    names = list(contacts)
    of_pairs = {name: {(pair.person_a, pair.person_b): pair for pair in pairs} for name, pairs in contacts.items()}
    rows = []
    for people, pair in of_pairs[names[0]].items():
        touching = np.nan_to_num(pair.distance, nan=np.inf) < _TOUCH
        if touching.any():
            rows.append(
                {"people": list(people), **{name: _contact(of_pairs[name].get(people), touching) for name in names}}
            )
    return rows


def pair_contacts(
    motion: BodyMotion, source: BodyModel, versions: Mapping[str, BodyMotion], target: BodyModel, progress: Progress
) -> dict[str, tuple[PairContacts, ...]]:
    """Contacts on the old body (`source`) and of each version on the new one."""
    return {
        "source": measure_contacts(motion, source, progress),
        **{name: measure_contacts(version, target, progress) for name, version in versions.items()},
    }


def _contact(pair: PairContacts | None, touching: Bools) -> Figures | None:
    """None for a pair that no longer comes near."""
    if pair is None:
        return None
    return {
        "frames_touching": int((pair.distance[touching] < _TOUCH).sum()),
        "gap_mm": 1000 * float(np.nanmean(pair.distance[touching])),
        "depth_mm": 1000 * float(np.nanmax(pair.depth[touching])),
    }


def _skin_error(motion: BodyMotion, source: BodyModel, version: BodyMotion, target: BodyModel) -> Figures:
    old, new = skins(source, target)
    surface = None if old is source else WatertightMesh(old.faces.cpu().numpy(), old.v_template.double().cpu().numpy())
    frames = np.unique(np.linspace(0, len(motion.transl) - 1, _SKIN_FRAMES).round().astype(int))
    errors = []
    for t in frames:
        one, other = (_posed(body, m, t) for body, m in ((old, motion), (new, version)))
        if surface is None:
            errors.append(np.linalg.norm(other - one, axis=-1))
        else:
            errors.append(np.stack([surface.closest(b, a).distance for a, b in zip(one, other, strict=True)]))
    return _in_mm(np.stack(errors), motion.valid[frames])


def _posed(body: BodyModel, motion: BodyMotion, frame: int) -> Floats:
    """Vertices [P, V, 3] in one frame."""
    names = ("rotations", "transl", "expression", "valid", "confidence")
    one = motion.with_pose(**{name: getattr(motion, name)[frame : frame + 1] for name in names})
    return motion_skin(body, one)[0].double().cpu().numpy()


def _in_mm(errors: Floats, valid: Bools) -> Figures:
    """Mean and largest of errors [T, P, N] in metres where valid [T, P]; None where nobody is."""
    counted = 1000 * errors[valid]
    return {"mean": float(counted.mean()), "largest": float(counted.max())} if counted.size else {}


SCHEMA = 1
CONVERSION_FILE = "conversion.json"


@dataclass(frozen=True)
class Converted:
    """A motion on its new body, camera frame, and what is told of the way there."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    contacts: Mapping[str, Sequence[PairContacts]]
    """By `source`, `copied`, `fitted`."""
    figures: Figures
    body_path: Path


def check_place(result: Path, folder: Path) -> None:
    """Raises OutputError when `folder` holds something that is not an earlier conversion."""
    if folder.resolve() == result.resolve() or (
        (folder / "scene.json").exists() and not (folder / CONVERSION_FILE).exists()
    ):
        raise OutputError(f"{folder} holds a result of its own; give another folder with -o")


def check_body(result: Path, body: BodyModel) -> None:
    """Raises InputError unless the result in the folder `result` was made on this body."""
    told = read_scene(result / "scene.json")["body_model"]
    if told["sha256"] != body.sha256:
        raise InputError(f"{result} was made on the body {told['name']}, not on {body.name}; load that body")


def write_converted(
    result: Path, folder: Path, converted: Converted, source: BodyModel, target: BodyModel, progress: Progress
) -> None:
    """Write people/, observations.npz, contacts.json, meshes/, scene.json, conversion.json and stages/ to `folder`.

    contacts.json tells the contacts on the old body as `before`. The records below stages/ are what `render` draws.
    Raises InputError when `result` lacks a file, OutputError when `folder` cannot be written.
    """
    scene = read_scene(result / "scene.json")
    observations = load_record(result / "observations.npz", Observations)
    config = {**scene["config"], "body_model": str(converted.body_path.resolve())}
    config["output"] = {**config.get("output", {}), "overlay": False}
    reconstruction = Reconstruction(
        converted.clip,
        converted.camera,
        observations,
        {"optimised": converted.motion},
        {"before": tuple(converted.contacts["source"]), "optimised": tuple(converted.contacts["fitted"])},
        weight_files=_weight_files(scene, target),
        config=config,
        notes=(*scene["notes"], f"converted from the body {source.name} to {target.name}"),
    )
    save_record(folder / "stages" / "clip.npz", converted.clip)
    save_record(folder / "stages" / "optimise" / "0.Camera.npz", converted.camera)
    save_record(folder / "stages" / "optimise" / "1.BodyMotion.npz", converted.motion)
    bodies = {name: {"name": body.name, "sha256": body.sha256} for name, body in (("from", source), ("to", target))}
    write_json(folder / CONVERSION_FILE, SCHEMA, {**bodies, **converted.figures})
    write_results(folder, reconstruction, target, (), (), progress)


def _weight_files(scene: Mapping[str, Any], target: BodyModel) -> tuple[WeightFile, ...]:
    files = tuple(WeightFile(**file) for file in scene["weight_files"])
    licence = "as its maker says" if target.is_open else LICENSED_BODY.licence
    return (*files, WeightFile(target.name, target.sha256, licence))
