"""Trains the text encoder to predict the labels of captions; it can start from a published sentence encoder (MiniLM).

This is the second part of the alignment. It needs no poses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closemesh.core.errors import InputError
from closemesh.core.foreign import expect_mapping, expect_whole_number, foreign_file, read_json_file
from closemesh.lab.training.caption_sampler import CaptionBatch, CaptionSampler
from closemesh.lab.training.loop import Forward, LoopConfig, Losses, Trainer, TrainingRun
from closemesh.text.alignment import TextEncoder
from closemesh.text.text_encoder import PERSON_A, PERSON_B, TextTransformer, WordPieceTokenizer

_BATCHES_AT_ONCE = 64  # Drawn together, so that captions of a batch have about the same length.
_NAMES = {PERSON_A: "alice", PERSON_B: "bob"}  # Words whose embeddings the two person tokens start from.
_BERT_NAMES = {
    "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "norm": "output.LayerNorm",
}


@dataclass(frozen=True)
class TextEncoderTraining:
    """Batch size and learning rates."""

    loop: LoopConfig
    batch: int = 96
    """Captions in each step."""
    pretrained_rate: float = 0.2
    """Factor of the learning rate for a pretrained transformer; with more it forgets its words."""
    embedding_rate: float = 0.0
    """Factor for pretrained token embeddings; 0 preserves the embeddings of words that captions lack."""
    seed: int = 0


def train_text(
    network: TextEncoder,
    tokenizer: WordPieceTokenizer,
    run: TrainingRun,
    config: TextEncoderTraining,
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
    pretrained: bool = True,
) -> TextEncoder:
    """The network with averaged weights; log and state are in the folder of the run.

    pretrained: the transformer has published or earlier weights. Raises InputError when the state in the folder belongs
    to another training.
    """
    rates = {"transformer.token_embedding": config.embedding_rate, "transformer.": config.pretrained_rate}
    trainer = Trainer(network, config.loop, run.folder, run.device, rates if pretrained else {})
    batches: Iterator[CaptionBatch] = iter(())

    def loss(forward: Forward, step: int) -> Losses:
        nonlocal batches
        drawn = next(batches, None)
        if drawn is None:
            random = Random(f"{config.seed} {step}")
            batches = CaptionSampler(tokenizer).batches(random, config.batch, _BATCHES_AT_ONCE)
            drawn = next(batches)
        tokens, labels = drawn.tokens.to(run.device), drawn.labels.to(run.device)
        odds = forward(tokens, tokens != tokenizer.pad)
        return {"reading": F.binary_cross_entropy_with_logits(odds, labels, reduction="none").sum(1).mean()}

    trained = trainer.run(loss, run.progress, evaluate, run.resume)
    assert isinstance(trained, TextEncoder)
    return trained


def init_from_sentence_encoder(transformer: TextTransformer, tokenizer: WordPieceTokenizer, folder: Path) -> None:
    """Set the weights of embeddings and layers from model.safetensors and tokenizer.json of a folder (layout of BERT).

    Raises InputError when a file is missing or has another shape.
    """
    with foreign_file(folder):
        state = _bert_state(transformer, tokenizer, folder)
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise InputError(f"{folder} holds weights that are not finite; get it again")
    try:
        transformer.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{folder} holds an encoder of another shape: {reason}") from error


def _bert_state(transformer: TextTransformer, tokenizer: WordPieceTokenizer, folder: Path) -> dict[str, Tensor]:
    """The weights in the files under the names of `transformer`. Raises InputError."""
    weights, vocabulary = _read(folder)
    rows = [vocabulary[_NAMES.get(entry, entry)] for entry in tokenizer.vocabulary]
    table = weights["embeddings.word_embeddings.weight"][rows]
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    state = {
        "token_embedding.weight": table,
        "position_embedding.weight": positions[: len(transformer.position_embedding.weight)],
    }
    state |= {f"norm.{kind}": weights[f"embeddings.LayerNorm.{kind}"] for kind in ("weight", "bias")}
    for number in range(transformer.config.layers):
        bert = f"encoder.layer.{number}"
        for kind in ("weight", "bias"):
            attention = [weights[f"{bert}.attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            state[f"layers.{number}.query_key_value.{kind}"] = torch.cat(attention)
            state |= {
                f"layers.{number}.{name}.{kind}": weights[f"{bert}.{bert_name}.{kind}"]
                for name, bert_name in _BERT_NAMES.items()
            }
    return state


def _vocabulary(path: Path) -> dict[str, int]:
    """Word -> row of its embedding. Raises InputError."""
    with foreign_file(path):
        words = expect_mapping(path, "vocab", read_json_file(path)["model"]["vocab"])
        return {word: expect_whole_number(path, "an entry of vocab", row, 0) for word, row in words.items()}


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, int]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(folder / "model.safetensors"), _vocabulary(folder / "tokenizer.json")
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(f"{folder} holds no model.safetensors and tokenizer.json of a sentence encoder") from error
