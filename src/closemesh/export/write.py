"""A converted result as a folder of the form that `reconstruct` writes, with conversion.json beside the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closemesh.body.model import BodyModel
from closemesh.errors import InputError, OutputError
from closemesh.export.figures import Figures
from closemesh.output.json_file import write_json
from closemesh.output.scene_file import read_scene
from closemesh.output.write import write_results
from closemesh.progress import Progress
from closemesh.records import load_record, save_record
from closemesh.scene import BodyMotion, Camera, Clip, Observations, PairContacts, Reconstruction, WeightFile
from closemesh.weights.known import LICENSED_BODY

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
