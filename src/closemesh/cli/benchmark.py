"""The group `closemesh benchmark`: `real`, `speed`, `identities`, `language`, `detections`, one per data set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.benchmark_cameras import cameras
from closemesh.cli.benchmark_descriptions import descriptions
from closemesh.cli.benchmark_synthetic import ablation, hidden, importers, synthetic
from closemesh.cli.console import exit_codes, results
from closemesh.config.schema import Config

if TYPE_CHECKING:
    from closemesh.lab.evaluation.dataset_benchmark import DatasetResult
    from closemesh.lab.evaluation.detection_comparison import RealAgainstSimulated
    from closemesh.lab.simulation.error_labels import DetectionComparison


DATASETS = {"hi4d": "Hi4D", "chi3d": "CHI3D", "3dpw": "3DPW"}


def dataset_command(name: str) -> Callable[..., None]:
    """The command for the data set `name`."""

    @o.config_options("--preset", "--body-model", "--seed")
    def benchmark_dataset(
        root: Annotated[Path, typer.Option(help="Folder in which the data set was unpacked.", show_default=False)],
        config: Config,
        device: o.DeviceOption = None,
        limit: Annotated[int | None, typer.Option(min=1, help="Only the first N clips of a camera.")] = None,
        file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
        overwrite: o.OverwriteOption = False,
    ) -> None:
        with exit_codes():
            o.check_new_file(file, overwrite)
            from closemesh.cli.console import show_progress
            from closemesh.lab.evaluation.dataset_benchmark import as_json, benchmark_dataset

            with show_progress() as progress:
                result = benchmark_dataset(name, root, config, device, progress, limit)
            o.write_report(file, as_json(result))
            results.print(_dataset_table(result))

    benchmark_dataset.__doc__ = (
        f"Reconstruct {DATASETS[name]} and compare it with the truth and with published results.\n\n"
        "The pipeline gets the video and the true focal length."
    )
    return benchmark_dataset


def _dataset_table(result: DatasetResult) -> RenderableType:
    table = Table(title=f"{DATASETS[result.name]}, mm", title_style="title")
    table.add_column("method")
    for column in result.columns:
        table.add_column(column, justify="right")
    table.add_column("source", overflow="fold")
    rows = [(row.method, row.metrics, row.source, "quiet") for row in result.published]
    rows += [(f"closemesh, {motion}", values, "measured now", "") for motion, values in result.ours.items()]
    for method, values, source, style in rows:
        cells = (f"{values[column]:.1f}" if column in values else "" for column in result.columns)
        table.add_row(method, *cells, source, style=style)
    found = (
        f"{len(result.items)} clips of a camera; {100 * result.found:.1f} % of the people found, only they are scored"
    )
    return Group(table, found, *(f"[quiet]{note}[/quiet]" for note in result.notes))


def identities(
    quick: o.QuickOption = False,
    kinds: o.KindsOption = None,
    limit: o.LimitOption = None,
    seed: o.SeedOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Count identity switches of the tracker on rendered windows, before and after they are fixed.

    Then artificial switches of 0.5 to 1.5 seconds are inserted into the tracks, and the fixed ones are counted.
    """
    with exit_codes():
        o.check_new_file(file, overwrite)
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.benchmark_scenes import find_windows
        from closemesh.lab.evaluation.identity_benchmark import as_json, measure_identities

        windows = find_windows(None, kinds.split(",") if kinds else (), limit, quick)
        with show_progress() as progress:
            counts = measure_identities(windows, seed or 0, progress)
        table = Table(title="Identities", title_style="title")
        columns = ("detections", "wrong ID before", "wrong ID after", "inserted switches", "fixed")
        table.add_column("window")
        for column in columns:
            table.add_column(column, justify="right")
        rows = [(c.detections, c.wrong_before, c.wrong_after, c.injected, c.repaired) for c in counts]
        for one, row in zip(counts, rows, strict=True):
            table.add_row(one.name, *(str(value) for value in row))
        table.add_row("all", *(str(sum(column)) for column in zip(*rows, strict=True)), style="bold")
        o.write_report(file, as_json(counts, seed or 0))
        results.print(table)


