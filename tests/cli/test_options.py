"""Options of the command line: where they go in the configuration."""

from __future__ import annotations

from pathlib import Path

import typer
from typer.testing import CliRunner

from closemesh.cli.main import app, load_command
from closemesh.cli.options import config_options, options_of_config
from closemesh.config.loading import override
from closemesh.config.schema import Config, preset_config


def test_old_names_in_the_configuration_give_one_note(tmp_path: Path) -> None:
    file = tmp_path / "old.toml"
    file.write_text("[refine]\npartner = false\nguidance = 3\n")
    arguments = ["reconstruct", str(tmp_path / "none.mp4"), "-o", str(tmp_path / "out"), "--config", str(file)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, "the clip is missing, the names are no error"
    [note] = [line for line in result.output.splitlines() if line.startswith("note:")]
    assert "refine.partner is now refine.cross_attention" in note
    assert "refine.guidance is now refine.guidance_steps" in note


def test_an_old_tracker_on_the_command_line_gives_one_note(tmp_path: Path) -> None:
    arguments = ["reconstruct", str(tmp_path / "none.mp4"), "-o", str(tmp_path / "out"), "--tracker", "own"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1, "the clip is missing, the name is no error"
    [note] = [line for line in result.output.splitlines() if line.startswith("note:")]
    assert 'observe.tracker = "keypoints"' in note


def test_every_option_of_the_configuration_is_an_option_of_reconstruct() -> None:
    flags = {flag for option in load_command("reconstruct").params for flag in (*option.opts, *option.secondary_opts)}
    assert {"-o", "--out", "--config", "--device", "--photos", "--resume", "--fresh"} <= flags
    assert set(options_of_config()) <= flags
    assert len(options_of_config()) == 24


def test_one_flag_sets_several_fields() -> None:
    option = options_of_config()["--no-physics"]
    assert option.values(True) == {"refine.physics": False, "optimise.physics": False}
    assert option.values(False) == {}


def test_options_lie_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "options.toml"
    file.write_text('preset = "fast"\nseed = 3\n[clip]\nfps = 10\n')
    received = []

    @config_options(file=True)
    def command(clip: Path, config: Config, loud: bool = False) -> None:
        """Record the configuration."""
        received.append((clip, config, loud))

    app = typer.Typer()
    app.command()(command)
    arguments = ["a.mp4", "--config", str(file), "--seed", "5", "--no-physics", "--people", "3,", "--pairs", "0-1"]
    result = CliRunner().invoke(app, [*arguments, "--body-model", "x.npz", "--loud"])
    assert result.exit_code == 0, result.output
    [(clip, config, loud)] = received
    assert (clip, loud) == (Path("a.mp4"), True)
    assert config == override(
        preset_config("fast"),
        {
            "seed": 5,
            "body_model": "x.npz",
            "clip": {"fps": 10},
            "observe": {"people": (3,)},
            "refine": {"physics": False},
            "optimise": {"physics": False, "pairs": ((0, 1),)},
        },
    )


def test_a_command_may_have_only_some_of_the_options() -> None:
    @config_options("--preset", "--seed")
    def command(config: Config) -> None:
        """Print the seed."""
        typer.echo(f"{config.preset} {config.seed}")

    app = typer.Typer()
    app.command()(command)
    assert CliRunner().invoke(app, ["--seed", "7", "--preset", "best"]).output == "best 7\n"
    assert CliRunner().invoke(app, ["--fps", "7"]).exit_code == 2
