"""Caches of stage results on disk and in memory, their keys, and the motions that a finished run left on disk."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from closemesh.core.device import peak_gpu_mb, peak_rss_mb, reset_gpu_peak
from closemesh.core.errors import InputError
from closemesh.core.files import lock_folder
from closemesh.core.foreign import expect_list, expect_mapping, expect_text, parse_json
from closemesh.core.output_folder import OutputFolder
from closemesh.core.progress import Progress, RecordingProgress
from closemesh.core.records import load_record, save_record
from closemesh.output.result_json import read_scene
from closemesh.structures import AppearanceSummary, BodyMotion, Camera, Clip, PairContacts

Records = tuple[Any, ...]
Run = Callable[[Path, Progress], Records]
"""Runs a stage: takes a folder for further files and the progress, returns the stage's records."""

STAGES_FOLDER = "stages"
"""Folder of the stages' results, below that of the result."""
_LOCK = ".lock"
_REPORT = "stage.json"


@dataclass(frozen=True)
class StageReport:
    """Cost and notes of one stage."""

    name: str
    key: str
    """Fingerprint of the stage's inputs."""
    seconds: float
    peak_rss_mb: float | None
    """Peak resident memory of the process up to the end of the stage, MiB; None where the system does not report it."""
    peak_gpu_mb: float | None
    """Peak memory allocated on the GPU during the stage, MiB; None without a GPU."""
    notes: tuple[str, ...]
    from_cache: bool = False
    """True when an earlier run made the result."""
    run: str = ""
    """Identifier of the run that made the result."""


