"""`closemesh render`: its options reach the views, and what is wrong is one line."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from embrace import embrace
from finished_result import write_finished_result
from typer.testing import CliRunner, Result

from closemesh.body.loading import load_bundled_body
from closemesh.cli.main import app


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished result of two frames, whose clip is not there."""
    folder, body = tmp_path_factory.mktemp("result") / "out", load_bundled_body()
    write_finished_result(folder, embrace(body, frames=2), body)
    return folder


def render(out: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["render", str(out), *map(str, arguments)])


def test_options_act_on_the_view(out: Path) -> None:
    result = render(out, "--view", "side", "--color", "contact", "--people", "1,0,1", "--size", "322x180")
    assert result.exit_code == 0, result.output
    video = out / "side_contact_0-1.mp4"
    assert result.stdout.strip() == str(video)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (322, 180)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--people", "2"], "has no person 2; its people are 0, 1"),
        (["--people", "first"], "--people first: give numbers from 0"),
        (["--size", "0"], "a size of 0 pixels"),
        (["--size", "big"], "--size big: give a width in pixels"),
        (["--size", "640x"], "--size 640x"),
        (["--view", "overlay"], "the clip is no longer there; give its new path with --clip FILE"),
        (["--view", "avatars"], "has no avatars"),
        (["--view", "top", "--seconds", "0"], "a turn of 0 s"),
        (["--view", "compare", "--stage", "initial"], "initialise"),
    ],
)
def test_what_is_wrong_is_one_line(out: Path, arguments: list[str], words: str) -> None:
    before = set(out.iterdir())
    result = render(out, *arguments)
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1 and words in result.stderr, result.stderr
    assert set(out.iterdir()) == before
