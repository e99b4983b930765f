"""`closemesh train`: make the bundled models again, from one's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from closemesh.cli.console import exit_codes, results
from closemesh.cli.train_language import language
from closemesh.cli.train_networks import lifter, prior

train = typer.Typer(no_args_is_help=True, help="Make the bundled models again, from your own data.")
for _command in (lifter, prior, language):
    train.command()(_command)


@train.callback()
def _group() -> None:
    """Make the bundled models again, from your own data."""


@train.command("pose-prior")
def pose_prior(
    data: Annotated[Path, typer.Option(help="Folder with motion: .npz files with poses [T, 22, 3].")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("pose_prior.npz"),
    components: Annotated[int, typer.Option(min=1, help="Gaussians in the mixture.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Steps of expectation maximisation.")] = 40,
) -> None:
    """Learn which poses are likely from captured motion."""
    with exit_codes():
        from closemesh.cli.progress import show_progress
        from closemesh.training.pose_prior import train_pose_prior

        with show_progress() as progress:
            surprise = train_pose_prior(data, out, progress, components, steps)
        results.print(f"{out}: median surprise of held-out poses {surprise:.1f}")


@train.command("detector-errors")
def detector_errors(
    data: Annotated[Path, typer.Option(help="Folder with motion: .npz files with poses [T, (P,) 22, 3] and trans.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("detector_errors.npz"),
    films: Annotated[int, typer.Option(min=1, help="Films to render and observe.")] = 40,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each film.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of cameras, clothes and rooms.")] = 0,
) -> None:
    """Measure how the detector errs, on rendered films of captured motion."""
    with exit_codes():
        from closemesh.cli.progress import show_progress
        from closemesh.simulation.fit import fit_detector_errors
        from closemesh.simulation.measure import FilmConfig

        with show_progress() as progress:
            errors = fit_detector_errors(data, out, FilmConfig(films, frames, seed=seed), progress)
        results.print(f"{out}: measured on {errors.measured_on}")
