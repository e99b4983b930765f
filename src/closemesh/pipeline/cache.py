"""StageCache on disk and in memory, fingerprints, saved results.

What each stage made, kept in `out/stages/`, so that a stopped run goes on where it stopped.

A stage's folder holds its records as .npz, whatever else it wrote (masks), and `stage.json`: a key, the hash of
everything the result was made from, and what the making cost. The folder is filled beside its place and renamed when
complete, so a folder that is there is whole. A result is used again when its key is the one that is asked for.

What an output folder keeps of a run, for commands that go on from a finished result.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from closemesh.core.device import peak_gpu_mb, peak_rss_mb, reset_gpu_peak
from closemesh.core.errors import InputError
from closemesh.core.files import atomic_folder, lock_folder
from closemesh.core.progress import Progress, RecordingProgress
from closemesh.core.records import load_record, save_record
from closemesh.output.result_json import read_scene
from closemesh.structures import BodyMotion, Camera, Clip

Records = tuple[Any, ...]
Make = Callable[[Path, Progress], Records]

_LOCK = ".lock"


@dataclass(frozen=True)
class StageReport:
    """What one stage cost, and what it wanted the user to know."""

    name: str
    key: str
    seconds: float
    peak_megabytes: float | None
    """Largest resident memory of the process until the stage ended; None where the system does not tell."""
    peak_gpu_megabytes: float | None
    """Largest memory allocated on the GPU during the stage; None without one."""
    notes: tuple[str, ...]
    reused: bool = False
    """True when the result was made by an earlier run."""


class StageStore:
    """The results of the stages of one run. `reports` grows by one with every stage that is asked for."""

    def __init__(self, folder: Path, *, seed: int, resume: bool, progress: Progress) -> None:
        self.folder = folder
        self.reports: list[StageReport] = []
        self._seed = seed
        self._resume = resume
        self._progress = progress

    def get_or_run(
        self, name: str, made_from: Mapping[str, Any], kinds: tuple[type, ...], make: Make
    ) -> tuple[Any, ...]:
        """The records of stage `name`, kept from an earlier run or made now.

        `made_from` holds everything that decides the result, as JSON values; the key of an earlier stage stands for
        its result. `make` gets a folder for further files and the progress, and returns records of `kinds`.
        """
        key = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
        kept = self._kept(name, key, kinds) if self._resume else None
        report, records = kept or self._make(name, key, make)
        self.reports.append(report)
        return records

    def key(self, name: str) -> str:
        """The key of a stage that this run has been through."""
        return next(report.key for report in self.reports if report.name == name)

    def _kept(self, name: str, key: str, kinds: tuple[type, ...]) -> tuple[StageReport, Records] | None:
        folder = self.folder / name
        kind_of = {kind.__name__: kind for kind in kinds}
        try:
            told = json.loads((folder / "stage.json").read_text())
            if told["key"] != key:
                return None
            records = tuple(load_record(folder / file, kind_of[file.split(".")[1]]) for file in told.pop("records"))
            report = StageReport(**{**told, "notes": tuple(told["notes"]), "reused": True})
        except Exception:  # Whatever is wrong with a kept result, making it again is right.
            return None
        with self._progress.task(f"{name}: kept from an earlier run", total=1) as advance:
            advance(1)
        for note in report.notes:
            self._progress.note(note)
        return report, records

    def _make(self, name: str, key: str, make: Make) -> tuple[StageReport, Records]:
        told = RecordingProgress(self._progress)
        started = time.perf_counter()
        reset_gpu_peak()
        with atomic_folder(self.folder / name) as part:
            with _seeded(self._seed):
                records = tuple(make(part, told))
            seconds = time.perf_counter() - started
            report = StageReport(name, key, seconds, peak_rss_mb(), peak_gpu_mb(), tuple(told.notes))
            files = {f"{i}.{type(record).__name__}.npz": record for i, record in enumerate(records)}
            for file, record in files.items():
                save_record(part / file, record)
            (part / "stage.json").write_text(json.dumps({**asdict(report), "records": list(files)}, indent=1))
        return report, records


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Every stage begins with the same random state, so that a resumed run gives what an unbroken one gives."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def open_store(out: Path, *, seed: int, resume: bool, progress: Progress) -> Iterator[StageStore]:
    """The stage store of an output folder, for one process at a time.

    Makes the folder and its parents; takes away again what stayed empty. Raises OutputError when the folder cannot be
    written or another process is at work in it.
    """
    folder = out / "stages"
    missing = [path for path in (folder, out, *out.parents) if not path.exists()]  # Deepest first.
    lock = lock_folder(folder / _LOCK, out, "writing", "-o")
    try:
        yield StageStore(folder, seed=seed, resume=resume, progress=progress)
    finally:
        if not any(path.name != _LOCK for path in folder.iterdir()):
            (folder / _LOCK).unlink(missing_ok=True)
        lock.release()
        for path in missing:
            with suppress(OSError):  # Not empty: something was made in it, and it stays.
                path.rmdir()


CLIP_FILE = "clip.npz"
STAGE_OF = {"initial": "initialise", "refined": "refine", "optimised": "optimise"}
_PLACE_OF = {"initial": "1", "refined": "0", "optimised": "1"}  # Of the motion among a stage's records.


@dataclass(frozen=True)
class SavedMotion:
    """What an output folder keeps of one stage."""

    clip: Clip
    camera: Camera
    motion: BodyMotion
    body_path: str | None
    """Of the licensed body; None for the open one."""


def load_saved_motion(out: Path, stage: str) -> SavedMotion:
    """The motion `initial`, `refined` or `optimised` that an earlier run left in `out`. Raises InputError."""
    if not (out / "scene.json").is_file():
        raise InputError(f"{out} holds no finished result; run closemesh reconstruct CLIP -o {out} first")
    config = read_scene(out / "scene.json")["config"]
    folder = out / "stages" / STAGE_OF[stage]
    return SavedMotion(
        clip=load_record(out / "stages" / CLIP_FILE, Clip),
        camera=load_record(_camera_file(out, stage), Camera),
        motion=load_record(folder / f"{_PLACE_OF[stage]}.BodyMotion.npz", BodyMotion),
        body_path=config.get("body_model"),
    )


def _camera_file(out: Path, stage: str) -> Path:
    """The optimiser finds the floor; before it the camera stands where the first motion was found."""
    made_by = "optimise" if stage == "optimised" else "initialise"
    return out / "stages" / made_by / "0.Camera.npz"
