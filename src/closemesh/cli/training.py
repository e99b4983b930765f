"""The commands `train`, which makes the bundled models again, and `interactions`, which generates motion in contact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from closemesh.cli import options as o
from closemesh.cli.console import HOW_TO_RESUME, exit_codes, results
from closemesh.cli.keypoint_noise import keypoint_noise

if TYPE_CHECKING:
    from closemesh.lab.synthesis.work_units import KindReport

DataOption = Annotated[Path, typer.Option(help="Folder with captured motion, in any format that closemesh reads.")]
InteractionsOption = Annotated[
    Path | None, typer.Option(help="Folder with motion that `closemesh interactions` generated.")
]
StepsOption = Annotated[int, typer.Option(min=1, help="Optimizer steps of each network.")]
MinutesOption = Annotated[float | None, typer.Option(min=0.1, help="Stop each network after this time.")]
BatchOption = Annotated[int, typer.Option(min=2, help="Windows per step.")]
RateOption = Annotated[float, typer.Option(min=1e-6, help="Learning rate of AdamW after the warm-up.")]
FirstOption = Annotated[
    Path | None,
    typer.Option(
        "--begin-with", help="Folder of trained networks to start from, of the same size; random weights if not given."
    ),
]
FreshOption = Annotated[bool, typer.Option("--resume/--fresh", help="Resume a stopped run, or start anew.")]


train = typer.Typer(no_args_is_help=True, help="Train the bundled models on your own data.")


@train.callback()
def _group() -> None:
    """Train the bundled models on your own data."""


@train.command()
def lifter(
    data: DataOption,
    interactions: InteractionsOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the network, log and state.")] = Path("lifter"),
    steps: StepsOption = 20000,
    minutes: MinutesOption = None,
    batch: BatchOption = 256,
    width: Annotated[int, typer.Option(min=32, help="Width of a token.")] = 256,
    layers: Annotated[int, typer.Option(min=1, help="Transformer layers.")] = 6,
    learning_rate: RateOption = 3e-4,
    begin_with: FirstOption = None,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = None,
    resume: FreshOption = True,
) -> None:
    """Train the lifting network: keypoints to a distribution over pose, shape and position."""
    with exit_codes(when_stopped=HOW_TO_RESUME):
        o.claim_folder(out)
        from closemesh.cli.console import show_progress
        from closemesh.core.device import choose_device
        from closemesh.initialization.lifting_network import LifterConfig, load_lifter
        from closemesh.lab.training.lifter import LifterTraining, train_lifter
        from closemesh.lab.training.loop import LoopConfig, TrainingRun
        from closemesh.lab.training.motion_bank import load_datasets
        from closemesh.networks.checkpoint import save_network

        network = LifterConfig(width=width, layers=layers, hidden=4 * width)
        config = LifterTraining(network, LoopConfig(steps, learning_rate, minutes=minutes), batch=batch, seed=seed or 0)
        where = choose_device(device)
        first = load_lifter(where, begin_with / "lifter.safetensors") if begin_with else None
        with show_progress() as progress:
            learn, check = load_datasets(data, interactions, progress)
            made, metrics = train_lifter(learn, check, config, TrainingRun(out, where, progress, resume), first)
        save_network(out / "lifter.safetensors", made, made.config, metrics)
        _print_metrics(out / "lifter.safetensors", metrics)


@train.command()
def prior(
    data: DataOption,
    interactions: InteractionsOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for networks, logs and states.")] = Path("prior"),
    steps: StepsOption = 20000,
    minutes: MinutesOption = None,
    batch: BatchOption = 256,
    windows: Annotated[int, typer.Option(min=2, help="Windows of simulated first motion for training.")] = 16384,
    width: Annotated[int, typer.Option(min=32, help="Width of a token.")] = 256,
    layers: Annotated[int, typer.Option(min=1, help="Transformer layers.")] = 4,
    frames: Annotated[int, typer.Option(min=8, help="Frames of the denoiser's windows.")] = 32,
    learning_rate: RateOption = 3e-4,
    begin_with: FirstOption = None,
    only: Annotated[
        Literal["denoiser", "codebook"] | None,
        typer.Option(help="Train only one of the two networks.", show_default="both"),
    ] = None,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = None,
    resume: FreshOption = True,
) -> None:
    """Train the interaction prior of two people: the denoiser of the diffusion and the codebook."""
    with exit_codes(when_stopped=HOW_TO_RESUME):
        o.claim_folder(out)
        from closemesh.cli.console import show_progress
        from closemesh.core.device import choose_device
        from closemesh.interaction_prior.codebook import CodebookConfig
        from closemesh.interaction_prior.diffusion import DenoiserConfig
        from closemesh.lab.training.denoiser import DenoiserTraining
        from closemesh.lab.training.interaction_prior import (
            NETWORKS,
            QUANTIZED_MODULES,
            CodebookTraining,
            train_interaction_prior,
        )
        from closemesh.lab.training.loop import LoopConfig, TrainingRun
        from closemesh.lab.training.motion_bank import load_datasets
        from closemesh.networks.checkpoint import save_network

        size: dict[str, Any] = {"width": width, "layers": layers, "hidden": 2 * width}
        loop = LoopConfig(steps, learning_rate, minutes=minutes)
        # The codebook has the easier task: its input is its target.
        short = LoopConfig(steps, learning_rate, minutes=minutes and minutes / 2)
        denoising = DenoiserTraining(DenoiserConfig(**size, frames=frames), loop, batch=batch, seed=seed or 0)
        codebook = CodebookConfig(**{**size, "layers": max(1, layers // 2)})  # Encoder and decoder have layers each.
        coding = CodebookTraining(codebook, short, batch=batch, seed=seed or 0)
        with show_progress() as progress:
            learn, check = load_datasets(data, interactions, progress)
            chosen = (only,) if only else NETWORKS
            where = choose_device(device)
            run = TrainingRun(out, where, progress, resume)
            made = train_interaction_prior(learn, check, windows, denoising, coding, run, begin_with, chosen)
        for name, (network, metrics) in made.items():
            path = out / f"{name}.safetensors"
            save_network(path, network, network.config, metrics, quantize=QUANTIZED_MODULES.get(name, ()))
            _print_metrics(path, metrics)


@train.command()
def language(
    data: DataOption,
    interactions: InteractionsOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for networks, log and state.")] = Path("language"),
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of the pose encoder.")] = 4000,
    text_steps: Annotated[int, typer.Option(min=1, help="Optimizer steps of the text encoder.")] = 8000,
    minutes: MinutesOption = None,
    text_minutes: Annotated[float | None, typer.Option(min=0.1, help="Stop the text encoder after this time.")] = None,
    batch: Annotated[int, typer.Option(min=4, help="Poses per step, and half as many pairs.")] = 384,
    sentences_batch: Annotated[int, typer.Option("--text-batch", min=2, help="Sentences per step.")] = 64,
    poses: Annotated[int, typer.Option(min=1000, help="Poses for training; a third as many pairs.")] = 120_000,
    layers: Annotated[int, typer.Option(min=1, help="Transformer layers of the text encoder.")] = 4,
    learning_rate: RateOption = 1e-3,
    sentences: Annotated[
        Path | None,
        typer.Option(
            help="Folder of a sentence encoder (all-MiniLM-L6-v2: model.safetensors, tokenizer.json) whose weights the "
            "text encoder starts from; random weights if not given."
        ),
    ] = None,
    begin_with: Annotated[
        Path | None, typer.Option(help="Folder of trained encoders to start from, of the same size.")
    ] = None,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = None,
    resume: FreshOption = True,
) -> None:
    """Train the shared space of text and pose, for one and for two people, and the pose tokens.

    First the pose encoder is trained with one embedding per label; rules decide which labels a pose has. Then the
    text encoder is trained to find the labels of a sentence in many paraphrases.
    """
    with exit_codes(when_stopped=HOW_TO_RESUME):
        o.claim_folder(out)
        from closemesh.cli.console import show_progress
        from closemesh.core.device import choose_device
        from closemesh.lab.training.loop import LoopConfig, TrainingRun
        from closemesh.lab.training.motion_bank import load_datasets
        from closemesh.lab.training.pose_encoder import PoseEncoderTraining
        from closemesh.lab.training.text_alignment import (
            CHECK_FRACTION,
            alignment_training,
            make_alignment_data,
            train_alignment,
        )
        from closemesh.lab.training.text_encoder import TextEncoderTraining
        from closemesh.text.alignment import save_alignment
        from closemesh.text.text_encoder import load_tokenizer

        tokenizer, where = load_tokenizer(), choose_device(device)
        pose_loop = LoopConfig(steps, learning_rate, minutes=minutes)
        text_loop = LoopConfig(text_steps, learning_rate, minutes=text_minutes)
        pose_training = PoseEncoderTraining(pose_loop, batch)
        text_training = TextEncoderTraining(text_loop, sentences_batch)
        config = alignment_training(pose_training, text_training, tokenizer, layers, poses, seed or 0)
        with show_progress() as progress:
            run = TrainingRun(out, where, progress, resume)
            learn, check = load_datasets(data, interactions, progress)
            learn_data = make_alignment_data(learn, config, 1.0, where)
            check_data = make_alignment_data(check, config, CHECK_FRACTION, where)
            model, metrics = train_alignment(learn_data, check_data, tokenizer, run, config, sentences, begin_with)
        for file in save_alignment(out, model, metrics):
            _print_metrics(file, metrics)


@train.command("pose-prior")
def pose_prior(
    data: Annotated[Path, typer.Option(help="Folder with motion: .npz files with poses [T, 22, 3].")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("pose_prior.npz"),
    overwrite: o.OverwriteOption = False,
    components: Annotated[int, typer.Option(min=1, help="Gaussians in the mixture.")] = 16,
    steps: Annotated[int, typer.Option(min=1, help="Steps of expectation maximization.")] = 40,
) -> None:
    """Train the pose prior on captured motion."""
    with exit_codes():
        o.check_new_file(out, overwrite)
        from closemesh.cli.console import show_progress
        from closemesh.lab.training.pose_prior import train_pose_prior

        with show_progress() as progress:
            nll = train_pose_prior(data, out, progress, components, steps)
        results.print(f"{out}: median negative log-likelihood of test poses {nll:.1f}")


@train.command("detector-errors")
def detector_errors(
    data: Annotated[Path, typer.Option(help="Folder with motion: .npz files with poses [T, (P,) 22, 3] and trans.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("detector_errors.npz"),
    overwrite: o.OverwriteOption = False,
    videos: Annotated[int, typer.Option("--videos", "--films", min=1, help="Videos to render and observe.")] = 40,
    frames: Annotated[int, typer.Option(min=2, help="Frames of each video.")] = 60,
    seed: Annotated[int, typer.Option(min=0, help="Seed of cameras, clothes and environments.")] = 0,
) -> None:
    """Measure the errors of the detector on rendered videos of captured motion."""
    with exit_codes():
        o.check_new_file(out, overwrite)
        from closemesh.cli.console import show_progress
        from closemesh.lab.simulation.fit import fit_detector_errors
        from closemesh.lab.simulation.measure import VideoConfig

        with show_progress() as progress:
            errors = fit_detector_errors(data, out, VideoConfig(videos, frames, seed=seed), progress)
        results.print(f"{out}: measured on {errors.measured_on}")


train.command("keypoint-noise")(keypoint_noise)


def _print_metrics(path: Path, metrics: dict[str, float]) -> None:
    results.print(f"{path}: " + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


def interactions(
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the windows; a stopped run resumes.")] = Path(
        "interactions"
    ),
    count: Annotated[int, typer.Option(min=1, help="Windows in all.")] = 2000,
    kinds: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Only these kinds of interaction.", show_default="all")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    held_out: Annotated[bool, typer.Option("--held-out", help="Start from the motion of the test split.")] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one per core")] = None,
    device: o.DeviceOption = None,
    sheet: Annotated[Path | None, typer.Option(help="Render a window of each kind into this PNG.")] = None,
    overwrite: o.OverwriteOption = False,
) -> None:
    """Generate motion of two people in known contact: they hug, shake hands, carry, kick, ...

    Also of pairs without contact, and of single people who sit, kneel, lie, crouch, crawl or reach.

    [dim]closemesh interactions --data mocap -o interactions --count 2000 --sheet sheet.png[/dim]
    """
    with exit_codes(when_stopped=HOW_TO_RESUME):
        o.check_new_file(sheet, overwrite, data)
        o.claim_folder(out)
        from closemesh.cli.console import show_progress
        from closemesh.lab.synthesis.generate import InteractionsConfig, make_interactions

        chosen = tuple(kinds.split(",")) if kinds else None
        config = InteractionsConfig(
            count, chosen, seed, split="held_out" if held_out else "train", jobs=jobs, device=device or "cpu"
        )
        with show_progress() as progress:
            reports = make_interactions(data, out, config, progress)
        results.print(_interactions_table(reports))
        if sheet:
            from closemesh.lab.synthesis.contact_sheet import draw_sheet

            draw_sheet(out, sheet)
            results.print(str(sheet), markup=False, soft_wrap=True)


def _interactions_table(reports: Sequence[KindReport]) -> Table:
    """One row for each kind of interaction: yield and contact errors of the generated windows."""
    table = Table(title="Interactions", title_style="title")
    for column in (
        "kind",
        "key poses",
        "windows",
        "good",
        "mean error, mm",
        "largest, mm",
        "deepest, mm",
        "rejected for",
    ):
        table.add_column(column, justify="left" if column in ("kind", "rejected for") else "right")
    for report in reports:
        lengths = (report.mean_contact_error, report.worst_contact_error, report.deepest)
        table.add_row(
            report.kind,
            f"{report.key_poses}/{report.attempts}",
            f"{report.accepted}/{report.tried}",
            f"{report.rate:.0%}",
            *(f"{1000 * length:.1f}" for length in lengths),
            ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in report.faults.items()),
        )
    return table
