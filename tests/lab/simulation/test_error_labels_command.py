"""The commands that measure the detector, and their one-line errors."""

from __future__ import annotations

import json

import pytest
import typer
from sample_motion import two_people
from typer.testing import CliRunner

from closemesh.cli.benchmark import detections
from closemesh.cli.training import train
from closemesh.lab.datasets.recording import write_pose_file


@pytest.fixture
def motion(tmp_path):
    """Three files; the last one has a name of the test split."""
    for name in ("wave_0", "wave_1", "cmu_60_61_03"):
        write_pose_file(tmp_path / "motion" / f"{name}.npz", two_people(frames=4, offset=(1.0, 0.0, 0.0)))
    return tmp_path / "motion"


def test_the_table_of_one_short_video(motion, tmp_path):
    app = typer.Typer()
    app.command()(detections)
    arguments = ["--data", str(motion), "--films", "1", "--frames", "3", "--json", str(tmp_path / "metrics.json")]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.output
    assert "shoulder" in result.output
    lines = json.loads((tmp_path / "metrics.json").read_text())["lines"]
    assert sum(line["points"] for line in lines) > 60
    assert {line["keypoint"] for line in lines} >= {"nose", "wrist", "ankle"}


def test_too_short_motion_is_rejected(motion, tmp_path):
    arguments = ["detector-errors", "--data", str(motion), "-o", str(tmp_path / "errors.npz"), "--frames", "50"]
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == 1
    assert not (tmp_path / "errors.npz").exists()
