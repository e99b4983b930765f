"""Every measurement has a memory of its own."""

from __future__ import annotations

import numpy as np
import pytest

from closemesh.core.device import peak_rss_mb
from closemesh.lab.evaluation.speed import run_isolated


def _fill(megabytes: int) -> float | None:
    block = np.ones(megabytes << 17)  # 8 bytes each.
    return peak_rss_mb() if block.all() else None


def test_the_peak_of_one_process_does_not_show_in_the_next() -> None:
    large, small = run_isolated(_fill, 600), run_isolated(_fill, 1)
    assert large - small == pytest.approx(599, abs=60)


def test_a_fault_comes_back() -> None:
    with pytest.raises(ValueError, match="ten"):
        run_isolated(int, "ten")
