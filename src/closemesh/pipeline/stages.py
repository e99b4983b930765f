"""The stages from a clip to motion and contacts: what each reads, runs and adds, and the loop that runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from closemesh import __version__
from closemesh.config.loading import to_dict
from closemesh.contact.measure import measure_contacts
from closemesh.core.device import fault_of, release_memory, return_freed_memory
from closemesh.core.progress import Progress
from closemesh.importers.initialize import import_initial_motion
from closemesh.importers.registry import import_fingerprint
from closemesh.initialization.initialize import initialise
from closemesh.interaction_prior.refine import refine, refined_people
from closemesh.optimization.appearance import collect_views
from closemesh.optimization.optimize import KnownPeople, optimise
from closemesh.perception.observe import observe
from closemesh.pipeline.cache import STAGE_OF_MOTION, Records, fingerprint
from closemesh.pipeline.context import MASKS, RunContext
from closemesh.pipeline.fingerprints import (
    bundled_weights,
    clip_fingerprint,
    intrinsics_fingerprint,
    selected_weights,
)
from closemesh.pipeline.repair_stage import Repair
from closemesh.pipeline.state import Attempt, PipelineState, Stage, attempts_after, final_error, require
from closemesh.repair.apply import contact_statements
from closemesh.repair.edits import changes_observations
from closemesh.structures import (
    AppearanceSummary,
    BodyMotion,
    Camera,
    Observations,
    PairContacts,
    PoseUncertainty,
    check_finite,
)
from closemesh.text.annotate import describe
from closemesh.text.calibration import calibrate_confidence
from closemesh.text.statements import TimedStatement


@dataclass(frozen=True)
class Observe:
    """Finds and tracks people, estimates their keypoints, and writes masks."""

    name = "observe"
    version = 9
    motion = None
    reads = ()
    outputs = (Observations,)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        """Selected weights with their device, the clip, and the settings."""
        selected = {file.name: file.sha256 for file in selected_weights(ctx.config)}
        return {
            "selected": [selected, ctx.device.type] if selected else [],  # Bundled models run on the CPU everywhere.
            "clip": clip_fingerprint(ctx.clip),
            "config": to_dict(ctx.config.observe),
        }

    def run(self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress) -> tuple[Observations]:
        """The observations; label images are written below `work_dir`. Raises InputError when no people are found."""
        return (observe(ctx.clip, ctx.config.observe, work_dir / MASKS, progress, ctx.device),)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        """Adds the observations."""
        return replace(state, observations=records[0])


@dataclass(frozen=True)
class Initialise:
    """Estimates the camera and a first motion of each person alone, or takes the motion of another tool."""

    name = "initialise"
    version = 13
    motion = "initial"
    reads = ("observe",)
    outputs = (Camera, BodyMotion, PoseUncertainty)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        """The body, the camera file, the settings, seed and device, and the imported result."""
        init = ctx.config.initialise.init
        return {
            "body": ctx.body.sha256,
            "intrinsics": intrinsics_fingerprint(ctx.clip.path, ctx.config.initialise.camera),
            "config": to_dict(ctx.config.initialise),
            "seed": ctx.config.seed,
            "device": ctx.device.type,
            "init": import_fingerprint(Path(init)) if init else None,
            **{name: key for name, key in state.keys.items() if name == "repair"},
        }

    def run(
        self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress
    ) -> tuple[Camera, BodyMotion, PoseUncertainty]:
        """The camera, the motion `initial`, its uncertainty. Raises InputError when an imported result does not fit."""
        config, observations = ctx.config.initialise, require(state.observations, "observe")
        if config.init:
            return import_initial_motion(
                Path(config.init), ctx.clip, observations, ctx.body, config, ctx.device, progress, ctx.labels()
            )
        return initialise(ctx.clip, observations, ctx.body, config, ctx.device, progress, ctx.labels())

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        """Adds the camera, the uncertainty and the motion."""
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
    observations, motion = require(state.observations, "observe"), state.motions["initial"]
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
        """The statements themselves, as the state holds them after the stage."""
        return {"statements": [repr(statement) for statement in state.text]}

    def run(
        self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress
    ) -> tuple[TimedStatement, ...]:
        """The statements with calibrated confidence. Raises InputError when a descriptions file is wrong."""
        motion, uncertainty = state.motions["initial"], require(state.uncertainty, "initialise")
        statements = self.annotator(ctx, state, progress)
        up_cam = state.observed(ctx.clip).camera.up
        calibrated = calibrate_confidence(statements, motion, uncertainty, ctx.body, ctx.clip.times, up_cam)
        return *calibrated, *contact_statements(ctx.edits.edits, ctx.clip.times)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        """Adds the statements."""
        return replace(state, text=records)


@dataclass(frozen=True)
class Refine:
    """Refines pairs that come close by the interaction prior and by statements."""

    name = "refine"
    version = 10
    motion = "refined"
    reads = ("initialise", "describe")
    outputs = (BodyMotion,)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        """The settings, and how statements act if there are any."""
        language = ctx.config.language
        terms = [language.statements, language.alignment] if state.text else None
        return {"config": to_dict(ctx.config.refine), "text_terms": terms}

    def run(self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress) -> tuple[BodyMotion]:
        """The motion `refined`."""
        observed, uncertainty = state.observed(ctx.clip), require(state.uncertainty, "initialise")
        initial, text = state.motions["initial"], state.text
        refined = refine(observed, initial, uncertainty, ctx.body, ctx.config, ctx.device, progress, text)
        return (refined,)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        """Adds the motion."""
        return state.with_motion(self.motion, records[0])


@dataclass(frozen=True)
class Optimise:
    """Fits all people together, on one floor, by keypoints, physics, appearance and statements."""

    name = "optimise"
    version = 16
    motion = "optimised"
    reads = ("refine",)
    outputs = (Camera, BodyMotion, AppearanceSummary)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        """The settings, the seed, and the statements that act here."""
        statements = [repr(statement) for statement in self._text(ctx, state)]
        return {"config": to_dict(ctx.config.optimise), "seed": ctx.config.seed, "statements": statements}

    def run(
        self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress
    ) -> tuple[Camera, BodyMotion, AppearanceSummary]:
        """The camera above its floor, the motion `optimised`, and the summary of the appearance step."""
        observed, motion, config = state.observed(ctx.clip), state.motions["refined"], ctx.config.optimise
        views = collect_views(observed, ctx.masks, motion, config.appearance, ctx.config.seed)
        known = KnownPeople(self._text(ctx, state), refined_people(state.motions["initial"], motion))
        return optimise(observed, motion, ctx.body, config, ctx.device, progress, views, known)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        """Replaces the camera, and adds the motion and the summary."""
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
    version = 3
    motion = None
    outputs = (PairContacts,)

    @property
    def name(self) -> str:
        return f"contact_{self.measured}"

    @property
    def reads(self) -> tuple[str, ...]:
        return (STAGE_OF_MOTION[self.measured],)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        """Weights of the watertight body."""
        return {"closed_body": bundled_weights("contact")}

    def run(
        self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress
    ) -> tuple[PairContacts, ...]:
        """The contacts of each pair."""
        return measure_contacts(state.motions[self.measured], ctx.body, progress)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        """Adds the contacts of the motion."""
        return replace(state, contacts={**state.contacts, self.measured: records})


MOTION_STAGES: tuple[Stage, ...] = (Initialise(), Describe(), Refine(), Optimise())
"""From observations to the motions `initial`, `refined` and `optimised`."""
STAGES: tuple[Stage, ...] = (Observe(), *MOTION_STAGES, *map(MeasureContact, STAGE_OF_MOTION))
"""All stages of `reconstruct`, in order."""


def stages_of(ctx: RunContext) -> tuple[Stage, ...]:
    """The stages of a run, with the stage `repair` after `observe` where the user has edited observations."""
    observe, *others = STAGES
    return (observe, Repair(), *others) if changes_observations(ctx.edits) else STAGES


def observation_key(ctx: RunContext) -> str:
    """The cache key of the observations: of the stage `observe`, run as it should."""
    return fingerprint(_all_inputs(Attempt(ctx), PipelineState(), Observe()))


def run_stages(
    ctx: RunContext, state: PipelineState, stages: Sequence[Stage] = STAGES
) -> Iterator[tuple[Stage, PipelineState]]:
    """Each stage with the state after it, in order; results come from `ctx.cache` where it has them.

    Every stage starts from the same random state. So a resumed run gives the same result as an uninterrupted one.
    Where `ctx` has a folder for the result, a stage that the machine fails is run in another way, with a note; see
    `attempts_after`. Raises ClosemeshError.
    """
    for stage in stages:
        ctx, state = _run_stage(ctx, state, stage)
        return_freed_memory()  # Otherwise each stage begins with what the one before it had at most.
        yield stage, state


def _run_stage(ctx: RunContext, state: PipelineState, stage: Stage) -> tuple[RunContext, PipelineState]:
    """The context of the next stage, which is on the CPU once the GPU has failed, and the state after this one."""
    attempts, first, on_gpu = [Attempt(ctx)], None, ctx.device.type != "cpu"
    while attempts:
        attempt = attempts.pop(0)
        try:
            return ctx, _run_attempt(attempt, state, stage)
        except Exception as error:
            fault = fault_of(error, on_gpu)
            if fault is None or ctx.out is None:  # Benchmarks measure the stages, not what replaces them.
                raise
        if first is None:
            first, attempts = fault, attempts_after(fault, ctx, state, stage.name)
        if fault.kind == "device":
            ctx = replace(ctx, device=torch.device("cpu"))
        release_memory()
    assert first is not None
    raise final_error(first, stage.name)


def _run_attempt(attempt: Attempt, state: PipelineState, stage: Stage) -> PipelineState:
    """The state after the stage. Raises NonFiniteError when the result has a number that is NaN or infinite."""
    ctx = attempt.ctx

    def run(work_dir: Path, progress: Progress) -> Records:
        if attempt.note:
            progress.note(attempt.note)
        if attempt.records is not None:
            return attempt.records
        with torch.random.fork_rng(devices=[] if ctx.device.type == "cpu" else None):  # The GPU may be lost.
            torch.manual_seed(ctx.config.seed)
            records = stage.run(ctx, state, work_dir, progress)
        if ctx.out is not None and stage.outputs:
            check_finite("in its result", records)
        return records

    if stage.outputs:
        inputs = _all_inputs(attempt, state, stage)
        after = stage.apply(state, ctx.cache.get_or_run(stage.name, inputs, stage.outputs, run))
    else:
        after = stage.apply(state, run(ctx.cache.folder / stage.name, ctx.progress))
        inputs = _all_inputs(attempt, after, stage)
    return replace(after, keys={**state.keys, stage.name: fingerprint(inputs)})


def _all_inputs(attempt: Attempt, state: PipelineState, stage: Stage) -> dict[str, Any]:
    ctx = attempt.ctx
    return {
        **({"fallback": attempt.fallback} if attempt.fallback else {}),
        "closemesh": __version__,
        "stage_version": stage.version,
        "weights": bundled_weights(stage.name),
        **{name: state.keys.get(name) for name in stage.reads},
        **stage.fingerprint_inputs(ctx, state),
    }
