"""Stage `repair`: the edits of a user, applied to what stage `observe` found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from closemesh.core.progress import Progress
from closemesh.perception.segmentation.label_images import read_labels, write_labels
from closemesh.pipeline.cache import Records
from closemesh.pipeline.context import MASKS, RunContext
from closemesh.pipeline.state import PipelineState, require
from closemesh.repair.apply import EditedTracks, edit_labels, edit_observations, follow_edits
from closemesh.repair.edits import Touching
from closemesh.structures import Observations


@dataclass(frozen=True)
class Repair:
    """Applies the edits of the user to observations and masks; a run without such edits has no such stage."""

    name = "repair"
    version = 1
    motion = None
    reads = ("observe",)
    outputs = (Observations,)

    def fingerprint_inputs(self, ctx: RunContext, state: PipelineState) -> Mapping[str, Any]:
        """The edits without contacts, which are given to later stages."""
        return {"edits": [str(edit) for edit in ctx.edits.edits if not isinstance(edit, Touching)]}

    def run(self, ctx: RunContext, state: PipelineState, work_dir: Path, progress: Progress) -> tuple[Observations]:
        """The observations of the people after the edits; raises InputError when an edit does not fit the clip."""
        observations = require(state.observations, "observe")
        tracks = edited_tracks(ctx, observations)
        masks = ctx.cache.folder / "observe" / MASKS
        for frame in range(len(ctx.clip)) if masks.is_dir() else ():
            labels = read_labels(masks / f"{frame:06d}.png")
            write_labels(work_dir / MASKS / f"{frame:06d}.png", edit_labels(labels, tracks.sources[frame]))
        return (edit_observations(observations, tracks),)

    def apply(self, state: PipelineState, records: Records) -> PipelineState:
        """Replaces the observations."""
        return replace(state, observations=records[0])


def edited_tracks(ctx: RunContext, observations: Observations) -> EditedTracks:
    """The tracks after the edits of a run; observations: of stage `observe`. Raises InputError for a wrong edit."""
    return follow_edits(observations.detected, ctx.edits.edits, ctx.clip.size)
