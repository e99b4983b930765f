"""The stages from a clip to motion and contacts: what each reads, runs and adds, and the loop that runs them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from closemesh import __version__
from closemesh.body.model import BodyModel
from closemesh.config.schema import Config, to_dict
from closemesh.contact.measure import measure_contacts
from closemesh.core.progress import Progress
from closemesh.importers.initialize import import_initial_motion
from closemesh.importers.registry import import_fingerprint
from closemesh.initialization.initialize import initialise, intrinsics_path
from closemesh.interaction_prior.refine import refine
from closemesh.optimization.appearance import collect_views
from closemesh.optimization.optimize import optimise
from closemesh.perception.model_selection import select_models
from closemesh.perception.observe import observe
from closemesh.pipeline.cache import STAGE_OF_MOTION, Records, fingerprint
from closemesh.pipeline.context import MASKS, RunContext
from closemesh.structures import (
    AppearanceSummary,
    BodyMotion,
    Camera,
    Clip,
    Observations,
    ObservedClip,
    PairContacts,
    PoseUncertainty,
    WeightFile,
)
from closemesh.text.annotate import describe
from closemesh.text.calibration import calibrate_confidence
from closemesh.text.statements import TimedStatement
from closemesh.weights.locate import find_model, sha256_of
from closemesh.weights.registry import BUNDLED_FILES, SMPLX_BODY

Value = TypeVar("Value")


@dataclass(frozen=True)
class PipelineState:
    """What the stages have added so far. A caller with own observations fills in the first fields itself."""

    observations: Observations | None = None
    camera: Camera | None = None
    uncertainty: PoseUncertainty | None = None
    """Of the motion `initial`."""
    text: tuple[TimedStatement, ...] = ()
    """Statements about the people, with calibrated confidence."""
    motions: Mapping[str, BodyMotion] = field(default_factory=dict)
    """By name, in the order of the stages: `initial`, `refined`, `optimised`. Camera frame."""
    contacts: Mapping[str, tuple[PairContacts, ...]] = field(default_factory=dict)
    """By the name of the motion."""
    appearance: AppearanceSummary | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    """Name of a stage -> fingerprint of its inputs."""

    def observed(self, clip: Clip) -> ObservedClip:
        """The clip with observations and camera. Raises ValueError before the stage `initialise`."""
        return ObservedClip(clip, _present(self.observations, "observe"), _present(self.camera, "initialise"))

    def with_motion(self, name: str, motion: BodyMotion) -> PipelineState:
        """The same state with one more motion."""
        return replace(self, motions={**self.motions, name: motion})


class Stage(Protocol):
    """One step of the pipeline. Raise `version` when a stage gives another result from the same inputs."""

    @property
    def name(self) -> str:
        """Name of the stage, of its folder and of its section of the configuration."""
        ...

    @property
    def version(self) -> int: ...

    @property
    def motion(self) -> str | None:
        """Name of the motion that the stage adds, if it adds one."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """Stages whose results the stage reads: their keys enter its fingerprint."""
        ...

    @property
    def outputs(self) -> tuple[type, ...]:
        """Types of the records; empty for a stage whose result is not cached. Its key is then that of its result."""
        ...

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        """Everything else that decides the result, as JSON values."""
        ...

    def run(self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress) -> Records:
        """The records of the stage; `work_dir` is its folder for further files."""
        ...

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        """The state with these records in it."""
        ...


@dataclass(frozen=True)
class Observe:
    """Finds and tracks people, estimates their keypoints, and writes masks."""

    name = "observe"
    version = 3
    motion = None
    reads = ()
    outputs = (Observations,)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        selected = {file.name: file.sha256 for file in selected_weights(ctx.config)}
        return {
            "selected": [selected, ctx.device.type] if selected else [],  # Bundled models run on the CPU everywhere.
            "clip": clip_fingerprint(ctx.clip),
            "config": to_dict(ctx.config.observe),
        }

    def run(self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress) -> tuple[Observations]:
        return (observe(ctx.clip, ctx.config.observe, work_dir / MASKS, progress, ctx.device),)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        return replace(state, observations=records[0])


@dataclass(frozen=True)
class Initialise:
    """Estimates the camera and a first motion of each person alone, or takes the motion of another tool."""

    name = "initialise"
    version = 4
    motion = "initial"
    reads = ("observe",)
    outputs = (Camera, BodyMotion, PoseUncertainty)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        init = ctx.config.initialise.init
        return {
            "body": ctx.body.sha256,
            "intrinsics": intrinsics_fingerprint(ctx.clip.path),
            "config": to_dict(ctx.config.initialise),
            "seed": ctx.config.seed,
            "device": ctx.device.type,
            "init": import_fingerprint(Path(init)) if init else None,
        }

    def run(
        self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress
    ) -> tuple[Camera, BodyMotion, PoseUncertainty]:
        config, observations = ctx.config.initialise, _present(state.observations, "observe")
        if config.init:
            return import_initial_motion(
                Path(config.init), ctx.clip, observations, ctx.body, config, ctx.device, progress
            )
        return initialise(ctx.clip, observations, ctx.body, config, ctx.device, progress)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        camera, motion, uncertainty = records
        return replace(state, camera=camera, uncertainty=uncertainty).with_motion(self.motion, motion)


Annotator = Callable[[RunContext, PipelineState, Progress], Sequence[TimedStatement]]
"""Makes statements about the people of a clip whose first motion is known."""


def annotate_as_configured(ctx: RunContext, state: PipelineState, progress: Progress) -> Sequence[TimedStatement]:
    """Statements of the descriptions file or of the vision-language model that the configuration names, if any.

    Raises InputError when the file is wrong or names people who are not in the clip.
    """
    if not (ctx.config.language.descriptions or ctx.config.language.describe_with):
        return ()
    observations, motion = _present(state.observations, "observe"), state.motions["initial"]
    return describe(ctx.clip, observations, motion, ctx.config.language, ctx.out or ctx.cache.folder, progress)


@dataclass(frozen=True)
class Describe:
    """Collects statements about the people and calibrates their confidence.

    descriptions.json in the result folder holds a model's answers. So the stage itself is not cached.
    """

    annotator: Annotator = annotate_as_configured
    name = "describe"
    version = 1
    motion = None
    reads = ("initialise",)
    outputs = ()

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        return {"statements": [repr(statement) for statement in state.text]}

    def run(
        self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress
    ) -> tuple[TimedStatement, ...]:
        motion, uncertainty = state.motions["initial"], _present(state.uncertainty, "initialise")
        statements = self.annotator(ctx, state, progress)
        up_cam = state.observed(ctx.clip).camera.up
        return calibrate_confidence(statements, motion, uncertainty, ctx.body, ctx.clip.times, up_cam)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        return replace(state, text=records)


@dataclass(frozen=True)
class Refine:
    """Refines pairs that come close by the interaction prior and by statements."""

    name = "refine"
    version = 6
    motion = "refined"
    reads = ("initialise", "describe")
    outputs = (BodyMotion,)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        language = ctx.config.language
        terms = [language.statements, language.alignment] if state.text else None
        return {"config": to_dict(ctx.config.refine), "text_terms": terms}

    def run(self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress) -> tuple[BodyMotion]:
        observed, uncertainty = state.observed(ctx.clip), _present(state.uncertainty, "initialise")
        refined = refine(
            observed,
            state.motions["initial"],
            uncertainty,
            ctx.body,
            ctx.config,
            ctx.device,
            progress,
            state.text,
        )
        return (refined,)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        return state.with_motion(self.motion, records[0])


@dataclass(frozen=True)
class Optimise:
    """Fits all people together, on one floor, by keypoints, physics, appearance and statements."""

    name = "optimise"
    version = 9
    motion = "optimised"
    reads = ("refine",)
    outputs = (Camera, BodyMotion, AppearanceSummary)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        statements = [repr(statement) for statement in self._text(ctx, state)]
        return {"config": to_dict(ctx.config.optimise), "seed": ctx.config.seed, "statements": statements}

    def run(
        self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress
    ) -> tuple[Camera, BodyMotion, AppearanceSummary]:
        observed, motion, config = state.observed(ctx.clip), state.motions["refined"], ctx.config.optimise
        views = collect_views(observed, ctx.masks, motion, config.appearance, ctx.config.seed)
        return optimise(observed, motion, ctx.body, config, ctx.device, progress, views, self._text(ctx, state))

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        camera, motion, appearance = records
        return replace(state, camera=camera, appearance=appearance).with_motion(self.motion, motion)

    def _text(self, ctx: RunContext, state: PipelineState) -> tuple[TimedStatement, ...]:
        """Here each statement acts by itself; `language.statements = false` leaves them out here too."""
        return state.text if ctx.config.language.statements else ()


@dataclass(frozen=True)
class MeasureContact:
    """Measures contact and penetration between the meshes of one motion."""

    measured: str
    """Name of the motion."""
    version = 2
    motion = None
    outputs = (PairContacts,)

    @property
    def name(self) -> str:
        return f"contact_{self.measured}"

    @property
    def reads(self) -> tuple[str, ...]:
        return (STAGE_OF_MOTION[self.measured],)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        return {"closed_body": _bundled_weights("contact")}

    def run(
        self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress
    ) -> tuple[PairContacts, ...]:
        return measure_contacts(state.motions[self.measured], ctx.body, progress)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        return replace(state, contacts={**state.contacts, self.measured: records})


MOTION_STAGES: tuple[Stage, ...] = (Initialise(), Describe(), Refine(), Optimise())
"""From observations to the motions `initial`, `refined` and `optimised`."""
STAGES: tuple[Stage, ...] = (Observe(), *MOTION_STAGES, *map(MeasureContact, STAGE_OF_MOTION))
"""All stages of `reconstruct`, in order."""


def run_stages(
    ctx: RunContext, state: PipelineState, stages: Sequence[Stage] = STAGES
) -> Iterator[tuple[Stage, PipelineState]]:
    """Each stage with the state after it, in order; results come from `ctx.cache` where it has them.

    Every stage starts from the same random state. So a resumed run gives the same result as an uninterrupted one.
    Raises ClosemeshError.
    """
    for stage in stages:
        state = _run_stage(ctx, state, stage)
        yield stage, state


def _run_stage(ctx: RunContext, state: PipelineState, stage: Stage) -> PipelineState:
    def run(work_dir: Path, progress: Progress) -> Records:
        with torch.random.fork_rng():
            torch.manual_seed(ctx.config.seed)
            return stage.run(ctx, state, work_dir, progress)

    if stage.outputs:
        inputs = _all_inputs(ctx, state, stage)
        after = stage.apply(state, ctx.cache.get_or_run(stage.name, inputs, stage.outputs, run))
    else:
        after = stage.apply(state, run(ctx.cache.folder / stage.name, ctx.progress))
        inputs = _all_inputs(ctx, after, stage)
    return replace(after, keys={**state.keys, stage.name: fingerprint(inputs)})


def _all_inputs(ctx: RunContext, state: PipelineState, stage: Stage) -> dict[str, Any]:
    return {
        "closemesh": __version__,
        "stage_version": stage.version,
        "weights": _bundled_weights(stage.name),
        **{name: state.keys.get(name) for name in stage.reads},
        **stage.fingerprint_inputs(ctx, state),
    }


def _bundled_weights(stage: str) -> dict[str, str]:
    """Name -> SHA-256 of the bundled files that a stage reads."""
    return {file.name: _sha256(find_model(file.name)) for file in BUNDLED_FILES if file.stage == stage}


def _present(value: Value | None, stage: str) -> Value:
    """Raises ValueError when the value is missing that `stage` makes."""
    if value is None:
        raise ValueError(f"run the stage {stage} first, or put its result into the PipelineState")
    return value


def clip_fingerprint(clip: Clip) -> dict[str, Any]:
    """The clip's file and the frames that are processed, as JSON values."""
    frames = hashlib.sha256(clip.frame_indices.tobytes() + clip.times.tobytes()).hexdigest()
    return {"sha256": clip.sha256, "frames": frames, "size": clip.size, "focal": clip.focal_px}


def intrinsics_fingerprint(clip: Path) -> str | None:
    """SHA-256 of the intrinsics file beside the clip; None without one."""
    path = intrinsics_path(clip)
    return sha256_of(path) if path.is_file() else None


def selected_weights(config: Config) -> tuple[WeightFile, ...]:
    """The downloaded files that the stage `observe` uses. Raises ModelFileError when a file named there is missing."""
    files = select_models(config.observe).files()
    return tuple(WeightFile(name, _sha256(path), licence) for name, (path, licence) in files.items())


def weight_files(body: BodyModel) -> tuple[WeightFile, ...]:
    """The bundled files, and the file of the body if it is not bundled."""
    bundled = tuple(WeightFile(k.name, _sha256(find_model(k.name)), k.licence) for k in BUNDLED_FILES)
    return bundled if body.is_bundled else (*bundled, WeightFile(body.name, body.sha256, SMPLX_BODY.licence))


def _sha256(path: Path) -> str:
    """SHA-256 of a file, read again only when it has changed: it may have a gigabyte."""
    return _sha256_at(path, path.stat().st_mtime_ns)


@functools.lru_cache
def _sha256_at(path: Path, modified_ns: int) -> str:
    return sha256_of(path)
