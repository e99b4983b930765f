"""The real command is killed at random times; see kills.py for more of it."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from kills import Kills


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_ten_kills_lose_nothing(tmp_path: Path) -> None:
    kills = Kills(tmp_path, random.Random(0))
    kills.prepare()
    kills.run(10)
    assert kills.kills >= 10 and kills.finished >= 2