class StageCache(Protocol):
    """Results of stages by the fingerprint of their inputs."""

    folder: Path
    """Each stage's folder is below it."""
    reports: list[StageReport]
    """One for each call of get_or_run, in order."""
    run: str
    """Identifier of this run; empty where no result is kept."""

    def get_or_run(self, stage: str, inputs: Mapping[str, Any], outputs: tuple[type, ...], run: Run) -> Records:
        """The records of `stage` for these inputs: the cached ones, or else those that `run` returns now.

        inputs: everything that decides the result, as JSON values. outputs: types of the records.
        """
        ...


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """SHA-256 of JSON values; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


class DiskCache:
    """One folder per stage: `<i>.<Type>.npz` for each record, `stage.json`, and further files of the stage.

    A folder is filled in a staging folder and moved when complete. So every folder that exists is complete.
    """

    def __init__(
        self, out: Path, *, resume: bool, progress: Progress, check_inputs: Callable[[], None] = lambda: None
    ) -> None:
        """out: the folder of the result; stages are in `out`/stages.

        resume: False runs every stage again, and replaces what is in the folder. check_inputs: raises InputError when
        a file that stages read has changed; then their result is not stored.
        """
        self.folder = out / STAGES_FOLDER
        self.reports: list[StageReport] = []
        self.run = secrets.token_hex(8)
        """Identifier of this run."""
        self._output = OutputFolder(out)
        self._resume = resume
        self._progress = progress
        self._check_inputs = check_inputs

    def get_or_run(self, stage: str, inputs: Mapping[str, Any], outputs: tuple[type, ...], run: Run) -> Records:
        """The records of `stage`; notes of a cached result are repeated. Raises OutputError and what `run` raises."""
        key = fingerprint(inputs)
        cached = self._load(stage, key, outputs) if self._resume else None
        report, records = cached or self._run(stage, key, run)
        self.reports.append(report)
        return records

    def _load(self, stage: str, key: str, outputs: tuple[type, ...]) -> tuple[StageReport, Records] | None:
        folder = self.folder / stage
        type_of = {output.__name__: output for output in outputs}
        try:
            values = json.loads((folder / _REPORT).read_text())
            if values["key"] != key or not self._output.is_intact(f"{STAGES_FOLDER}/{stage}"):
                return None
            records = tuple(load_record(folder / file, type_of[file.split(".")[1]]) for file in values["records"])
            report = _report_from_json(values)
        except Exception:  # A damaged result is as good as none: the stage runs again.
            return None
        with self._progress.task(f"{stage}: from the cache", total=1) as advance:
            advance(1)
        for note in report.notes:
            self._progress.note(note)
        return report, records

    def _run(self, stage: str, key: str, run: Run) -> tuple[StageReport, Records]:
        with self._output.staging() as staged:
            part = staged / stage
            part.mkdir()
            report, records = _measured(stage, key, run, part, self._progress)
            self._check_inputs()
            report = replace(report, run=self.run)
            files = {f"{i}.{type(record).__name__}.npz": record for i, record in enumerate(records)}
            for file, record in files.items():
                save_record(part / file, record)
            (part / _REPORT).write_text(json.dumps(_report_to_json(report) | {"records": list(files)}, indent=1))
            self._output.replace_folder(f"{STAGES_FOLDER}/{stage}", part, staged / "old")
        return report, records


class MemoryCache:
    """Results of the stages of one clip, for as long as the process lasts."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        """folder: where stages write further files, such as masks."""
        self.folder = folder
        self.reports: list[StageReport] = []
        self.run = ""
        self._progress = progress
        self._results: dict[tuple[str, str], tuple[StageReport, Records]] = {}

    def get_or_run(self, stage: str, inputs: Mapping[str, Any], outputs: tuple[type, ...], run: Run) -> Records:
        """The records of `stage`. Raises what `run` raises."""
        key = fingerprint(inputs)
        if (stage, key) in self._results:
            report, records = self._results[stage, key]
            self.reports.append(replace(report, from_cache=True))
            return records
        self._results[stage, key] = _measured(stage, key, run, self.folder / stage, self._progress)
        report, records = self._results[stage, key]
        self.reports.append(report)
        return records


def _measured(stage: str, key: str, run: Run, folder: Path, progress: Progress) -> tuple[StageReport, Records]:
    """The records that `run` returns, and what it cost."""
    recording = RecordingProgress(progress)
    started = time.perf_counter()
    reset_gpu_peak()
    records = tuple(run(folder, recording))
    seconds = time.perf_counter() - started
    report = StageReport(stage, key, seconds, peak_rss_mb(), peak_gpu_mb(), tuple(recording.notes))
    return report, records


def _report_to_json(report: StageReport) -> dict[str, Any]:
    return {
        "name": report.name,
        "key": report.key,
        "seconds": report.seconds,
        "peak_megabytes": report.peak_rss_mb,
        "peak_gpu_megabytes": report.peak_gpu_mb,
        "notes": report.notes,
        "reused": report.from_cache,
        "run": report.run,
    }


def _report_from_json(values: Mapping[str, Any]) -> StageReport:
    """The report of a cached result."""
    return StageReport(
        name=values["name"],
        key=values["key"],
        seconds=values["seconds"],
        peak_rss_mb=values["peak_megabytes"],
        peak_gpu_mb=values["peak_gpu_megabytes"],
        notes=tuple(values["notes"]),
        from_cache=True,
        run=values["run"],
    )


@contextmanager
def open_disk_cache(
    out: Path, *, resume: bool, progress: Progress, check_inputs: Callable[[], None] = lambda: None
) -> Iterator[DiskCache]:
    """The cache in `out`/stages, locked for this process; for the arguments see DiskCache.

    Creates the folder and its parents, and removes them at the end if they stayed empty. Raises OutputError when the
    folder cannot be written, has foreign files in the place of a stage, or another process has locked it.
    """
    folder = out / STAGES_FOLDER
    missing = [path for path in (folder, out, *out.parents) if not path.exists()]  # Deepest first.
    OutputFolder(out).require_own_folders(STAGES_FOLDER)
    try:
        with locked_result(out):
            OutputFolder(out).remove_leftovers()
            try:
                yield DiskCache(out, resume=resume, progress=progress, check_inputs=check_inputs)
            finally:
                if not any(path.name != _LOCK for path in folder.iterdir()):
                    (folder / _LOCK).unlink(missing_ok=True)
    finally:
        for path in missing:
            with suppress(OSError):  # Not empty: the run left files in it.
                path.rmdir()


@contextmanager
def locked_result(out: Path) -> Iterator[None]:
    """Lock the result in `out` for this process. Raises OutputError when another process writes or reads it."""
    lock = lock_folder(out / STAGES_FOLDER / _LOCK, out, "using", "-o")
    try:
        yield
    finally:
        lock.release()


CLIP_FILE = "clip.npz"
STAGE_OF_MOTION = {"initial": "initialise", "refined": "refine", "optimised": "optimise"}
"""Name of a motion -> the stage that makes it."""
_MOTION_FILES = {
    "initial": "initialise/1.BodyMotion.npz",
    "refined": "refine/0.BodyMotion.npz",
    "optimised": "optimise/1.BodyMotion.npz",
}
_CAMERA_FILES = {  # The last stage moves the world's origin onto the floor.
    "initial": "initialise/0.Camera.npz",
    "refined": "initialise/0.Camera.npz",
    "optimised": "optimise/0.Camera.npz",
}
_APPEARANCE_FILE = "optimise/2.AppearanceSummary.npz"


@dataclass(frozen=True)
class SavedMotion:
    """A motion of a finished run, with its clip and camera."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    body_path: str | None
    """Path of the SMPL-X body; None for the bundled body."""


