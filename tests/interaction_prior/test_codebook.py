"""The interaction codebook: a linear code before training, its file, and guidance that leaves what was seen well."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.interaction_prior.codebook import (
    CODEBOOK_FRAMES,
    Codebook,
    CodebookConfig,
    canonical_frame,
    load_codebook,
    to_canonical,
)
from closemesh.interaction_prior.guidance import GuidanceConfig, codebook_fraction, guide_by_codebook
from closemesh.interaction_prior.state import STATE_WIDTH, PairState, PairUncertainty, pack
from closemesh.interaction_prior.windows import PairWindows
from closemesh.networks.checkpoint import save_network

TINY = CodebookConfig(width=160, layers=1, heads=4, hidden=64, codes=32, code_width=20, groups=8, levels=3)
TIMES = torch.arange(CODEBOOK_FRAMES) / 30


def slow_motion(count: int, seed: int = 0) -> PairState:
    """Two people who stand a meter apart and turn their joints once within a window."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    change = torch.linspace(-1, 1, CODEBOOK_FRAMES)[None, :, None, None, None]
    turns = 0.3 * randn(count, 1, 2, 22, 3) + 0.1 * change * randn(count, 1, 2, 22, 3)
    pelvis = torch.tensor([[0.0, 0, 0], [1, 0, 0]]) + 0.2 * randn(count, 1, 2, 3).expand(-1, CODEBOOK_FRAMES, -1, -1)
    return PairState(axis_angle_to_matrix(turns), randn(count, 1, 2, 10).expand(-1, CODEBOOK_FRAMES, -1, -1), pelvis)


def canonical(state: PairState) -> torch.Tensor:
    return pack(to_canonical(state, canonical_frame(state)))


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    torch.manual_seed(0)
    network = Codebook(TINY).eval()
    network.fit_linear(canonical(slow_motion(256)), torch.ones(STATE_WIDTH))
    return network.requires_grad_(False)


def error(codebook: Codebook, levels: int | None = None) -> float:
    motion = canonical(slow_motion(16, seed=1))
    decoded = codebook(motion, TIMES.expand(16, -1), levels=levels).motion
    return float((decoded - motion).square().mean())


def test_without_training_it_is_a_linear_code(codebook: Codebook) -> None:
    motion = canonical(slow_motion(16, seed=1))
    output = codebook(motion, TIMES.expand(16, -1))
    assert output.codes.shape == (16, 2, TINY.groups, TINY.levels)
    variance = float((motion - motion.mean((0, 1, 2))).square().mean())
    assert error(codebook) < 0.8 * variance


def test_more_levels_decode_more_exactly(codebook: Codebook) -> None:
    errors = [error(codebook, levels) for levels in (1, 2, 3)]
    assert errors[0] > errors[1] > errors[2] == error(codebook)


def test_the_file_holds_configuration_and_codes(codebook: Codebook, tmp_path: Path) -> None:
    path = tmp_path / "codebook.safetensors"
    save_network(path, codebook, codebook.config, quantize=("encoder", "decoder"))
    loaded = load_codebook("cpu", path)
    assert loaded.config == TINY
    assert error(loaded) == pytest.approx(error(codebook), rel=0.02)


def windows_of(state: PairState, std: PairUncertainty) -> PairWindows:
    """The parts of windows that the guidance reads."""
    windows = object.__new__(PairWindows)
    tracks = type("Tracks", (), {"times": TIMES.expand(len(state.pelvis), -1)})()
    for name, value in {"mean": state, "std": std, "tracks": tracks}.items():
        object.__setattr__(windows, name, value)
    return windows


def test_guidance_moves_what_is_uncertain_and_leaves_what_was_seen_well(codebook: Codebook) -> None:
    state = slow_motion(2, seed=2)
    rotation_std = torch.full(state.rotations.shape[:4], 0.01)
    rotation_std[:, :, :, 16] = 1.0
    std = PairUncertainty(rotation_std, torch.full_like(state.betas, 1.0), torch.full_like(state.pelvis, 0.001))
    guided = guide_by_codebook(codebook, windows_of(state, std), GuidanceConfig(codebook=1.0))(state, 0)
    moved = (guided.rotations - state.rotations).abs().amax((0, 1, 2, 4, 5))
    assert float(moved[16]) > 0.1
    assert float(torch.cat([moved[:16], moved[17:]]).max()) < 0.01
    torch.testing.assert_close(guided.betas, state.betas)
    torch.testing.assert_close(guided.pelvis, state.pelvis, atol=1e-3, rtol=0)


def test_guidance_waits_until_bodies_are_in_place(codebook: Codebook) -> None:
    state = slow_motion(2)
    std = PairUncertainty(torch.ones(state.rotations.shape[:4]), torch.ones_like(state.betas), state.pelvis.abs() + 1)
    config = replace(GuidanceConfig(), start_step=20)
    assert guide_by_codebook(codebook, windows_of(state, std), config)(state, 40) is state


def test_the_fraction_of_decoded_motion_grows_with_the_uncertainty() -> None:
    def fraction(angle: float) -> torch.Tensor:
        std = PairUncertainty(torch.full((1, 1, 1, 22), angle), torch.ones(1, 1, 1, 10), torch.ones(1, 1, 1, 3))
        return codebook_fraction(std).flatten()

    little, much = fraction(0.05), fraction(0.6)
    assert float(little[0]) < 0.05 and float(much[0]) > 0.7
    assert float(much[22 * 6 : -3].max()) == 0


def test_more_levels_are_added_to_a_trained_network(codebook: Codebook) -> None:
    motion = canonical(slow_motion(128, seed=3))
    grown = codebook.with_levels(4, motion, TIMES.expand(128, -1)).eval()
    assert grown.config.levels == 4 and error(grown) < error(codebook)
    assert error(grown, levels=3) == error(codebook)
