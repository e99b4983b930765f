"""`closemesh train language`: what text and poses have in common, from captured and generated motion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from closemesh.cli import options as o
from closemesh.cli.console import exit_codes, results
from closemesh.cli.train_networks import STOPPED, DataOption, FreshOption, InteractionsOption, MinutesOption, RateOption


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
        from closemesh.cli.progress import show_progress
        from closemesh.device import choose_device
        from closemesh.language.alignment import TextReaderConfig, save_alignment
        from closemesh.language.text_encoder import TextEncoderConfig
        from closemesh.language.words import load_pieces
        from closemesh.training.data import load_banks
        from closemesh.training.language import CHECKED, AlignmentTraining, make_library, train_alignment
        from closemesh.training.loop import LoopConfig
        from closemesh.training.pose_reading import PoseReading
        from closemesh.training.sayings import sayings_of
        from closemesh.training.text_reading import TextReading

        pieces, where, rate = load_pieces(), choose_device(device), learning_rate
        config = AlignmentTraining(
            text=TextReaderConfig(TextEncoderConfig(len(pieces), layers=layers), len(sayings_of(2))),
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
