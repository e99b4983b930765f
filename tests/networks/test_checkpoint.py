"""Weight files: what is saved is loaded, and a wrong file is one clear line."""

from __future__ import annotations

import json
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


def test_chosen_modules_are_saved_in_8_bits_within_half_a_step(tmp_path: Path) -> None:
    network = Lifter(LifterConfig(width=128, layers=2, heads=4, hidden=256))
    with torch.no_grad():
        network.blocks[0].feed_forward[0].weight[3] *= 1e-6  # The other rows do not set its step.
        network.blocks[0].feed_forward[0].weight[4] = 0
    plain, path, twice = (tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors"))
    save_network(plain, network, network.config)
    save_network(path, network, network.config, quantize=["blocks.0"])
    assert path.stat().st_size < 0.9 * plain.stat().st_size
    full, halves, again = network.state_dict(), load_network(plain, make, "cpu"), load_network(path, make, "cpu")
    in_8_bits = 0
    for name, value in again.state_dict().items():
        assert value.dtype == full[name].dtype
        if name.startswith("blocks.0.") and full[name].numel() >= 16_000:
            step = full[name].flatten(1).abs().amax(1, keepdim=True) / 127
            assert ((value - full[name]).flatten(1).abs() <= 0.5001 * step).all()
            in_8_bits += 1
        else:
            assert torch.equal(value, halves.state_dict()[name])
    assert in_8_bits >= 3
    save_network(twice, again, again.config, quantize=["blocks.0"])
    saved_twice = load_network(twice, make, "cpu").state_dict()
    assert all(torch.equal(saved_twice[name], value) for name, value in again.state_dict().items())


def test_8_bits_without_their_factors_are_a_damaged_file(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    network = Lifter(LifterConfig(width=256, layers=1, heads=4, hidden=256))
    path = tmp_path / "a.safetensors"
    save_network(path, network, network.config, quantize=["blocks"])
    weights = {name: tensor for name, tensor in load_file(path).items() if not name.endswith("row_scale")}
    save_file(weights, path, metadata={"config": json.dumps(asdict(network.config))})
    with pytest.raises(ModelFileError, match=r"a\.safetensors"):
        load_network(path, make, "cpu")


@pytest.mark.parametrize("content", [None, b"not weights", b""])
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"bad\.safetensors"):
        load_network(path, make, "cpu")


def damaged_headers() -> dict[str, bytes]:
    def file(header: dict[str, object] | bytes, length: int | None = None) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(64)

    def tensor(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}

    config = {"__metadata__": {"config": json.dumps(asdict(LifterConfig()))}}
    return {
        "huge_header": file({}, 1 << 60),
        "long_header": file({}, 1 << 20),
        "overlap": file({**config, "a": tensor(0, 64, [16]), "b": tensor(0, 64, [16])}),
        "outside": file({**config, "a": tensor(0, 1 << 40, [1 << 38])}),
        "backwards": file({**config, "a": tensor(64, 0, [16])}),
        "other_size": file({**config, "a": tensor(0, 64, [1 << 40])}),
        "unknown_type": file({**config, "a": tensor(0, 64, [16], "F4096")}),
        "negative": file({**config, "a": tensor(0, 64, [-16])}),
        "nested": file(b"[" * 100_000),
        "no_text": file(b"\xff" * 20),
        "nan_config": file({"__metadata__": {"config": "NaN"}, "a": tensor(0, 64, [16])}),
        "list_config": file({"__metadata__": {"config": "[]"}, "a": tensor(0, 64, [16])}),
        "deep_config": file({"__metadata__": {"config": "[" * 50_000}, "a": tensor(0, 64, [16])}),
        "no_config": file({"a": tensor(0, 64, [16])}),
        "other_metadata": file({"__metadata__": 3}),
    }


@pytest.mark.parametrize("name", list(damaged_headers()))
def test_a_damaged_header_is_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(damaged_headers()[name])
    with pytest.raises(ModelFileError, match=r"bad\.safetensors") as caught:
        load_network(path, make, "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [{"width": 200_000}, {"hidden": 10**9}, {"layers": 10**6}, {"heads": 0}, {"width": -8}, {"layers": "x"}, {"a": 1}],
)
def test_a_configuration_of_another_size_takes_no_memory(tmp_path: Path, changes: dict[str, object]) -> None:
    from safetensors.torch import save_file

    small = {"width": 32, "layers": 1, "heads": 4, "hidden": 32}
    path = tmp_path / "bad.safetensors"
    save_file({"a": torch.zeros(3)}, path, metadata={"config": json.dumps({**small, **changes})})
    with pytest.raises(ModelFileError, match=r"bad\.safetensors") as caught:
        load_network(path, make, "cpu")
    assert "\n" not in str(caught.value)


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
