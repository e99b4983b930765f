"""The whole story: a clip is observed, first poses are found, all people are refined together, results are written."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from closemesh import __version__
from closemesh.body.load import load_body
from closemesh.body.model import BodyModel
from closemesh.config import ClipConfig, Config, to_dict
from closemesh.contact.measure import measure_contacts
from closemesh.device import choose_device
from closemesh.errors import InputError
from closemesh.initialise.initialise import initialise
from closemesh.observe.observe import observe
from closemesh.optimise.optimise import optimise
from closemesh.output.write import write_results
from closemesh.progress import NoteKeeper, Progress, Silent
from closemesh.records import load_record, save_record
from closemesh.scene import BodyMotion, Camera, Clip, Observations, PairContacts, Reconstruction, WeightFile
from closemesh.store import StageStore, open_store
from closemesh.video import open_clip
from closemesh.weights.known import BUNDLED_FILES, LICENSED_BODY
from closemesh.weights.search import find_model, sha256_of

# Raised when a stage gives another result from the same input, so that results kept by older versions are made anew.
STAGE_VERSIONS = {"observe": 1, "initialise": 1, "optimise": 1, "contact": 1}
_STAGE_OF = {"initial": "initialise", "optimised": "optimise"}
_CLIP_FILE = "clip.npz"


def reconstruct(
    path: str | Path,
    out: str | Path,
    config: Config | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    resume: bool = True,
) -> Reconstruction:
    """Turn a clip of people in close contact into SMPL-X motion and meshes, written to the folder `out`.

    path: a video file or a folder of images. config: see closemesh.config; the preset `balanced` when None.
    With `resume`, what an earlier run into `out` made from the same things is used again.
    Raises a ClosemeshError (InputError, ModelFileError, OutputError) when something is wrong with the files.
    """
    config = config or Config()
    told = NoteKeeper(progress or Silent())
    clip = _open_clip(Path(path), config.clip, told)
    body = load_body(config.body_model)
    run = _Run(clip, body, config, choose_device(device))
    with open_store(Path(out), seed=config.seed, resume=resume, progress=told) as store:
        observations = _observe(run, store)
        camera, initial = _initialise(run, store, observations)
        camera, optimised = _optimise(run, store, observations, camera, initial)
        motions = {"initial": initial, "optimised": optimised}
        contacts = {name: _contacts(run, store, name, motion) for name, motion in motions.items()}
        reconstruction = Reconstruction(
            clip,
            camera,
            observations,
            motions,
            contacts,
            weight_files=_weight_files(body),
            config=to_dict(config),
            notes=tuple(told.notes),
        )
        save_record(store.folder / _CLIP_FILE, clip)
        write_results(Path(out), reconstruction, body, store.reports, told)
    return reconstruction


@dataclass(frozen=True)
class KeptMotion:
    """What an output folder keeps of one stage."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    body_path: str | None
    """Of the licensed body; None for the open one."""


def read_kept(out: Path, stage: str) -> KeptMotion:
    """The motion `initial` or `optimised` of an earlier run into `out`. Raises InputError when it is not there."""
    if not (out / "scene.json").is_file():
        raise InputError(f"{out} holds no finished result; run closemesh reconstruct CLIP -o {out} first")
    folder = out / "stages" / _STAGE_OF[stage]
    return KeptMotion(
        clip=load_record(out / "stages" / _CLIP_FILE, Clip),
        camera=load_record(folder / "0.Camera.npz", Camera),
        motion=load_record(folder / "1.BodyMotion.npz", BodyMotion),
        body_path=json.loads((out / "scene.json").read_text())["config"].get("body_model"),
    )


@dataclass(frozen=True)
class _Run:
    """What does not change from stage to stage."""

    clip: Clip
    body: BodyModel
    config: Config
    device: torch.device


def _observe(run: _Run, store: StageStore) -> Observations:
    made_from = {**_origin("observe"), "clip": _clip_identity(run.clip), "config": to_dict(run.config.observe)}
    (observations,) = store.stage(
        "observe",
        made_from,
        (Observations,),
        lambda folder, tell: (observe(run.clip, run.config.observe, folder / "masks", tell),),
    )
    return observations


def _initialise(run: _Run, store: StageStore, observations: Observations) -> tuple[Camera, BodyMotion]:
    made_from = {
        **_origin("initialise"),
        "observe": store.key("observe"),
        "body": run.body.sha256,
        "sidecar": _sidecar_identity(run.clip.path),
        "config": to_dict(run.config.initialise),
        "seed": run.config.seed,
        "device": run.device.type,
    }
    camera, motion = store.stage(
        "initialise",
        made_from,
        (Camera, BodyMotion),
        lambda _, tell: initialise(run.clip, observations, run.body, run.config.initialise, run.device, tell),
    )
    return camera, motion


def _optimise(
    run: _Run, store: StageStore, observations: Observations, camera: Camera, motion: BodyMotion
) -> tuple[Camera, BodyMotion]:
    made_from = {
        **_origin("optimise"),
        "initialise": store.key("initialise"),
        "config": to_dict(run.config.optimise),
    }
    camera, motion = store.stage(
        "optimise",
        made_from,
        (Camera, BodyMotion),
        lambda _, tell: optimise(observations, camera, motion, run.body, run.config.optimise, run.device, tell),
    )
    return camera, motion


def _contacts(run: _Run, store: StageStore, of: str, motion: BodyMotion) -> tuple[PairContacts, ...]:
    made_from = {**_origin("contact"), "motion": store.key(_STAGE_OF[of])}
    return store.stage(
        f"contact_{of}", made_from, (PairContacts,), lambda _, tell: measure_contacts(motion, run.body, tell)
    )


def _open_clip(path: Path, config: ClipConfig, progress: Progress) -> Clip:
    """The clip; what the reader warns of becomes a note."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clip = open_clip(path, config)
    for warning in caught:
        progress.note(str(warning.message))
    return clip


def _origin(stage: str) -> dict[str, Any]:
    """The code and the weights that a stage's result depends on."""
    files = {known.name: sha256_of(find_model(known.name)) for known in BUNDLED_FILES if known.stage == stage}
    return {"closemesh": __version__, "stage_version": STAGE_VERSIONS[stage], "weights": files}


def _clip_identity(clip: Clip) -> dict[str, Any]:
    frames = hashlib.sha256(clip.frame_indices.tobytes() + clip.times.tobytes()).hexdigest()
    return {"sha256": clip.sha256, "frames": frames, "size": clip.size, "focal": clip.focal_px}


def _sidecar_identity(path: Path) -> str | None:
    sidecar = path.with_name(f"{path.name}.intrinsics.json")
    return sha256_of(sidecar) if sidecar.is_file() else None


def _weight_files(body: BodyModel) -> tuple[WeightFile, ...]:
    bundled = tuple(WeightFile(k.name, sha256_of(find_model(k.name)), k.licence) for k in BUNDLED_FILES)
    return bundled if body.is_open else (*bundled, WeightFile(body.name, body.sha256, LICENSED_BODY.licence))
