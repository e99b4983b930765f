"""Text side, MiniLM start.

Second part of the alignment: the text reader learns to tell what each sentence says; no pose is needed for that.

Begins a text reader with a published sentence encoder of BERT's layout (MiniLM).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.core.errors import InputError
from closemesh.core.progress import Progress
from closemesh.lab.training.caption_sampler import CaptionSampler, Examples
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer
from closemesh.text.alignment import TextReader
from closemesh.text.text_encoder import PERSON_A, PERSON_B, TextEncoder, WordPieceTokenizer

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
    pieces: WordPieceTokenizer,
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
            examples = CaptionSampler(pieces).batches(Random(f"{config.seed} {step}"), config.batch, _AT_ONCE)
            drawn = next(examples)
        numbers = drawn.pieces.to(device)
        odds = forward(numbers, numbers != pieces.pad)
        return {
            "reading": F.binary_cross_entropy_with_logits(odds, drawn.said.to(device), reduction="none").sum(1).mean()
        }

    made = trainer.run(loss, progress, evaluate, resume)
    assert isinstance(made, TextReader)
    return made


_STAND_INS = {PERSON_A: "alice", PERSON_B: "bob"}
_LAYER = {
    "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "norm": "output.LayerNorm",
}


def begin_with_sentences(encoder: TextEncoder, pieces: WordPieceTokenizer, folder: Path) -> None:
    """Weights of the first layers and of the pieces' embeddings, from model.safetensors and tokenizer.json of a folder.

    Raises InputError when they are not there or of another shape.
    """
    weights, vocabulary = _read(folder)
    rows = [vocabulary[_STAND_INS.get(piece, piece)] for piece in pieces.pieces]
    table = weights["embeddings.word_embeddings.weight"][rows]
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    state = {"pieces.weight": table, "places.weight": places[: len(encoder.places.weight)]}
    state |= {f"norm.{kind}": weights[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias")}
    for number in range(encoder.config.layers):
        theirs = f"encoder.layer.{number}"
        for kind in ("weight", "bias"):
            attention = [weights[f"{theirs}.attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            state[f"layers.{number}.query_key_value.{kind}"] = torch.cat(attention)
            state |= {
                f"layers.{number}.{ours}.{kind}": weights[f"{theirs}.{name}.{kind}"] for ours, name in _LAYER.items()
            }
    try:
        encoder.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(
            f"{folder} holds an encoder of another shape: {str(error).splitlines()[-1].strip()}"
        ) from error


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, int]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        return load_file(folder / "model.safetensors"), vocabulary
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(f"{folder} holds no model.safetensors and tokenizer.json of a sentence encoder") from error
