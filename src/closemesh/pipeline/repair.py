"""Repairs of a finished result: edits are added or undone, and the stages that depend on them run again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from closemesh.config.loading import override
from closemesh.config.schema import Config
from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_text, foreign_file, parse_json
from closemesh.core.progress import NullProgress, Progress, RecordingProgress
from closemesh.core.records import load_record
from closemesh.output.result_json import read_scene
from closemesh.pipeline.cache import STAGES_FOLDER, require_finished
from closemesh.pipeline.context import open_run
from closemesh.pipeline.reconstruct import run_and_write
from closemesh.pipeline.repair_stage import edited_tracks
from closemesh.pipeline.stages import observation_key
from closemesh.repair.edits import EDITS_FILE, Edit, SavedEdits, in_order, read_edits
from closemesh.structures import Observations, Reconstruction

_OBSERVATIONS = f"{STAGES_FOLDER}/observe/0.Observations.npz"


def apply_edits(
    out: Path,
    edits: Sequence[Edit],
    device: str | None = None,
    progress: Progress | None = None,
    clip: Path | None = None,
) -> Reconstruction:
    """Add edits to those of the finished result in `out` and run what depends on them again; writes the result.

    edits: all with the numbers of people of the result as it is. device: as in `reconstruct`. clip: the clip, if it
    was moved. Raises InputError when an edit does not fit or the result is of another version, and the errors of
    `reconstruct`; then the result and its edits stay as they are.
    """
    return _rerun(out, (*saved_edits(out), *in_order(edits)), device, progress, clip)


def undo_edit(
    out: Path, device: str | None = None, progress: Progress | None = None, clip: Path | None = None
) -> Reconstruction:
    """Remove the last edit of the result in `out`; the arguments and errors are those of `apply_edits`.

    Raises InputError when there is no edit.
    """
    edits = saved_edits(out)
    if not edits:
        raise InputError(f"{out} has no edits to undo")
    return _rerun(out, edits[:-1], device, progress, clip)


def saved_edits(out: Path) -> tuple[Edit, ...]:
    """The edits of the finished result in `out`, in order. Raises InputError when there is no result."""
    require_finished(out)
    return read_edits(out / EDITS_FILE).edits


def _rerun(
    out: Path, edits: tuple[Edit, ...], device: str | None, progress: Progress | None, clip: Path | None
) -> Reconstruction:
    """The result of a run with these edits instead of those that the result in `out` has."""
    path, config = _input_of(out, clip)
    recording = RecordingProgress(progress or NullProgress())
    if not (out / _OBSERVATIONS).is_file():
        raise InputError(f"{out} has no {_OBSERVATIONS}, and edits change that; run closemesh reconstruct again")
    with open_run(path, out, config, device, recording, edits=_for_observations(out, edits)) as ctx:
        if ctx.edits.observations != observation_key(ctx):
            raise InputError(
                f"{out} is of another version of closemesh or another clip than {path}; "
                "run closemesh reconstruct into a new folder"
            )
        edited_tracks(ctx, load_record(out / _OBSERVATIONS, Observations))  # Before any stage runs.
        return run_and_write(ctx, recording)


def _for_observations(out: Path, edits: tuple[Edit, ...]) -> SavedEdits:
    """The edits with the key of the observations in the cache."""
    report = out / STAGES_FOLDER / "observe" / "stage.json"
    with foreign_file(report, advice="run closemesh reconstruct again"):
        return SavedEdits(edits, expect_text(report, "key", parse_json(report.read_bytes())["key"]))


def _input_of(out: Path, moved_to: Path | None) -> tuple[Path, Config]:
    """Path of the clip and configuration of a result. Raises InputError when the clip is not there."""
    file = out / "scene.json"
    scene = read_scene(file)
    with foreign_file(file, advice="run closemesh reconstruct again"):
        path, config = Path(moved_to or scene["input"]["path"]), override(Config(), scene["config"])
    if not path.exists():
        raise InputError(f"{path}: the clip is no longer there; give its new path with --clip FILE")
    return path, config
