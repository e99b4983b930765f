"""Time and memory of every stage and of the parts that decide them, each in a process of its own."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closemesh.config import Config
from closemesh.evaluation.isolation import in_a_process
from closemesh.evaluation.parts import PARTS
from closemesh.memory import peak_megabytes
from closemesh.pipeline import (
    contact_stages,
    initialise_stage,
    observe_stage,
    optimise_stage,
    refine_stage,
    write_stage,
)
from closemesh.progress import Progress
from closemesh.run import Run, open_run

STAGES = ("observe", "initialise", "refine", "optimise", "contact", "write")


@dataclass(frozen=True)
class SpeedFigure:
    """What one thing costs."""

    name: str
    milliseconds: float
    """Median of the runs."""
    runs: int
    peak_megabytes: float | None
    """Largest resident memory of the process that did nothing else; None where the system does not tell."""


def measure_speed(
    clip: Path, config: Config, device: str | None, loop: int, runs: int, progress: Progress
) -> list[SpeedFigure]:
    """Figures of the stages on `clip`, of the stages on the clip played `loop` times when above 1, and of the parts.

    Raises InputError when the clip cannot be used.
    """
    loops = (1,) if loop == 1 else (1, loop)
    figures = []
    with progress.task("benchmark", len(loops) * len(STAGES) + len(PARTS)) as advance:
        for times in loops:
            with tempfile.TemporaryDirectory() as folder:
                played = loop_clip(clip, times, Path(folder)) if times > 1 else clip
                for stage in STAGES:
                    figures.append(in_a_process(_measure_stage, stage, played, Path(folder) / "out", config, device))
                    advance(1)
        for part in PARTS:
            figures.append(in_a_process(_measure_part, part, runs, device))
            advance(1)
    return figures


def loop_clip(clip: Path, times: int, folder: Path) -> Path:
    """A video that shows `clip` several times over, its packets copied. Raises InputError when it is no video."""
    import av
    import av.error

    from closemesh.errors import InputError

    target = folder / f"looped{clip.suffix}"
    try:
        with av.open(str(clip)) as source, av.open(str(target), "w") as sink:
            stream = sink.add_stream_from_template(source.streams.video[0])
            for turn in range(times):
                source.seek(0)
                _copy_packets(source, sink, stream, turn)
    except (av.error.FFmpegError, IndexError) as error:
        raise InputError(f"{clip} cannot be looped ({error}); give a video file") from error
    return target


def _copy_packets(source: Any, sink: Any, stream: Any, turn: int) -> None:
    video = source.streams.video[0]
    for packet in source.demux(video):
        if packet.dts is not None:  # The last packet is empty and only flushes decoders.
            packet.pts += turn * video.duration
            packet.dts += turn * video.duration
            packet.stream = stream
            sink.mux(packet)


def _measure_stage(stage: str, clip: Path, out: Path, config: Config, device: str | None) -> SpeedFigure:
    """One stage; those before it are kept from the processes before this one."""
    with open_run(clip, out, config, device) as run:
        seconds = _run_until(stage, run)
    return SpeedFigure(f"{stage}, {len(run.clip)} frames", 1000 * seconds, 1, peak_megabytes())


def _run_until(stage: str, run: Run) -> float:
    """Seconds of the last of the stages up to `stage`."""
    observations = observe_stage(run)
    if stage == "observe":
        return run.store.reports[-1].seconds
    camera, initial, spread = initialise_stage(run, observations)
    if stage == "initialise":
        return run.store.reports[-1].seconds
    refined = refine_stage(run, observations, camera, initial, spread)
    if stage == "refine":
        return run.store.reports[-1].seconds
    camera, optimised, _ = optimise_stage(run, observations, camera, refined)
    if stage == "optimise":
        return run.store.reports[-1].seconds
    motions = {"initial": initial, "refined": refined, "optimised": optimised}
    contacts = contact_stages(run, motions)
    if stage == "contact":
        return sum(report.seconds for report in run.store.reports[-len(motions) :])
    started = time.perf_counter()
    write_stage(run, observations, camera, motions, contacts)
    return time.perf_counter() - started


def _measure_part(name: str, runs: int, device: str | None) -> SpeedFigure:
    from closemesh.device import choose_device

    step = PARTS[name](choose_device(device))
    step()  # Compiles, loads and fills caches.
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return SpeedFigure(name, 1000 * statistics.median(seconds), runs, peak_megabytes())
