"""PipelineState, what the stages have added so far, the protocol of a stage, and the ways to run one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from closemesh.config.schema import Config
from closemesh.core.device import Fault
from closemesh.core.errors import ClosemeshError
from closemesh.core.progress import Progress
from closemesh.pipeline.cache import Records
from closemesh.pipeline.context import RunContext
from closemesh.structures import (
    AppearanceSummary,
    BodyMotion,
    Camera,
    Clip,
    Observations,
    ObservedClip,
    PairContacts,
    PoseUncertainty,
)
from closemesh.text.statements import TimedStatement

Value = TypeVar("Value")

MIN_WINDOW = 16  # Frames; shorter windows of a fit show too little motion.
MIN_REFINED = 40  # Frames; intervals of the interaction prior fade over 12 frames at both ends.

_CPU = torch.device("cpu")


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
        return ObservedClip(clip, require(self.observations, "observe"), require(self.camera, "initialise"))

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
    def version(self) -> int:
        """Version of the method; part of the fingerprint."""
        ...

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


def require(value: Value | None, stage: str) -> Value:
    """The value, which the stage of this name makes. Raises ValueError when it is None."""
    if value is None:
        raise ValueError(f"run the stage {stage} first, or put its result into the PipelineState")
    return value


@dataclass(frozen=True)
class Attempt:
    """One way to run a stage."""

    ctx: RunContext
    fallback: str | None = None
    """Part of the fingerprint of the result, so that a later run does not take it for that of the stage; else None."""
    note: str = ""
    records: Records | None = None
    """The result without running the stage."""


def attempts_after(fault: Fault, ctx: RunContext, state: PipelineState, stage: str) -> list[Attempt]:
    """Return what is tried after a fault of a stage, the result nearest to that of the stage first."""
    attempts = []
    if fault.kind == "memory":
        for config, frames in _smaller(ctx.config, stage, len(ctx.clip)):
            note = f"{stage}: {fault.reason}; computed again with {frames} frames at once"
            attempts.append(Attempt(replace(ctx, config=config), f"{frames} frames at once", note))
    if ctx.device.type != "cpu":
        note = f"{stage}: {fault.reason}; computed again on the CPU"
        attempts.append(Attempt(replace(ctx, device=_CPU), "cpu", note))
    if stage in _LEFT_OUT:
        records, consequence = _LEFT_OUT[stage]
        note = f"{stage}: {fault.reason}; the stage is left out, {consequence}; the same command tries it again"
        attempts.append(Attempt(ctx, "left out", note, records(state)))
    return attempts


def final_error(fault: Fault, stage: str) -> ClosemeshError:
    """Return the error of a stage for which nothing else can be tried."""
    advice = {
        "memory": "give fewer frames with --start and --end, or close other programs",
        "device": "give --device cpu",
        "numbers": "check the clip and its focal length, or give another --seed",
    }
    return ClosemeshError(f"{stage}: {fault.reason}; {advice[fault.kind]}")


def _smaller(config: Config, stage: str, num_frames: int) -> Iterator[tuple[Config, int]]:
    """The configuration with half the frames at once, and half of that, down to the least; with the number."""
    if stage == "refine":
        frames = min(config.refine.max_frames, num_frames) // 2
        while frames >= MIN_REFINED:
            yield replace(config, refine=replace(config.refine, max_frames=frames)), frames
            frames //= 2
    elif stage in ("initialise", "optimise"):
        part = config.initialise if stage == "initialise" else config.optimise
        window = min(part.window, num_frames) // 2
        while window >= MIN_WINDOW:
            smaller = replace(part, window=window, overlap=min(part.overlap, window // 4))
            yield replace(config, **{stage: smaller}), window
            window //= 2


def _unoptimized(state: PipelineState) -> Records:
    return require(state.camera, "initialise"), state.motions["refined"], AppearanceSummary(float("nan"))


_LEFT_OUT: dict[str, tuple[Callable[[PipelineState], Records], str]] = {
    "describe": (lambda state: (), "so there are no statements"),
    "refine": (lambda state: (state.motions["initial"],), "so pairs are not refined"),
    "optimise": (_unoptimized, "so the motion is the refined one, without contact and floor"),
}
"""Stage -> its records when it is left out, and what that means."""