def require_finished(out: Path) -> None:
    """Check that `out` has a finished result. Raises InputError that names a folder of it when it holds photos."""
    if not (out / "scene.json").is_file():
        inner = min((path.parent for path in out.glob("*/scene.json")), default=None)
        if inner is not None:
            raise InputError(f"{out} holds results of photos in folders; give one of them, such as {inner}")
        raise InputError(f"{out} holds no finished result; run closemesh reconstruct CLIP -o {out} first")


def load_saved_motion(out: Path, motion: str) -> SavedMotion:
    """The motion `initial`, `refined` or `optimised` that an earlier run left in `out`; older versions' folders too.

    Raises InputError when there is no finished result, a file of it is missing or damaged, or its stages are of
    another run than scene.json, and OutputError while another process uses it.
    """
    require_finished(out)
    stages = out / STAGES_FOLDER
    with reading_result(out) as scene:
        return SavedMotion(
            clip=load_record(stages / CLIP_FILE, Clip),
            camera=load_record(stages / _CAMERA_FILES[motion], Camera),
            motion=load_record(stages / _MOTION_FILES[motion], BodyMotion),
            body_path=scene["config"].get("body_model"),
        )


def load_saved_appearance(out: Path) -> AppearanceSummary | None:
    """The avatars of the result in `out` and their PSNR; None without. Raises InputError when the file is damaged."""
    file = out / STAGES_FOLDER / _APPEARANCE_FILE
    summary = load_record(file, AppearanceSummary) if file.exists() else None
    return None if summary is None or summary.gaussians is None else summary


def load_saved_contacts(out: Path, motion: str) -> tuple[PairContacts, ...]:
    """The measured pairs of a motion of the result in `out`. Raises InputError when a file is damaged."""
    files = (out / STAGES_FOLDER / f"contact_{motion}").glob("*.PairContacts.npz")
    return tuple(load_record(file, PairContacts) for file in sorted(files))


@contextmanager
def reading_result(out: Path) -> Iterator[dict[str, Any]]:
    """The values of scene.json, with the result locked while its files are read, where that is possible.

    Raises InputError when there is none or its stages are of another run, OutputError while another process uses it.
    """
    with locked_result(out) if os.access(out / STAGES_FOLDER, os.W_OK) else nullcontext():
        scene = read_scene(out / "scene.json")
        _check_runs(out, scene)
        yield scene


def _check_runs(out: Path, scene: Mapping[str, Any]) -> None:
    """Raises InputError when a stage is of another run than scene.json names.

    Results of 0.1.0 name no runs. A stage that is not there, as in a result without its cache, is no mixture.
    """
    file = out / "scene.json"
    for one in expect_list(file, "stages", scene.get("stages", ())):
        stage = expect_mapping(file, "a stage", one)
        name, run = (expect_text(file, key, stage.get(key, "")) for key in ("name", "run"))
        report = out / STAGES_FOLDER / name / _REPORT
        if run and report.is_file() and _run_of(report) != run:
            raise InputError(
                f"{out} mixes two runs: its stage {name} is not that of scene.json, perhaps because a later run was "
                "stopped; repeat closemesh reconstruct"
            )


def _run_of(report: Path) -> str:
    """The run that made a stage, empty where its report is damaged."""
    try:
        return str(parse_json(report.read_bytes())["run"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""
