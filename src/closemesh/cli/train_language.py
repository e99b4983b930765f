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
    steps: Annotated[int, typer.Option(min=1)] = 8000,
    minutes: MinutesOption = None,
    batch: Annotated[int, typer.Option(min=4, help="Poses in each step, and half as many pairs.")] = 512,
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
    frozen: Annotated[bool, typer.Option("--frozen", help="Leave those weights as they are.")] = False,
    seed: o.SeedOption = 0,
    device: o.DeviceOption = None,
    resume: FreshOption = True,
) -> None:
    """Learn to read: texts and poses of one and of two people in one space, and poses as tokens.

    The texts are made from the motion by rules, in many wordings.
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

        pieces, where = load_pieces(), choose_device(device)
        config = AlignmentTraining(
            text=TextReaderConfig(TextEncoderConfig(len(pieces), layers=layers), frozen=frozen),
            loop=LoopConfig(steps, learning_rate, minutes=minutes, evaluate_every=500),
            batch=batch,
            singles=poses,
            pairs=poses // 3,
            seed=seed or 0,
        )
        with show_progress() as progress:
            learn, check = load_banks(data, interactions, progress)
            library = make_library(learn, pieces, config, 1.0, where)
            checked = make_library(check, pieces, config, CHECKED, where)
            begun = sentences, begin_with
            made, figures = train_alignment(library, checked, pieces, out, config, where, progress, resume, *begun)
        for file in save_alignment(out, made, figures):
            results.print(f"{file}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()))
