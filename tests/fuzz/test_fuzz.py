"""Every reader on damaged files with a fixed seed; `python -m tests.fuzz` does the same for longer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .campaign import Campaign
from .targets import TARGETS
from .verdicts import judge_error, judge_value

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and measured as on Linux")


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    with Campaign(seed=7) as running:
        yield running


@pytest.mark.parametrize("reader", TARGETS)
def test_damaged_files_give_a_valid_value_or_one_error_line(campaign: Campaign, reader: str) -> None:
    campaign.run(reader, TARGETS[reader].runs)
    found = {kind: details[0] for (name, kind), details in campaign.report.faults.items() if name == reader}
    assert not found
    assert campaign.report.runs[reader].total() == TARGETS[reader].runs


def test_faults_are_seen(tmp_path: Path) -> None:
    from closemesh.core.errors import InputError

    (tmp_path / "a.json").touch()
    assert judge_error(InputError("a.json is damaged"), tmp_path).kind == "refused"
    assert judge_error(InputError("it is damaged"), tmp_path).kind.startswith("no file name")
    assert judge_error(KeyError("time"), tmp_path).kind.startswith("KeyError")
    assert judge_error(MemoryError(), tmp_path).kind.startswith("memory")
    assert judge_value({"fps": float("nan")}).kind == "accepted non-finite fps"
    assert judge_value({"fps": -1.0}).kind == "accepted implausible fps"
    assert judge_value({"fps": 30.0}).kind == "ok"
