"""Hostile and damaged pickles: one error line, whatever they ask for; no crash, no code, bounded memory."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from door_process import ACCEPTED, read_in_process
from hostile_pickles import ARRAYS, MEMORY, NAMES, finished

DOORS = ("load_pickle", "load_joblib", "load_smplx")
JOBLIB = Path(__file__).parents[1] / "importers" / "joblib_plain.pkl"


@pytest.mark.parametrize("door", ["load_pickle", "load_joblib"])
@pytest.mark.parametrize("hostile", [ARRAYS, NAMES, MEMORY], ids=["arrays", "names", "memory"])
def test_hostile_pickles_are_one_line(tmp_path: Path, hostile: dict[str, bytes], door: str) -> None:
    answers = read_in_process(tmp_path / "files", finished(hostile), f"closemesh.core.unpickling:{door}")
    accepted = [name for name, answer in answers.items() if answer == ACCEPTED]
    assert not accepted


def test_two_changed_bytes_never_crash(tmp_path: Path) -> None:
    """Of pickles of every protocol, and of a joblib file: 300 files each with two random bytes."""
    rng = np.random.default_rng(0)
    data = {
        "pose": [np.arange(6.0).reshape(2, 3), np.array([1, 2], np.int32), np.array(["a", "bc"])],
        "objects": np.array([None, np.zeros(2)], dtype=object),
        3: (np.float32(0.5), {"mask": np.array([True, False])}),
    }
    whole = [JOBLIB.read_bytes(), *(pickle.dumps(data, protocol=protocol) for protocol in range(6))]
    files = {}
    for i in range(300):
        content = bytearray(whole[i % 2 and 1 + i // 2 % 6])
        content[rng.integers(len(content))], content[rng.integers(len(content))] = rng.integers(0, 256, 2)
        files[f"{i:03d}.pkl"] = bytes(content)
    answers = read_in_process(tmp_path / "files", files, "closemesh.core.unpickling:load_joblib")
    assert 0 < sum(answer == ACCEPTED for answer in answers.values()) < 300
