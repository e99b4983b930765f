"""The whole story: a clip is observed, first poses are found, all people are refined together, results are written."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from pathlib import Path

from closemesh.config.schema import Config, to_dict
from closemesh.contact.measure import measure_contacts
from closemesh.core.files import atomic_folder
from closemesh.core.progress import NullProgress, Progress
from closemesh.core.records import save_record
from closemesh.importers.initialize import import_initial_motion
from closemesh.importers.registry import import_fingerprint
from closemesh.initialization.initialize import initialise
from closemesh.interaction_prior.refine import refine
from closemesh.optimization.appearance import collect_views
from closemesh.optimization.optimize import optimise
from closemesh.output.write import write_results
from closemesh.perception.observe import observe
from closemesh.pipeline.cache import CLIP_FILE, STAGE_OF
from closemesh.pipeline.context import RunContext, open_run
from closemesh.pipeline.stages import (
    clip_fingerprint,
    code_fingerprint,
    selected_weights,
    sidecar_identity,
    weight_files,
)
from closemesh.structures import (
    AppearanceSummary,
    BodyMotion,
    Camera,
    Observations,
    ObservedClip,
    PairContacts,
    PoseUncertainty,
    Reconstruction,
)
from closemesh.text.annotate import describe
from closemesh.text.calibration import calibrate_confidence
from closemesh.text.statements import TimedStatement
from closemesh.video import read_frames

_MASKS = "masks"


def reconstruct(
    path: str | Path,
    out: str | Path,
    config: Config | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    resume: bool = True,
) -> Reconstruction:
    """Turn a clip of people in close contact into SMPL-X motion and meshes, written to the folder `out`.

    path: a video file or a folder of images. config: see closemesh.config.schema; the preset `balanced` when None.
    With `resume`, what an earlier run into `out` made from the same things is used again.
    Raises a ClosemeshError (InputError, ModelFileError, OutputError) when something is wrong with the files.
    """
    with open_run(Path(path), Path(out), config or Config(), device, progress or NullProgress(), resume) as run:
        observations = observe_stage(run)
        camera, initial, spread = initialise_stage(run, observations)
        told = describe(run.clip, observations, initial, run.config.language, run.out, run.told)
        told = calibrate_confidence(told, initial, spread, run.body, run.clip.times, camera.up)
        refined = refine_stage(run, observations, camera, initial, spread, told)
        camera, optimised, appearance = optimise_stage(run, observations, camera, refined, told)
        motions = {"initial": initial, "refined": refined, "optimised": optimised}
        contacts = contact_stages(run, motions)
        return write_stage(run, observations, camera, motions, contacts, appearance)


def observe_stage(run: RunContext) -> Observations:
    """Who is where in the images."""
    chosen = {file.name: file.sha256 for file in selected_weights(run.config)}
    made_from = {
        **code_fingerprint("observe"),
        "chosen": [chosen, run.device.type] if chosen else [],  # What comes along runs on the CPU everywhere.
        "clip": clip_fingerprint(run.clip),
        "config": to_dict(run.config.observe),
    }
    (observations,) = run.store.get_or_run(
        "observe",
        made_from,
        (Observations,),
        lambda folder, tell: (observe(run.clip, run.config.observe, folder / _MASKS, tell, run.device),),
    )
    return observations


def initialise_stage(run: RunContext, observations: Observations) -> tuple[Camera, BodyMotion, PoseUncertainty]:
    """The camera, a first motion of each person alone, and how sure it is."""
    made_from = {
        **code_fingerprint("initialise"),
        "observe": run.store.key("observe"),
        "body": run.body.sha256,
        "sidecar": sidecar_identity(run.clip.path),
        "config": to_dict(run.config.initialise),
        "seed": run.config.seed,
        "device": run.device.type,
    }
    if run.config.initialise.init:
        made_from["init"] = import_fingerprint(Path(run.config.initialise.init))
    camera, motion, spread = run.store.get_or_run(
        "initialise",
        made_from,
        (Camera, BodyMotion, PoseUncertainty),
        lambda _, tell: _first_motion(run, observations, tell),
    )
    return camera, motion, spread


def _first_motion(
    run: RunContext, observations: Observations, tell: Progress
) -> tuple[Camera, BodyMotion, PoseUncertainty]:
    """Our own, or that of another tool."""
    config = run.config.initialise
    made_of = (run.clip, observations, run.body, config, run.device, tell)
    return import_initial_motion(Path(config.init), *made_of) if config.init else initialise(*made_of)


def refine_stage(
    run: RunContext,
    observations: Observations,
    camera: Camera,
    motion: BodyMotion,
    spread: PoseUncertainty,
    told: tuple[TimedStatement, ...] = (),
) -> BodyMotion:
    """Pairs that come close, by what is known of how people touch, and by what is told of them."""
    made_from = {
        **code_fingerprint("refine"),
        "initialise": run.store.key("initialise"),
        "config": to_dict(run.config.refine),
        **({"language": [run.config.language.statements, run.config.language.alignment]} if told else {}),
        **_said(told),
    }
    (refined,) = run.store.get_or_run(
        "refine",
        made_from,
        (BodyMotion,),
        lambda _, tell: (
            refine(
                ObservedClip(run.clip, observations, camera),
                *(motion, spread, run.body, run.config.refine, run.device, tell, told, run.config.language),
            ),
        ),
    )
    return refined


def optimise_stage(
    run: RunContext,
    observations: Observations,
    camera: Camera,
    motion: BodyMotion,
    told: tuple[TimedStatement, ...] = (),
) -> tuple[Camera, BodyMotion, AppearanceSummary]:
    """All people together, by everything that is known of them."""
    made_from = {
        **code_fingerprint("optimise"),
        "refine": run.store.key("refine"),
        "config": to_dict(run.config.optimise),
        "seed": run.config.seed,
        **_said(told),
    }

    def work(_: Path, tell: Progress) -> tuple[Camera, BodyMotion, AppearanceSummary]:
        observed, config = ObservedClip(run.clip, observations, camera), run.config.optimise
        views = collect_views(observed, _mask_folder(run), motion, config.appearance, run.config.seed)
        return optimise(observed, motion, run.body, config, run.device, tell, views, told)

    camera, motion, appearance = run.store.get_or_run(
        "optimise", made_from, (Camera, BodyMotion, AppearanceSummary), work
    )
    return camera, motion, appearance


def _said(told: tuple[TimedStatement, ...]) -> dict[str, list[str]]:
    return {"told": [repr(one) for one in told]} if told else {}


def contact_stages(run: RunContext, motions: Mapping[str, BodyMotion]) -> dict[str, tuple[PairContacts, ...]]:
    """Who touches whom, where and how deep, for every motion."""
    return {name: _measure(run, name, motion) for name, motion in motions.items()}


def _measure(run: RunContext, name: str, motion: BodyMotion) -> tuple[PairContacts, ...]:
    made_from = {**code_fingerprint("contact"), "motion": run.store.key(STAGE_OF[name])}
    return run.store.get_or_run(
        f"contact_{name}", made_from, (PairContacts,), lambda _, tell: measure_contacts(motion, run.body, tell)
    )


def write_stage(
    run: RunContext,
    observations: Observations,
    camera: Camera,
    motions: Mapping[str, BodyMotion],
    contacts: Mapping[str, tuple[PairContacts, ...]],
    appearance: AppearanceSummary | None = None,
) -> Reconstruction:
    """The files of the result."""
    reconstruction = Reconstruction(
        run.clip,
        camera,
        observations,
        motions,
        contacts,
        appearance=None if appearance is None or math.isnan(appearance.psnr) else appearance,
        weight_files=(*weight_files(run.body), *selected_weights(run.config)),
        config=to_dict(run.config),
        notes=tuple(run.told.notes),
    )
    save_record(run.store.folder / CLIP_FILE, run.clip)
    if masks := _mask_folder(run):
        with atomic_folder(run.out / _MASKS) as part:
            shutil.copytree(masks, part, dirs_exist_ok=True)
    write_results(run.out, reconstruction, run.body, run.store.reports, read_frames(run.clip), run.told)
    return reconstruction


def _mask_folder(run: RunContext) -> Path | None:
    """Of the label images, when the first stage made them."""
    folder = run.store.folder / "observe" / _MASKS
    return folder if folder.is_dir() else None
