"""Second part of the alignment: the text reader learns to tell what each sentence says; no pose is needed for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import nn

from closemesh.language.alignment import TextReader
from closemesh.language.words import Pieces
from closemesh.progress import Progress
from closemesh.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.training.texts import Examples, Sentences

_AT_ONCE = 64  # Batches that are drawn together, so that each is of sentences of one length.


@dataclass(frozen=True)
class TextReading:
    """How the text reader is trained."""

    loop: LoopConfig
    batch: int = 96
    """Sentences in each step."""
    begun_share: float = 0.2
    """Of the learning rate, for a transformer that begins with published weights: more, and it forgets its words."""
    pieces_share: float = 0.0
    """Of the learning rate, for what each piece of a word means: nothing, so that words never seen keep their place."""
    seed: int = 0


def train_text(
    network: TextReader,
    pieces: Pieces,
    folder: Path,
    config: TextReading,
    device: torch.device,
    progress: Progress,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    resume: bool = True,
    begun: bool = True,
) -> TextReader:
    """The network with averaged weights; folder holds log and state.

    begun: its transformer has published or earlier weights.
    """
    shares = {"encoder.pieces": config.pieces_share, "encoder.": config.begun_share} if begun else {}
    trainer = Trainer(network, config.loop, folder, device, shares)
    examples: Iterator[Examples] = iter(())

    def loss(forward: Forward, step: int) -> Losses:
        nonlocal examples
        drawn = next(examples, None)
        if drawn is None:
            examples = Sentences(pieces).batches(Random(f"{config.seed} {step}"), config.batch, _AT_ONCE)
            drawn = next(examples)
        numbers = drawn.pieces.to(device)
        odds = forward(numbers, numbers != pieces.pad)
        return {
            "reading": F.binary_cross_entropy_with_logits(odds, drawn.said.to(device), reduction="none").sum(1).mean()
        }

    made = trainer.run(loss, progress, evaluate, resume)
    assert isinstance(made, TextReader)
    return made
