"""The public functions: run all stages on a clip, or on each of several photos, and write the results."""

from __future__ import annotations

import math
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from closemesh.config.loading import to_dict
from closemesh.config.schema import Config
from closemesh.core.device import choose_device
from closemesh.core.errors import DownloadError, InputError, ModelFileError, OutputError
from closemesh.core.output_folder import RESULT_FILES, OutputFolder
from closemesh.core.progress import Advance, NullProgress, Progress, RecordingProgress
from closemesh.core.records import save_record
from closemesh.output.quality import check_numbers
from closemesh.output.write import write_results
from closemesh.pipeline.cache import CLIP_FILE, STAGES_FOLDER
from closemesh.pipeline.context import MASKS, RunContext, check_output, input_files, open_run
from closemesh.pipeline.fingerprints import selected_weights, weight_files
from closemesh.pipeline.stages import observation_key, run_stages, stages_of
from closemesh.pipeline.state import PipelineState
from closemesh.repair.edits import EDITS_FILE, write_edits
from closemesh.report.records import report_records
from closemesh.report.write import REPORT_FILE, write_report
from closemesh.structures import Reconstruction
from closemesh.video import read_frames
from closemesh.video.image_folders import photo_files


def reconstruct(
    path: str | Path,
    out: str | Path,
    config: Config | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    resume: bool = True,
) -> Reconstruction:
    """The motion and contacts of the people in a clip; writes them with meshes to the folder `out`.

    path: a video file or a folder of images. config: the preset `balanced` when None. device: a torch device; None
    takes CUDA where it is available. resume: use results of stages that an earlier run left in `out`.

    Raises InputError, ModelFileError, OutputError, DownloadError: all are ClosemeshError.
    """
    recording = RecordingProgress(progress or NullProgress())
    with open_run(Path(path), Path(out), config or Config(), device, recording, resume) as ctx:
        return run_and_write(ctx, recording)


def run_and_write(ctx: RunContext, recording: RecordingProgress) -> Reconstruction:
    """Run all stages and write the result with the notes of `recording`, which is the progress of `ctx`.

    Raises InputError when the edits in `ctx` are for other observations, and what stages raise.
    """
    _check_edits(ctx)
    state = PipelineState()
    for _, after in run_stages(ctx, state, stages_of(ctx)):
        state = after
    return write_reconstruction(ctx, state, tuple(recording.notes))


def _check_edits(ctx: RunContext) -> None:
    """Notes that edits are applied. Raises InputError when people and frames may have other numbers now."""
    if not ctx.edits.edits:
        return
    file = ctx.out / EDITS_FILE if ctx.out else Path(EDITS_FILE)
    if ctx.edits.observations != observation_key(ctx):
        raise InputError(
            f"{file} has edits for other observations: the clip, the version or options of stage observe have changed; "
            f"choose a new folder with -o, or remove {file.name}"
        )
    count = len(ctx.edits.edits)
    ctx.progress.note(f"{count} edit{'s'[: count > 1]} of {file.name} applied; closemesh fix --undo removes the last")


def write_reconstruction(ctx: RunContext, state: PipelineState, notes: tuple[str, ...] = ()) -> Reconstruction:
    """The result of all stages; writes its files to `ctx.out`.

    Raises OutputError when a file cannot be written, NonFiniteError when a number is NaN or infinite.
    """
    assert ctx.out is not None
    observed, appearance = state.observed(ctx.clip), state.appearance
    reconstruction = Reconstruction(
        ctx.clip,
        observed.camera,
        observed.observations,
        state.motions,
        state.contacts,
        appearance=None if appearance is None or math.isnan(appearance.psnr) else appearance,
        weight_files=(*weight_files(ctx.body), *selected_weights(ctx.config)),
        config=to_dict(ctx.config),
        notes=notes,
    )
    check_numbers("the result", reconstruction)
    output = OutputFolder(ctx.out)
    with output.staging() as staged:
        save_record(staged / STAGES_FOLDER / CLIP_FILE, ctx.clip)
        if ctx.masks is not None and ctx.masks.is_dir():
            _link_files(ctx.masks, staged / MASKS)
        if ctx.edits.edits:
            write_edits(staged / EDITS_FILE, ctx.edits)
        reports, frames = ctx.cache.reports, read_frames(ctx.clip)
        write_results(staged, reconstruction, ctx.body, reports, frames, ctx.progress, ctx.cache.run)
        if ctx.config.output.report:
            records = report_records(reconstruction, staged, ctx.body, state.uncertainty)
            write_report(staged / REPORT_FILE, records, read_frames(ctx.clip), ctx.progress)
        ctx.check_clip()
        output.publish(staged, RESULT_FILES, last="scene.json")
    return reconstruction


