"""The stages of the pipeline that the benchmark scores, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from closemesh.body.model import BodyModel
from closemesh.config import Config
from closemesh.initialise.initialise import initialise
from closemesh.optimise.optimise import optimise
from closemesh.progress import Progress
from closemesh.scene import BodyMotion, Camera, Clip, Observations


@dataclass(frozen=True)
class Task:
    """What every stage is given."""

    clip: Clip
    observations: Observations
    body: BodyModel
    config: Config
    device: torch.device


Estimate = tuple[Camera, BodyMotion]
Stage = Callable[[Task, "Estimate | None", Progress], Estimate]


def _initial(task: Task, before: Estimate | None, progress: Progress) -> Estimate:
    return initialise(task.clip, task.observations, task.body, task.config.initialise, task.device, progress)


def _optimised(task: Task, before: Estimate | None, progress: Progress) -> Estimate:
    assert before is not None
    return optimise(task.clip, task.observations, *before, task.body, task.config.optimise, task.device, progress)


STAGES: dict[str, Stage] = {"initial": _initial, "optimised": _optimised}
"""By the name of the motion that each makes, which `pipeline.reconstruct` uses too."""


def run_stage(name: str, task: Task, before: Estimate | None, progress: Progress) -> Estimate:
    """The result of one stage from that of the one before. Random numbers begin anew, as they do in the pipeline."""
    with torch.random.fork_rng():
        torch.manual_seed(task.config.seed)
        return STAGES[name](task, before, progress)


def with_known_focal(config: Config, focal: float) -> Config:
    """The configuration with the true focal length, as the papers' protocol has it."""
    return replace(config, initialise=replace(config.initialise, focal=focal))
