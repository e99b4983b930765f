"""Fixtures: a scene of two moving people before a moving camera, at uneven times, with a gap of one person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dancing_pair import dance, make_dance  # noqa: F401
from embrace import embrace
from finished_result import write_finished_result

from closemesh.body.loading import load_bundled_body
from closemesh.core.progress import NullProgress
from closemesh.interchange.scene import ExportedScene
from closemesh.structures import Contact, PairContacts


@pytest.fixture
def scene(make_dance: Callable) -> ExportedScene:  # noqa: F811
    """Twelve frames, 25 a second on average; the first person is not valid in frames 5 and 6."""
    made = make_dance(num_frames=12)
    valid = made.motion.valid.copy()
    valid[5:7, 0] = False
    contact = Contact(0, 1, "left_hand", "back", 2, 4, 0.001, 0.0)
    pair = PairContacts(0, 1, np.zeros(12), np.zeros(12), (contact,))
    motion = replace(made.motion, valid=valid)
    return ExportedScene(made.clip, made.camera, motion, made.body, (pair,), "y", NullProgress())


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished result of two people, three frames, on the bundled body."""
    folder, body = tmp_path_factory.mktemp("result") / "out", load_bundled_body()
    write_finished_result(folder, embrace(body, frames=3), body)
    return folder
