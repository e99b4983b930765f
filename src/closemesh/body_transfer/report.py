"""Transfer errors in millimeters, and the transferred motion as a result folder with conversion.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_joints, motion_keypoints
from closemesh.body_transfer.targets import comparison_meshes, motion_vertices, same_faces
from closemesh.contact.measure import ContactConfig, measure_contacts
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import InputError, OutputError
from closemesh.core.output_folder import RESULT_FILES, OutputFolder, require_separate
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
from closemesh.weights.registry import SMPLX_BODY

SCHEMA = 1
CONVERSION_FILE = "conversion.json"

_TRANSFER_FILES = {**RESULT_FILES, "stages/optimise": r"0\.Camera\.npz|1\.BodyMotion\.npz"}

Metrics = dict[str, Any]
"""Plain values for JSON; lengths in millimeters with the unit at the end of the name."""

_NUM_KEYPOINTS = 23  # Body and feet.
_SURFACE_FRAMES = 24  # Evenly from the clip.
_TOUCH_DISTANCE = ContactConfig().touch_distance


def transfer_errors(
    motion: BodyMotion, source: BodyModel, versions: Mapping[str, BodyMotion], target: BodyModel
) -> Metrics:
    """Mean and largest distance of each of `versions` on `target` from `motion` on `source`, over valid frames."""
    points = {
        "joints_mm": lambda m, body: motion_joints(m, body)[:, :, :NUM_BODY_JOINTS],
        "keypoints_mm": lambda m, body: motion_keypoints(m, body)[:, :, :_NUM_KEYPOINTS],
    }
    metrics: Metrics = {}
    for name, motion_points in points.items():
        old = motion_points(motion, source)
        metrics[name] = {
            version: _in_mm(np.linalg.norm(motion_points(m, target) - old, axis=-1), motion.valid)
            for version, m in versions.items()
        }
    metrics["surface_measured_to"] = "the same vertex" if same_faces(source, target) else "the nearest point"
    metrics["surface_mm"] = {name: _surface_error(motion, source, m, target) for name, m in versions.items()}
    return metrics


def measure_versions(
    motion: BodyMotion, source: BodyModel, versions: Mapping[str, BodyMotion], target: BodyModel, progress: Progress
) -> dict[str, tuple[PairContacts, ...]]:
    """Contacts of `motion` on `source`, under the name `source`, and of each version on `target`."""
    return {
        "source": measure_contacts(motion, source, progress),
        **{name: measure_contacts(version, target, progress) for name, version in versions.items()},
    }


def contact_changes(contacts: Mapping[str, Sequence[PairContacts]]) -> list[Metrics]:
    """Contact metrics of every pair in contact in the first of `contacts`, over the frames of that contact.

    Keys: gap_mm is the mean of the smallest distances, depth_mm the largest depth, frames_touching the number of
    frames within the touch distance.
    """
    names = list(contacts)
    by_people = {name: {(pair.person_a, pair.person_b): pair for pair in pairs} for name, pairs in contacts.items()}
    rows = []
    for people, pair in by_people[names[0]].items():
        touching = np.nan_to_num(pair.distance, nan=np.inf) < _TOUCH_DISTANCE
        if touching.any():
            rows.append(
                {"people": list(people), **{name: _contact(by_people[name].get(people), touching) for name in names}}
            )
    return rows


def _contact(pair: PairContacts | None, touching: Bools) -> Metrics | None:
    """None for a pair that is never close."""
    if pair is None:
        return None
    return {
        "frames_touching": int((pair.distance[touching] < _TOUCH_DISTANCE).sum()),
        "gap_mm": 1000 * float(np.nanmean(pair.distance[touching])),
        "depth_mm": 1000 * float(np.nanmax(pair.depth[touching])),
    }


def _surface_error(motion: BodyMotion, source: BodyModel, version: BodyMotion, target: BodyModel) -> Metrics:
    old, new = comparison_meshes(source, target)
    surface = None if old is source else WatertightMesh(old.faces.cpu().numpy(), old.v_template.double().cpu().numpy())
    frames = np.unique(np.linspace(0, len(motion.transl) - 1, _SURFACE_FRAMES).round().astype(int))
    errors = []
    for t in frames:
        before, after = (_posed(body, m, t) for body, m in ((old, motion), (new, version)))
        if surface is None:
            errors.append(np.linalg.norm(after - before, axis=-1))
        else:
            errors.append(np.stack([surface.closest(b, a).distance for a, b in zip(before, after, strict=True)]))
    return _in_mm(np.stack(errors), motion.valid[frames])


def _posed(body: BodyModel, motion: BodyMotion, frame: int) -> Floats:
    """Vertices [P, V, 3] in one frame, meters."""
    return motion_vertices(body, motion.frames(slice(frame, frame + 1)))[0].double().cpu().numpy()


def _in_mm(errors: Floats, valid: Bools) -> Metrics:
    """Mean and largest of errors [T, P, N] in meters where valid [T, P]; empty where no person is valid."""
    counted = 1000 * errors[valid]
    return {"mean": float(counted.mean()), "largest": float(counted.max())} if counted.size else {}


@dataclass(frozen=True)
class TransferredResult:
    """A motion on its new body, camera frame, with contacts and errors."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    contacts: Mapping[str, Sequence[PairContacts]]
    """By `source`, `copied`, `fitted`."""
    metrics: Metrics
    body_path: Path


