"""Words in and out of the command line: a result is described, edited and passed back; a model is asked once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from chat_server import MODEL, ChatServer, Reply, serving, statements
from typer.testing import CliRunner, Result

from closemesh.cli.main import app
from closemesh.text.vlm_client import KEY_VARIABLE

Images = list[np.ndarray]
Command = Callable[..., Result]
KEY = "sk-very-secret-0123"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with serving() as chat:
        chat.key = KEY
        chat.replies = [statements({"kind": "posture", "person": "A", "posture": "upright"})]
        yield chat


@pytest.fixture
def clip(make_clip: Callable[[Images], Path], frames: Images) -> Path:
    return make_clip(frames[:4])


def cached_stages(result: Result) -> set[str]:
    return {line.split(":")[0] for line in result.stderr.splitlines() if "from the cache" in line}


def test_a_result_is_described_and_the_words_are_passed_back(command: Command, clip: Path, tmp_path: Path):
    assert command(clip).exit_code == 0
    described = CliRunner().invoke(app, ["describe", str(tmp_path / "out"), "--print"])
    assert described.exit_code == 0, described.output
    file = tmp_path / "out" / "descriptions.json"
    assert "B is nearer to the camera than A." in described.output and str(file) in described.output
    again = CliRunner().invoke(app, ["describe", str(tmp_path / "out")])
    assert again.exit_code == 1 and "your own words" in again.stderr

    used = command(clip, "--descriptions", str(file))
    assert used.exit_code == 0, used.output
    assert cached_stages(used) == {"observe", "initialise", "contact_initial"}


def test_a_model_may_refuse_is_asked_once_and_its_key_is_nowhere(
    command: Command, clip: Path, tmp_path: Path, server: ChatServer
):
    def run() -> Result:
        result = command(clip, "--describe-with", server.url, "--vlm-model", MODEL)
        assert result.exit_code == 0, result.output
        return result

    good = server.replies
    server.replies = [Reply(status=403)]
    outputs = [run().output]
    notes = json.loads((tmp_path / "out" / "scene.json").read_text())["notes"]
    assert [note for note in notes if "without a description" in note and "403" in note]

    server.replies, server.requests = good, []
    outputs.append(run().output)
    assert len(server.requests) == 5
    written = json.loads((tmp_path / "out" / "descriptions.json").read_text())["descriptions"]
    assert written[0]["statements"] == [{"text": "A is upright", "confidence": 0.917}]

    again = run()
    assert len(server.requests) == 5 and {"refine", "optimise"} <= cached_stages(again)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in "".join([*outputs, again.output])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"schema": 1, "descriptions": [{"people": ["A"], "statements": ["A dances"]}]}', "entry 1, statement 1"),
        ('{"schema": 1,', "line 1"),
    ],
)
def test_wrong_words_are_errors_before_the_work(
    command: Command, clip: Path, tmp_path: Path, content: str, expected: str
):
    (tmp_path / "mine.json").write_text(content)
    result = command(clip, "--descriptions", str(tmp_path / "mine.json"))
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert "mine.json" in line and expected in line
    assert not (tmp_path / "out").exists()


def test_nothing_to_describe(tmp_path: Path):
    result = CliRunner().invoke(app, ["describe", str(tmp_path)])
    assert result.exit_code == 1
    assert "closemesh reconstruct" in result.stderr
