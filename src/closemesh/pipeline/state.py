"""PipelineState, what the stages have added so far, and the protocol of a stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

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