def check_output_folder(result: Path, folder: Path, body: Path) -> None:
    """Check that a transfer to the body file `body` can be written to `folder` without loss. Raises OutputError."""
    if folder.resolve() == result.resolve() or (
        (folder / "scene.json").exists() and not (folder / CONVERSION_FILE).exists()
    ):
        raise OutputError(f"{folder} holds another result; give another folder with -o")
    require_separate(folder, [body, result / "scene.json"], (*_TRANSFER_FILES, "stages"))
    OutputFolder(folder).require_free(_TRANSFER_FILES)


def check_source_body(result: Path, body: BodyModel) -> None:
    """Raises InputError unless the result in the folder `result` was made with this body."""
    used = read_scene(result / "scene.json")["body_model"]
    if used["sha256"] != body.sha256:
        raise InputError(f"{result} was made with the body {used['name']}, not with {body.name}; load that body")


def write_transfer(
    result: Path,
    folder: Path,
    transferred: TransferredResult,
    source: BodyModel,
    target: BodyModel,
    progress: Progress,
) -> None:
    """Write people/, observations.npz, contacts.json, meshes/, scene.json, conversion.json and stages/ to `folder`.

    contacts.json has the contacts on the source body as `before`. `render` reads the records below stages/.
    Raises InputError when `result` lacks a file, OutputError when `folder` cannot be written.
    """
    scene = read_scene(result / "scene.json")
    observations = load_record(result / "observations.npz", Observations)
    config = {**scene["config"], "body_model": str(transferred.body_path.resolve())}
    config["output"] = {**config.get("output", {}), "overlay": False}
    reconstruction = Reconstruction(
        transferred.clip,
        transferred.camera,
        observations,
        {"optimised": transferred.motion},
        {"before": tuple(transferred.contacts["source"]), "optimised": tuple(transferred.contacts["fitted"])},
        weight_files=_weight_files(scene, target),
        config=config,
        notes=(*scene["notes"], f"converted from the body {source.name} to {target.name}"),
    )
    bodies = {name: {"name": body.name, "sha256": body.sha256} for name, body in (("from", source), ("to", target))}
    output = OutputFolder(folder)
    with output.staging() as staged:
        save_record(staged / "stages" / "clip.npz", transferred.clip)
        save_record(staged / "stages" / "optimise" / "0.Camera.npz", transferred.camera)
        save_record(staged / "stages" / "optimise" / "1.BodyMotion.npz", transferred.motion)
        write_json(staged / CONVERSION_FILE, SCHEMA, {**bodies, **transferred.metrics})
        write_results(staged, reconstruction, target, (), (), progress)
        output.publish(staged, RESULT_FILES, last="scene.json")


def _weight_files(scene: Mapping[str, Any], target: BodyModel) -> tuple[WeightFile, ...]:
    files = tuple(WeightFile(**file) for file in scene["weight_files"])
    licence = "as its maker says" if target.is_bundled else SMPLX_BODY.licence
    return (*files, WeightFile(target.name, target.sha256, licence))
