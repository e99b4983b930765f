"""`closemesh train lifter` and `closemesh train prior`: the networks, from captured and generated motion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results

DataOption = Annotated[Path, typer.Option(help="Folder with captured motion, in any format that closemesh reads.")]
InteractionsOption = Annotated[
    Path | None, typer.Option(help="Folder with generated interactions; see closemesh interactions.")
]
StepsOption = Annotated[int, typer.Option(min=1, help="Steps of each network.")]
MinutesOption = Annotated[float | None, typer.Option(min=0.1, help="Stop each network after so long.")]
BatchOption = Annotated[int, typer.Option(min=2, help="Windows in each step.")]
RateOption = Annotated[float, typer.Option(min=1e-6, help="Of AdamW, after the warm-up.")]
FirstOption = Annotated[
    Path | None,
    typer.Option(
        "--begin-with", help="Folder of trained networks to train on, of their size; random ones when not given."
    ),
]
FreshOption = Annotated[bool, typer.Option("--resume/--fresh", help="Go on where a stopped run stopped, or anew.")]
STOPPED = "give the same command again to go on"


def lifter(
    data: DataOption,
    interactions: InteractionsOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the network, log and state.")] = Path("lifter"),
    steps: StepsOption = 20000,
    minutes: MinutesOption = None,
    batch: BatchOption = 256,
    width: Annotated[int, typer.Option(min=32, help="Numbers in a token.")] = 256,
    layers: Annotated[int, typer.Option(min=1)] = 6,
    learning_rate: RateOption = 3e-4,
    begin_with: FirstOption = None,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = None,
    resume: FreshOption = True,
) -> None:
    """Learn the first pose: keypoints to a distribution over pose, shape and place."""
    with exit_codes(when_stopped=STOPPED):
        from closemesh.cli.progress import show_progress
        from closemesh.device import choose_device
        from closemesh.initialise.lifter import LifterConfig, load_lifter
        from closemesh.networks.checkpoint import save_network
        from closemesh.training.data import load_banks
        from closemesh.training.lifter import LifterTraining, train_lifter
        from closemesh.training.loop import LoopConfig

        network = LifterConfig(width=width, layers=layers, hidden=4 * width)
        config = LifterTraining(network, LoopConfig(steps, learning_rate, minutes=minutes), batch=batch, seed=seed or 0)
        where = choose_device(device)
        first = load_lifter(where, begin_with / "lifter.safetensors") if begin_with else None
        with show_progress() as progress:
            learn, check = load_banks(data, interactions, progress)
            made, figures = train_lifter(learn, check, out, config, where, progress, resume, first)
        save_network(out / "lifter.safetensors", made, made.config, figures)
        _tell(out / "lifter.safetensors", figures)


def prior(
    data: DataOption,
    interactions: InteractionsOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for networks, logs and states.")] = Path("prior"),
    steps: StepsOption = 20000,
    minutes: MinutesOption = None,
    batch: BatchOption = 256,
    windows: Annotated[int, typer.Option(min=2, help="First motions to learn from.")] = 16384,
    width: Annotated[int, typer.Option(min=32, help="Numbers in a token.")] = 256,
    layers: Annotated[int, typer.Option(min=1)] = 4,
    learning_rate: RateOption = 3e-4,
    begin_with: FirstOption = None,
    only: Annotated[
        Literal["denoiser", "codebook"] | None, typer.Option(help="One of the two networks.", show_default="both")
    ] = None,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = None,
    resume: FreshOption = True,
) -> None:
    """Learn what two close people do: the denoiser of the diffusion, and the book of interactions."""
    with exit_codes(when_stopped=STOPPED):
        from closemesh.cli.progress import show_progress
        from closemesh.device import choose_device
        from closemesh.networks.checkpoint import save_network
        from closemesh.proxemics.codebook import CodebookConfig
        from closemesh.proxemics.denoiser import DenoiserConfig
        from closemesh.training.codebook import CodebookTraining
        from closemesh.training.data import load_banks
        from closemesh.training.loop import LoopConfig
        from closemesh.training.prior import PriorTraining
        from closemesh.training.proxemics import NETWORKS, train_proxemics

        size: dict[str, Any] = {"width": width, "layers": layers, "hidden": 2 * width}
        loop = LoopConfig(steps, learning_rate, minutes=minutes)
        # The book has the easier task: it sees what it is to tell.
        short = LoopConfig(steps, learning_rate, minutes=minutes and minutes / 2)
        denoising = PriorTraining(DenoiserConfig(**size), loop, batch=batch, seed=seed or 0)
        book = CodebookConfig(**{**size, "layers": max(1, layers // 2)})  # Of each half, encoder and decoder.
        coding = CodebookTraining(book, short, batch=batch, seed=seed or 0)
        with show_progress() as progress:
            learn, check = load_banks(data, interactions, progress)
            chosen = (only,) if only else NETWORKS
            where = choose_device(device)
            made = train_proxemics(
                learn, check, out, windows, denoising, coding, where, progress, resume, begin_with, chosen
            )
        for name, (network, figures) in made.items():
            save_network(out / f"{name}.safetensors", network, network.config, figures)
            _tell(out / f"{name}.safetensors", figures)


def _tell(path: Path, figures: dict[str, float]) -> None:
    told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
    results.print(f"{path}: {told}")
