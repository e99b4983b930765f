"""RunContext: what does not change from stage to stage, opened for one clip and one result folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from closemesh.body.loading import load_body
from closemesh.body.model import BodyModel
from closemesh.config.schema import ClipConfig, Config
from closemesh.core.device import choose_device
from closemesh.core.output_folder import RESULT_FILES, OutputFolder, require_separate
from closemesh.core.progress import Progress
from closemesh.fitting.silhouette_shape import Labels
from closemesh.importers.registry import read_imported_result
from closemesh.initialization.intrinsics import find_camera_prior
from closemesh.perception.segmentation.label_images import read_labels
from closemesh.pipeline.cache import STAGES_FOLDER, StageCache, open_disk_cache
from closemesh.repair.edits import EDITS_FILE, SavedEdits, changes_observations, read_edits
from closemesh.structures import Clip
from closemesh.text.annotate import check_language
from closemesh.video import open_clip
from closemesh.video.clip import clip_state, require_unchanged

MASKS = "masks"
"""Folder of label images, below the folder of the stage that makes them and below the result."""


@dataclass(frozen=True)
class RunContext:
    """What does not change from stage to stage."""

    clip: Clip
    body: BodyModel
    config: Config
    device: torch.device
    cache: StageCache
    progress: Progress
    out: Path | None = None
    """Folder of the result; None in benchmarks."""
    masks: Path | None = None
    """Folder of label images, where the first stage writes them; None or a missing folder where there are none."""
    check_clip: Callable[[], None] = lambda: None
    """Raises InputError when the clip has changed since it was opened."""
    edits: SavedEdits = field(default_factory=SavedEdits)
    """Edits of the observations and contacts by the user."""

    def labels(self) -> Callable[[int], Labels] | None:
        """Reads the label image of a processed frame, else raises InputError; None without masks."""
        masks = self.masks
        if masks is None or not masks.is_dir():
            return None
        return lambda frame: read_labels(masks / f"{frame:06d}.png")


@contextmanager
def open_run(
    path: Path,
    out: Path,
    config: Config,
    device: str | None,
    progress: Progress,
    resume: bool = True,
    edits: SavedEdits | None = None,
) -> Iterator[RunContext]:
    """The context of a run on the clip at `path`, with `out` locked for this process.

    edits: those of the run; None takes those that the result in `out` has.

    Checks before the first stage what would stop a later one. Raises InputError for the clip, the device, the
    descriptions, the camera file or the imported motion, ModelFileError for the body, OutputError for `out`, also when
    it has foreign files where results go.
    """
    check_output(out, (path, *input_files(config)))
    torch_device = choose_device(device)
    state = clip_state(path)
    clip = _open_clip(path, config.clip, progress)
    check_clip = partial(require_unchanged, clip, state)
    check_clip()
    check_language(config.language, clip.times, out)
    body = load_body(config.body_model)
    find_camera_prior(clip, config.initialise.focal, config.initialise.camera)
    if config.initialise.init:
        read_imported_result(Path(config.initialise.init), clip)
    with open_disk_cache(out, resume=resume, progress=progress, check_inputs=check_clip) as cache:
        edits = read_edits(out / EDITS_FILE) if edits is None else edits
        masks = cache.folder / ("repair" if changes_observations(edits) else "observe") / MASKS
        yield RunContext(clip, body, config, torch_device, cache, progress, out, masks, check_clip, edits)


def input_files(config: Config) -> tuple[Path, ...]:
    """The files and folders beside the clip that a run with this configuration reads."""
    given = (config.body_model, config.initialise.camera, config.initialise.init, config.language.descriptions)
    return tuple(Path(one).expanduser() for one in given if one)


def check_output(out: Path, inputs: Sequence[Path]) -> None:
    """Check, before any work, that a result in `out` replaces neither foreign files nor what is read.

    Raises OutputError.
    """
    require_separate(out, inputs, (*RESULT_FILES, STAGES_FOLDER))
    OutputFolder(out).require_free(RESULT_FILES)
    OutputFolder(out).require_own_folders(STAGES_FOLDER)


def _open_clip(path: Path, config: ClipConfig, progress: Progress) -> Clip:
    """The clip; warnings of the reader become notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clip = open_clip(path, config)
    for warning in caught:
        progress.note(str(warning.message))
    return clip
