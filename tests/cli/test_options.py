"""Options of the command line: where they go in the configuration."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from closemesh.cli.main import app


def test_old_names_in_the_configuration_give_one_note(tmp_path: Path) -> None:
    file = tmp_path / "old.toml"
    file.write_text("[refine]\npartner = false\nguidance = 3\n")
    arguments = ["reconstruct", str(tmp_path / "none.mp4"), "-o", str(tmp_path / "out"), "--config", str(file)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, "the clip is missing, the names are no error"
    [note] = [line for line in result.output.splitlines() if line.startswith("note:")]
    assert "refine.partner is now refine.cross_attention" in note
    assert "refine.guidance is now refine.guidance_steps" in note
