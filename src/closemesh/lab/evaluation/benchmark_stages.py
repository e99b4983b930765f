"""The stages of the pipeline that the benchmark scores, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from closemesh.body.model import BodyModel
from closemesh.config.schema import Config
from closemesh.core.progress import Progress
from closemesh.initialization.initialize import initialise
from closemesh.interaction_prior.refine import refine
from closemesh.optimization.appearance import collect_views
from closemesh.optimization.optimize import optimise
from closemesh.structures import BodyMotion, Camera, Clip, Observations, ObservedClip, PoseUncertainty
from closemesh.text.statements import TimedStatement


@dataclass(frozen=True)
class Task:
    """What every stage is given."""

    clip: Clip
    observations: Observations
    body: BodyModel
    config: Config
    device: torch.device
    masks: Path | None = None
    """Folder of label images, where a film was seen."""
    told: tuple[TimedStatement, ...] = ()
    """What is said of the people, as far as it is believed."""


@dataclass(frozen=True)
class Estimate:
    """What a stage found."""

    camera: Camera
    motion: BodyMotion
    spread: PoseUncertainty
    """Of the first motion."""


Stage = Callable[[Task, "Estimate | None", Progress], Estimate]


def _initial(task: Task, before: Estimate | None, progress: Progress) -> Estimate:
    config = task.config.initialise
    return Estimate(*initialise(task.clip, task.observations, task.body, config, task.device, progress))


def _refined(task: Task, before: Estimate | None, progress: Progress) -> Estimate:
    assert before is not None
    given = task.body, task.config.refine, task.device, progress, task.told, task.config.language
    return replace(before, motion=refine(_observed(task, before), before.motion, before.spread, *given))


def _optimised(task: Task, before: Estimate | None, progress: Progress) -> Estimate:
    assert before is not None
    config, observed = task.config.optimise, _observed(task, before)
    views = collect_views(observed, task.masks, before.motion, config.appearance, task.config.seed)
    told = task.told if task.config.language.statements else ()  # Here words act as statements alone.
    camera, motion, _ = optimise(observed, before.motion, task.body, config, task.device, progress, views, told)
    return replace(before, camera=camera, motion=motion)


def _observed(task: Task, before: Estimate) -> ObservedClip:
    return ObservedClip(task.clip, task.observations, before.camera)


STAGES: dict[str, Stage] = {"initial": _initial, "refined": _refined, "optimised": _optimised}
"""By the name of the motion that each makes, which `pipeline.reconstruct` uses too."""


def run_stage(name: str, task: Task, before: Estimate | None, progress: Progress) -> Estimate:
    """The result of one stage from that of the one before. Random numbers begin anew, as they do in the pipeline."""
    with torch.random.fork_rng():
        torch.manual_seed(task.config.seed)
        return STAGES[name](task, before, progress)


def with_known_focal(config: Config, focal: float) -> Config:
    """The configuration with the true focal length, as the papers' protocol has it."""
    return replace(config, initialise=replace(config.initialise, focal=focal))
