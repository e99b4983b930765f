"""What does not change from stage to stage: the clip, the body, the settings, and the folder of the result."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from closemesh.body.loading import load_body
from closemesh.body.model import BodyModel
from closemesh.config.schema import ClipConfig, Config
from closemesh.core.device import choose_device
from closemesh.core.progress import NullProgress, Progress, RecordingProgress
from closemesh.importers.registry import read_imported_result
from closemesh.pipeline.cache import StageStore, open_store
from closemesh.structures import Clip
from closemesh.text.annotate import check_language
from closemesh.video import open_clip


@dataclass(frozen=True)
class RunContext:
    """What does not change from stage to stage."""

    clip: Clip
    body: BodyModel
    config: Config
    device: torch.device
    out: Path
    store: StageStore
    told: RecordingProgress


@contextmanager
def open_run(
    path: Path,
    out: Path,
    config: Config,
    device: str | None = None,
    progress: Progress | None = None,
    resume: bool = True,
) -> Iterator[RunContext]:
    """Everything that the stages need, with `out` locked for this process. Raises ClosemeshError."""
    told = RecordingProgress(progress or NullProgress())
    place = choose_device(device)
    clip = _open_clip(path, config.clip, told)
    check_language(config.language, clip.times)
    body = load_body(config.body_model)
    if config.initialise.init:
        read_imported_result(Path(config.initialise.init), clip)  # What is wrong with it is told before the long work.
    with open_store(out, seed=config.seed, resume=resume, progress=told) as store:
        yield RunContext(clip, body, config, place, out, store, told)


def _open_clip(path: Path, config: ClipConfig, progress: Progress) -> Clip:
    """The clip; what the reader warns of becomes a note."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clip = open_clip(path, config)
    for warning in caught:
        progress.note(str(warning.message))
    return clip
