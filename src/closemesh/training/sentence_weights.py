"""Begins a text reader with a published sentence encoder of BERT's layout (MiniLM)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from closemesh.errors import InputError
from closemesh.language.text_encoder import TextEncoder
from closemesh.language.words import PERSON_A, PERSON_B, Pieces

_STAND_INS = {PERSON_A: "alice", PERSON_B: "bob"}
_LAYER = {
    "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "norm": "output.LayerNorm",
}


def begin_with_sentences(encoder: TextEncoder, pieces: Pieces, folder: Path) -> None:
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