def language(
    encoders: Annotated[
        Path | None,
        typer.Option(
            "--encoders",
            "--readers",
            help="Folder of encoders that `closemesh train language` made.",
            show_default="the bundled ones",
        ),
    ] = None,
    seed: o.SeedOption = None,
    device: o.DeviceOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Measure text-to-pose retrieval on 1,000 poses of the bundled windows.

    Texts are generated in standard words, paraphrased, or written by people.
    """
    with exit_codes():
        o.check_new_file(file, overwrite)
        from closemesh.core.device import choose_device
        from closemesh.lab.evaluation.text_retrieval import measure_retrieval
        from closemesh.text.alignment import load_alignment

        retrieval = measure_retrieval(load_alignment(choose_device(device), encoders), seed or 0)
        table = Table(title="Text-to-pose retrieval", title_style="title")
        for column in ("texts", "number", "poses", "R@1, %", "R@10, %"):
            table.add_column(column, justify="left" if column == "texts" else "right")
        for name, one in retrieval.items():
            table.add_row(name, str(one.texts), str(one.poses), f"{100 * one.first:.1f}", f"{100 * one.ten:.1f}")
        o.write_report(file, {name: asdict(one) for name, one in retrieval.items()})
        results.print(table)


def detections(
    data: Annotated[Path | None, typer.Option(help="Folder with motion; only its test split is used.")] = None,
    real: Annotated[
        Path | None,
        typer.Option(help="Folder that `closemesh train keypoint-noise` wrote: real clips instead of videos."),
    ] = None,
    num_videos: Annotated[int, typer.Option("--videos", "--films", min=1, help="Videos to render and observe.")] = 10,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each video.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of cameras, clothing and environments.")] = 1000,
    file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Compare the detector with simulated detections: on rendered videos of the same scenes, or on real clips.

    Real clips have no ground truth: what is compared are distances of the networks, jitter, confidence and misses.
    """
    with exit_codes():
        o.check_new_file(file, overwrite)
        from closemesh.cli.console import show_progress
        from closemesh.core.errors import InputError
        from closemesh.core.records import write_json
        from closemesh.lab.datasets.registry import split_motion_files
        from closemesh.lab.simulation.error_labels import compare_detections
        from closemesh.lab.simulation.measure import VideoConfig

        if (data is None) == (real is None):
            raise InputError("give either --data or --real")
        if real is not None:
            _compare_with_real(real, num_videos, seed, file)
            return
        assert data is not None
        with show_progress() as progress:
            _, test_files = split_motion_files(data)
            lines = compare_detections(test_files, VideoConfig(num_videos, frames, seed=seed), progress)
        if file:
            write_json(file, schema=1, values={"lines": [asdict(line) for line in lines]})
        results.print(_table(lines))


def _compare_with_real(real: Path, num_scenes: int, seed: int, file: Path | None) -> None:
    from closemesh.cli.console import show_progress
    from closemesh.core.errors import InputError
    from closemesh.core.records import load_record, read_json, write_json
    from closemesh.lab.evaluation.benchmark_scenes import find_windows
    from closemesh.lab.evaluation.detection_comparison import compare_with_real
    from closemesh.lab.simulation.real_noise import RepeatedKeypoints

    files = [path for path in sorted(real.glob("*.npz")) if path.stem != "detector_errors"]
    if not files:
        raise InputError(f"{real} has no repeated detections; make them with closemesh train keypoint-noise")
    people = read_json(real / "keypoint_noise.json", schema=1)["people"]
    clips = [load_record(path, RepeatedKeypoints) for path in files]
    clips = [clip.people(people[clip.name]) if clip.name in people else clip for clip in clips]
    windows = find_windows(None)
    with show_progress() as progress:
        lines = compare_with_real(clips, windows[:: max(1, len(windows) // num_scenes)], seed, progress)
    if file:
        write_json(file, schema=1, values={"lines": [asdict(line) for line in lines]})
    results.print(_real_table(lines))


def _real_table(lines: list[RealAgainstSimulated]) -> Table:
    table = Table(title="Detections, real / simulated; lengths in % of the person's height", title_style="title")
    for column in ("joint", "", "points", "apart", "90 %", "jitter", "confidence", "unsure %", "missed %"):
        table.add_column(column, justify="left" if column in ("joint", "") else "right")
    columns = (("disagreement", 100, 1), ("disagreement_90", 100, 1), ("jitter", 100, 2))
    for line in lines:
        cells = [
            _pair(factor * getattr(line.real, name), factor * getattr(line.simulated, name), digits)
            for name, factor, digits in (*columns, ("confidence", 1, 2), ("unsure", 100, 0), ("missed", 100, 0))
        ]
        where = "near a partner" if line.real.near else "free"
        table.add_row(line.real.joint.replace("_", " "), where, f"{line.real.points:,}", *cells)
    return table


def _table(lines: list[DetectionComparison]) -> Table:
    table = Table(title="Detections, real / simulated; errors in % of the person's size", title_style="title")
    for column in ("keypoint", "", "points", "median", "90 %", "step", "missed %", "confidence"):
        table.add_column(column, justify="left" if column in ("keypoint", "") else "right")
    for line in lines:
        percentages = ("median_error", "error_90", "median_step", "missed")
        cells = [_pair(100 * getattr(line.real, name), 100 * getattr(line.simulated, name), 1) for name in percentages]
        cells.append(_pair(line.real.confidence, line.simulated.confidence, 2))
        table.add_row(line.keypoint, "hidden" if line.hidden else "seen", f"{line.points:,}", *cells)
    return table


def _pair(real: float, simulated: float, digits: int) -> str:
    return " / ".join("-" if math.isnan(value) else f"{value:.{digits}f}" for value in (real, simulated))


benchmark = typer.Typer(no_args_is_help=True, help="Measure the speed and accuracy of closemesh.")


@benchmark.callback()
def _group() -> None:
    """Measure the speed and accuracy of closemesh."""


@benchmark.command()
@o.config_options("--preset")
def speed(
    config: Config,
    clip: Annotated[Path | None, typer.Argument(help="A clip.", show_default="the bundled one")] = None,
    loop: Annotated[int, typer.Option(min=1, help="Also repeat the clip this often, to measure how memory grows.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="Repetitions of the small measurements.")] = 10,
    device: o.DeviceOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the results to this file too.")] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Measure time and memory of every stage and of the most expensive operations, each in a process of its own."""
    with exit_codes():
        o.check_new_file(file, overwrite, clip)
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.speed import measure_speed
        from closemesh.weights.locate import find_model
        from closemesh.weights.registry import DEMO_CLIP

        with show_progress() as progress:
            measurements = measure_speed(clip or find_model(DEMO_CLIP), config, device, loop, runs, progress)
        table = Table(title="Speed", title_style="title")
        for column in ("what", "milliseconds", "runs", "peak MB"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for one in measurements:
            peak = "" if one.peak_megabytes is None else f"{one.peak_megabytes:,.0f}"
            table.add_row(one.name, f"{one.milliseconds:,.1f}", str(one.runs), peak)
        o.write_report(file, [asdict(one) for one in measurements])
        results.print(table)


@benchmark.command()
@o.config_options("--preset", "--seed", file=True)
def real(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder with clips and photos.", show_default=False)],
    config: Config,
    facts: Annotated[
        Path | None, typer.Option(help="Folder with NAME.facts.json.", show_default="the same folder")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Write the result of each clip to WORK/NAME, or continue it.", show_default="a temporary one"
        ),
    ] = None,
    finished: Annotated[
        Path | None, typer.Option("--results", help="Score the finished results in RESULTS/NAME; run nothing.")
    ] = None,
    only: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only these clips.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N clips.")] = None,
    known_focal: Annotated[
        bool, typer.Option("--known-focal", help="Give the pipeline the focal length of the facts.")
    ] = False,
    device: o.DeviceOption = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write the scores to this file too.")] = None,
    overwrite: o.OverwriteOption = False,
    compare: Annotated[Path | None, typer.Option(help="A file of another run: print the differences.")] = None,
) -> None:
    """Reconstruct real clips and photos and score them against facts that were seen by eye.

    Facts stand in NAME.facts.json beside NAME.mp4: who is where, which parts touch in which frames, marked joints.
    The focal length is estimated, as for any clip.
    [dim]closemesh benchmark real clips --work out --json new.json --compare old.json[/dim]
    [dim]closemesh benchmark real clips --results out[/dim]
    """
    if work is not None and finished is not None:
        raise typer.BadParameter("--results runs nothing, so it takes no --work")
    with exit_codes(when_stopped="the same command continues where it stopped" if work else ""):
        o.check_new_file(file, overwrite, folder, facts, finished)
        from closemesh.cli.benchmark_tables import real_change_tables, real_tables
        from closemesh.cli.console import show_progress
        from closemesh.lab.evaluation.real_benchmark import (
            RealOptions,
            benchmark_real,
            find_clips,
            read_real_report,
            real_changes,
            write_real_report,
        )

        old = read_real_report(compare) if compare else None
        options = RealOptions(device, work, finished, known_focal)
        with show_progress() as progress:
            items = find_clips(folder, facts, only.split(",") if only else (), limit, progress)
            report = benchmark_real(items, config, options, progress)
        if file:
            write_real_report(file, report)
        results.print(real_tables(report))
        if old:
            results.print(real_change_tables(real_changes(old, report)))


benchmark.command()(synthetic)
benchmark.command()(ablation)
benchmark.command()(importers)
benchmark.command()(identities)
benchmark.command()(cameras)
benchmark.command()(hidden)
benchmark.command()(language)
benchmark.command()(descriptions)
benchmark.command()(detections)
for _name in DATASETS:
    benchmark.command(_name)(dataset_command(_name))
