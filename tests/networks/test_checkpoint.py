"""Weight files: what is saved is loaded, and a wrong file is one clear line."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from closemesh.core.errors import ModelFileError
from closemesh.initialization.lifting_network import Lifter, LifterConfig, load_lifter
from closemesh.interaction_prior.codebook import load_codebook
from closemesh.interaction_prior.diffusion import load_denoiser
from closemesh.networks.checkpoint import load_network, rename_config, rename_keys, save_network

SMALL = LifterConfig(width=32, layers=1, heads=4, hidden=64)


def make(config: dict) -> Lifter:
    return Lifter(LifterConfig(**config))


def test_what_is_saved_is_loaded_to_half_precision(tmp_path: Path) -> None:
    network = Lifter(SMALL)
    save_network(tmp_path / "a.safetensors", network, network.config)
    again = load_network(tmp_path / "a.safetensors", make, "cpu")
    assert asdict(again.config) == asdict(SMALL)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    assert not any(parameter.requires_grad for parameter in again.parameters())


@pytest.mark.parametrize("content", [None, b"not weights", b""])
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"bad\.safetensors"):
        load_network(path, make, "cpu")


def test_keys_and_fields_of_earlier_versions_are_renamed() -> None:
    keys = ["a", "x.a.weight", "a.book", "a.0.book", "ab.book.x", "abook"]
    renamed = rename_keys({key: torch.zeros(()) for key in keys}, {"book": "codebook", "a": "c", "a.book": "d.books"})
    assert list(renamed) == ["c", "x.c.weight", "d.books", "c.0.codebook", "ab.codebook.x", "abook"]
    stored = {"encoder": {"pieces": 8000, "width": 3}, "sides": [1, 2]}
    assert rename_config(stored, {"pieces": "num_pieces", "sides": "kernel_sizes"}) == {
        "encoder": {"num_pieces": 8000, "width": 3},
        "kernel_sizes": [1, 2],
    }


def test_the_bundled_networks_are_there_and_finite() -> None:
    for network in (load_lifter("cpu"), load_denoiser("cpu"), load_codebook("cpu")):
        assert all(value.isfinite().all() for value in network.state_dict().values())
