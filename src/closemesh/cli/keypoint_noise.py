"""The command `train keypoint-noise`: the noise of keypoints on real clips, and detector errors matched to it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import HOW_TO_RESUME, exit_codes, results

if TYPE_CHECKING:
    from closemesh.fitting.keypoint_noise import KeypointNoise
    from closemesh.lab.simulation.noise_fit import JointStatistics


def keypoint_noise(
    clips: Annotated[list[str], typer.Argument(help="Clips of real people; FILE=0,2 counts only these people in it.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the tables; a stopped run resumes.")] = Path(
        "keypoint_noise"
    ),
    views: Annotated[int, typer.Option(min=2, help="Changed copies of a frame.")] = 8,
    every: Annotated[int, typer.Option(min=1, help="Every so many frames are changed.")] = 8,
    stereo: Annotated[
        str | None, typer.Option(metavar="A,B", help="Two of the clips are synchronized views of the same person.")
    ] = None,
    errors: Annotated[
        Path | None,
        typer.Option(help="Errors on rendered videos, which are matched; the bundled if not given."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the changes.")] = 0,
) -> None:
    """Measure the noise of keypoints on real clips, without ground truth, and match the detector errors to it.

    Writes keypoint_noise.toml, keypoint_noise.json and detector_errors.npz.
    """
    with exit_codes(when_stopped=HOW_TO_RESUME):
        o.claim_folder(out)
        from closemesh.cli.console import show_progress
        from closemesh.core.records import write_json
        from closemesh.lab.simulation.detector_errors import load_detector_errors, save_detector_errors
        from closemesh.lab.simulation.noise_fit import fit_keypoint_noise, save_keypoint_noise, statistics_json
        from closemesh.lab.simulation.real_errors import match_real_errors, stereo_sigmas
        from closemesh.lab.simulation.real_noise import RepetitionConfig, repeat_clips

        paths, people = _clips_and_people(clips)
        with show_progress() as progress:
            repeated = repeat_clips(paths, people, out, RepetitionConfig(views, every, seed), progress)
        noise, statistics = fit_keypoint_noise(repeated)
        by_name = {clip.name: clip for clip in repeated}
        epipolar = stereo_sigmas(*(by_name[name] for name in stereo.split(","))) if stereo else {}
        save_keypoint_noise(out / "keypoint_noise.toml", noise)
        save_detector_errors(
            out / "detector_errors.npz", match_real_errors(load_detector_errors(errors), noise, repeated)
        )
        values = {**statistics_json(noise, statistics, epipolar), "people": people}
        write_json(out / "keypoint_noise.json", schema=1, values=values)
        results.print(_noise_table(noise, statistics, epipolar))


def _clips_and_people(clips: list[str]) -> tuple[list[Path], dict[str, list[int]]]:
    """Files, and by name of a clip the numbers after `=`."""
    paths, people = [], {}
    for text in clips:
        name, _, numbers = text.rpartition("=")
        chosen = numbers.replace(",", "").isdigit() and bool(name)
        path = Path(name if chosen else text)
        paths.append(path)
        if chosen:
            people[path.stem] = [int(number) for number in numbers.split(",")]
    return paths, people


def _noise_table(noise: KeypointNoise, statistics: dict[str, JointStatistics], epipolar: dict[str, float]) -> Table:
    table = Table(title="Noise of keypoints, % of the person's height", title_style="title")
    table.add_column("joint")
    measured = ("MoveNet - heavy", "full - heavy", "hat", "repeated")
    for column in (*measured, "MoveNet", "full", "heavy", "fused", "tail", "epipolar"):
        table.add_column(column, justify="right")
    for joint, one in statistics.items():
        fused = noise.networks["fused"][joint]
        cells = [one.differences[1], one.differences[2]]
        hat, repeated = (" ".join(_percent(value) for value in values[:3]) for values in (one.hat, one.repetition))
        tail = f"{_percent(fused.tail)} ({100 * fused.tail_fraction:.0f} %)"
        cores = (_percent(value) for value in one.core)
        stereo = _percent(epipolar.get(joint, float("nan")))
        table.add_row(joint.replace("_", " "), *(_percent(cell) for cell in cells), hat, repeated, *cores, tail, stereo)
    return table


def _percent(fraction: float) -> str:
    return "-" if math.isnan(fraction) else f"{100 * fraction:.2f}"