def _link_files(source: Path, target: Path) -> None:
    """The files of one folder in another: the same files under a second name where the system can, else copies."""
    target.mkdir()
    for file in source.iterdir():
        try:
            os.link(file, target / file.name)
        except OSError:
            shutil.copyfile(file, target / file.name)


@dataclass(frozen=True)
class PhotoResult:
    """The result of one photo, or the error in its place."""

    photo: Path
    out: Path
    """Folder of the result."""
    reconstruction: Reconstruction | None = None
    error: Exception | None = None


def reconstruct_photos(
    path: str | Path,
    out: str | Path,
    config: Config | None = None,
    device: str | None = None,
    progress: Progress | None = None,
    resume: bool = True,
) -> tuple[PhotoResult, ...]:
    """Each photo by itself, as by `reconstruct`, into its own folder `out`/NAME; an error does not stop the others.

    path: a folder of photos, without the folders in it, or one photo. NAME is that of the file without suffix, or with
    it where names would be equal. Arguments are those of `reconstruct`.

    Raises InputError when there is no photo or an option does not fit photos, and ModelFileError, OutputError or
    DownloadError, which would stop every photo.
    """
    path, config, progress = Path(path), config or Config(), progress or NullProgress()
    if config.initialise.init or config.language.descriptions:
        raise InputError("--init and --descriptions belong to one clip or photo; leave out --photos")
    if config.clip.start > 0:
        raise InputError("photos have no times; leave out --start")
    choose_device(device)
    photos = photo_files(path)
    folders = [Path(out) / name for name in _folder_names(photos)]
    for photo, folder in zip(photos, folders, strict=True):
        check_output(folder, (path, photo, *input_files(config)))
    results = []
    with progress.task("photos", len(photos)) as advance:
        for photo, folder in zip(photos, folders, strict=True):
            results.append(_reconstruct_photo(photo, folder, config, device, progress, resume))
            advance(1)
    return tuple(results)


def _reconstruct_photo(
    photo: Path, out: Path, config: Config, device: str | None, progress: Progress, resume: bool
) -> PhotoResult:
    """The result or the error. Raises the errors that would stop every photo."""
    try:
        prefixed = _PrefixedProgress(progress, photo.name)
        return PhotoResult(photo, out, reconstruct(photo, out, config, device, prefixed, resume))
    except (ModelFileError, OutputError, DownloadError):
        raise
    except Exception as error:  # Also of an unknown kind: the other photos do not depend on this one.
        return PhotoResult(photo, out, error=error)


def _folder_names(photos: Sequence[Path]) -> list[str]:
    """A name for each photo that no other has, not even in another case: the stem, else the name of the file."""
    stems = Counter(photo.stem.casefold() for photo in photos)
    files = {photo.name.casefold() for photo in photos}
    return [
        photo.stem if stems[photo.stem.casefold()] == 1 and photo.stem.casefold() not in files else photo.name
        for photo in photos
    ]


class _PrefixedProgress:
    """Passes everything on to another Progress with the name of the photo before it."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name = progress, name

    def task(self, description: str, total: int | None, done: int = 0) -> AbstractContextManager[Advance]:
        return self._progress.task(f"{self._name}: {description}", total, done)

    def note(self, message: str) -> None:
        self._progress.note(f"{self._name}: {message}")
