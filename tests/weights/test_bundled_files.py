"""Bundled model files: they are those of their model cards, and a wheel with them stays below PyPI's limit."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from closemesh.core.files import sha256_of
from closemesh.weights.locate import find_model
from closemesh.weights.registry import BUNDLED_FILES, DETECTOR_ERRORS, WeightEntry

ROOT = Path(__file__).parents[2]
MAX_WHEEL = 100_000_000  # Bytes; PyPI takes no larger file.
WEIGHTS = [entry for entry in (*BUNDLED_FILES, DETECTOR_ERRORS) if not entry.name.endswith(".txt")]


@pytest.mark.parametrize("entry", WEIGHTS, ids=lambda entry: entry.name)
def test_a_file_is_the_one_of_its_model_card(entry: WeightEntry) -> None:
    path = find_model(entry.name)
    listed = "".join(file.read_text(encoding="utf-8") for file in sorted(path.parent.glob("[RS]*")))
    assert sha256_of(path) in listed


def test_a_wheel_stays_below_the_limit_of_the_package_index() -> None:
    packed = [file for folder in ("models", "src/closemesh") for file in (ROOT / folder).rglob("*") if file.is_file()]
    size = sum(len(zlib.compress(file.read_bytes(), 6)) for file in packed if "__pycache__" not in file.parts)
    assert 10_000_000 < size < 0.99 * MAX_WHEEL, f"{size:,} bytes"
