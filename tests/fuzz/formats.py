"""How a file is damaged, by its suffix."""

from __future__ import annotations

from pathlib import Path
from random import Random

from . import damage, trees
from .damage import BYTES, Mutator

_ARCHIVED = tuple(damage.in_zip(mutate) for mutate in BYTES)
_PACKED = tuple(damage.in_zlib(mutate) for mutate in BYTES)
_NPZ = damage.in_zip(damage.change_npy)

MUTATORS: dict[str, tuple[Mutator, ...]] = {
    ".json": (*[trees.json_tree] * 5, *[damage.change_words] * 3, *BYTES),
    ".pkl": (*[damage.in_zlib(trees.pickle_tree)] * 8, *_PACKED, *BYTES),
    ".npz": (*[trees.npz_tree] * 6, *[_NPZ] * 3, damage.change_zip, *_ARCHIVED, *BYTES),
    ".npy": (*[trees.npy_tree] * 4, damage.change_npy, *BYTES),
    ".pt": (*[trees.torch_tree] * 6, damage.change_zip, *_ARCHIVED, *BYTES),
    ".safetensors": (*[trees.safetensors_tree] * 3, *BYTES),
}
"""Suffix -> mutators, by how often they are drawn."""
_TEXT = (*[damage.change_words] * 4, *BYTES)
_TEXTS = (".toml", ".txt", ".bvh", ".asf", ".amc", ".answer")


def damaged(file: Path, data: bytes, random: Random) -> bytes:
    """The content of a file, damaged once, sometimes twice."""
    suffix = file.suffix.lower()
    mutators = _TEXT if suffix in _TEXTS else MUTATORS.get(suffix, BYTES)
    changed = random.choice(mutators)(data, random)
    if random.random() < 0.15:
        changed = random.choice(_TEXT if mutators is _TEXT else BYTES)(changed, random)
    return changed
