"""The operations that are timed, and clips that are repeated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from closemesh.config.schema import ClipConfig
from closemesh.core.errors import InputError
from closemesh.interaction_prior.state import PairState
from closemesh.lab.evaluation.speed import PARTS, drawing, loop_clip, penetrations, refining
from closemesh.video import open_clip
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP

CPU = torch.device("cpu")


def test_a_looped_clip_is_the_clip_over_and_over(tmp_path: Path) -> None:
    whole = ClipConfig(fps=60)
    once = open_clip(find_model(DEMO_CLIP), whole)
    thrice = open_clip(loop_clip(find_model(DEMO_CLIP), 3, tmp_path), whole)
    assert len(thrice) == 3 * len(once)
    assert np.allclose(np.diff(thrice.times), np.diff(once.times).mean(), atol=1e-3)


def test_only_a_video_can_be_looped(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(InputError, match="cannot be looped"):
        loop_clip(tmp_path / "notes.mp4", 2, tmp_path)


def test_the_parts_do_their_work() -> None:
    assert set(PARTS.values()) >= {penetrations, drawing}
    assert len(penetrations(CPU)()) > 100  # type: ignore[arg-type]
    image = np.asarray(drawing(CPU)())
    assert image.shape == (1080, 1920, 3)
    refined = refining(CPU, guided=True)()
    assert isinstance(refined, PairState) and refined.pelvis.shape == (1, 16, 2, 3)
    assert 0.05 < (image != 128).any(-1).mean() < 0.6
