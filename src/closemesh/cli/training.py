"""Train group, interactions.

`closemesh train lifter` and `closemesh train prior`: the networks, from captured and generated motion.

`closemesh train language`: what text and poses have in common, from captured and generated motion.

`closemesh train`: make the bundled models again, from one's own data.

`closemesh interactions`: make people touch, to learn from and to measure on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

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
        from closemesh.cli.console import show_progress
        from closemesh.core.device import choose_device
        from closemesh.initialization.lifting_network import LifterConfig, load_lifter
        from closemesh.lab.training.lifter import LifterTraining, train_lifter
        from closemesh.lab.training.loop import LoopConfig
        from closemesh.lab.training.motion_bank import load_banks
        from closemesh.networks.checkpoint import save_network

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
        from closemesh.cli.console import show_progress
        from closemesh.core.device import choose_device
        from closemesh.interaction_prior.codebook import CodebookConfig
        from closemesh.interaction_prior.diffusion import DenoiserConfig
        from closemesh.lab.training.denoiser import PriorTraining
        from closemesh.lab.training.interaction_prior import NETWORKS, CodebookTraining, train_proxemics
        from closemesh.lab.training.loop import LoopConfig
        from closemesh.lab.training.motion_bank import load_banks
        from closemesh.networks.checkpoint import save_network

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


def language(
    data: DataOption,
    interactions: InteractionsOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for networks, log and state.")] = Path("language"),
    steps: Annotated[int, typer.Option(min=1, help="Of the readers of poses.")] = 4000,
    text_steps: Annotated[int, typer.Option(min=1, help="Of the reader of texts.")] = 8000,
    minutes: MinutesOption = None,
    text_minutes: Annotated[float | None, typer.Option(min=0.1, help="Stop the reader of texts after so long.")] = None,
    batch: Annotated[int, typer.Option(min=4, help="Poses in each step, and half as many pairs.")] = 384,
    sentences_batch: Annotated[int, typer.Option("--text-batch", min=2, help="Sentences in each step.")] = 64,
    poses: Annotated[int, typer.Option(min=1000, help="Poses to learn from; a third as many pairs.")] = 120_000,
    layers: Annotated[int, typer.Option(min=1, help="Of the text reader.")] = 4,
    learning_rate: RateOption = 1e-3,
    sentences: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a sentence encoder (all-MiniLM-L6-v2: model.safetensors, tokenizer.json) whose weights the "
            "text reader begins with; random ones when not given."
        ),
    ] = None,
    begin_with: Annotated[
        Path | None, typer.Option(help="Folder of earlier readers to go on from, with their sizes.")
    ] = None,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = None,
    resume: FreshOption = True,
) -> None:
    """Learn to read: texts and poses of one and of two people in one space, and poses as tokens.

    First poses learn together with a vector for each thing that can be said, which rules find true of them or not; then
    the reader of texts learns which things a sentence says, in many wordings.
    """
    with exit_codes(when_stopped=STOPPED):
        from closemesh.cli.console import show_progress
        from closemesh.core.device import choose_device
        from closemesh.lab.training.caption_labels import labels_of
        from closemesh.lab.training.loop import LoopConfig
        from closemesh.lab.training.motion_bank import load_banks
        from closemesh.lab.training.pose_encoder import PoseReading
        from closemesh.lab.training.text_alignment import CHECKED, AlignmentTraining, make_library, train_alignment
        from closemesh.lab.training.text_encoder import TextReading
        from closemesh.text.alignment import TextReaderConfig, save_alignment
        from closemesh.text.text_encoder import TextEncoderConfig, load_pieces

        pieces, where, rate = load_pieces(), choose_device(device), learning_rate
        config = AlignmentTraining(
            text=TextReaderConfig(TextEncoderConfig(len(pieces), layers=layers), len(labels_of(2))),
            pose_reading=PoseReading(LoopConfig(steps, rate, minutes=minutes, average=0.99), batch),
            text_reading=TextReading(LoopConfig(text_steps, rate, minutes=text_minutes, average=0.99), sentences_batch),
            singles=poses,
            pairs=poses // 3,
            seed=seed or 0,
        )
        with show_progress() as progress:
            learn, check = load_banks(data, interactions, progress)
            library = make_library(learn, config, 1.0, where)
            checked = make_library(check, config, CHECKED, where)
            begun = sentences, begin_with
            made, figures = train_alignment(library, checked, pieces, out, config, where, progress, resume, *begun)
        for file in save_alignment(out, made, figures):
            results.print(f"{file}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))


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
        from closemesh.cli.console import show_progress
        from closemesh.lab.training.pose_prior import train_pose_prior

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
        from closemesh.cli.console import show_progress
        from closemesh.lab.simulation.fit import fit_detector_errors
        from closemesh.lab.simulation.measure import FilmConfig

        with show_progress() as progress:
            errors = fit_detector_errors(data, out, FilmConfig(films, frames, seed=seed), progress)
        results.print(f"{out}: measured on {errors.measured_on}")


def interactions(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the windows; goes on where it stopped.")] = Path(
        "interactions"
    ),
    count: Annotated[int, typer.Option(min=1, help="Windows in all.")] = 2000,
    kinds: Annotated[str | None, typer.Option(metavar="A,B,...", help="Only these kinds.", show_default="all")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same machine, same bytes.")] = 0,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Begin from the motion that is held out for measuring.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one a core")] = None,
    device: o.DeviceOption = None,
    sheet: Annotated[Path | None, typer.Option(help="Draw a window of each kind into this PNG.")] = None,
) -> None:
    """Generate windows of two people who hug, shake hands, carry, kick, ...: motion with known contact.

    And of people apart, and of single people who sit, kneel, lie, crouch, crawl or reach.

    [dim]closemesh interactions --data mocap -o interactions --count 2000 --sheet sheet.png[/dim]
    """
    with exit_codes(when_stopped="give the same command again to go on"):
        from closemesh.cli.console import show_progress
        from closemesh.lab.synthesis.generate import InteractionsConfig, make_interactions

        chosen = tuple(kinds.split(",")) if kinds else None
        config = InteractionsConfig(
            count, chosen, seed, split="held_out" if held_out else "train", jobs=jobs, device=device or "cpu"
        )
        with show_progress() as progress:
            reports = make_interactions(data, out, config, progress)
        table = Table(title="Interactions", title_style="title")
        for column in ("kind", "key poses", "windows", "good", "mean gap, mm", "worst, mm", "deepest, mm", "lost to"):
            table.add_column(column, justify="left" if column in ("kind", "lost to") else "right")
        for r in reports:
            counts = f"{r.key_poses}/{r.attempts}", f"{r.accepted}/{r.tried}", f"{r.rate:.0%}"
            lengths = (1000 * length for length in (r.mean_contact_error, r.worst_contact_error, r.deepest))
            lost = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in r.faults.items())
            table.add_row(r.kind, *counts, *(f"{length:.1f}" for length in lengths), lost)
        results.print(table)
        if sheet:
            from closemesh.lab.synthesis.contact_sheet import draw_sheet

            draw_sheet(out, sheet)
            results.print(str(sheet), markup=False, soft_wrap=True)
