"""`closemesh download-weights` as a user runs it, against a server on this machine."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from file_server import FileServer, entry, serving, write_manifest
from typer.testing import CliRunner, Result

from closemesh.cli import download_weights as command_module
from closemesh.cli.main import app
from closemesh.weights.account import Account

BODY = random.Random(0).randbytes(700_000)
Run = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving() as server:
        yield server


@pytest.fixture
def run(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`closemesh download-weights ...` with four files to choose from; the user's folder is below tmp_path."""
    for name in ("free", "second", "gone", "strict"):
        server.serve(f"{name}.bin", BODY)
    del server.files["gone.bin"]
    strict = {"licence": "AGPL-3.0", "accept_licence": True}
    manifest = write_manifest(
        tmp_path / "manifest.json",
        entry("free", server.url + "free.bin", body=BODY, groups=["masks"]),
        entry("second", server.url + "second.bin", groups=["masks"]),
        entry("gone", server.url + "gone.bin"),
        entry("strict", server.url + "strict.bin", body=BODY, groups=["detector"], **strict),
        entry("body", server.url + "body.bin", groups=["skin"], account="portal.example"),
    )
    monkeypatch.setenv("CLOSEMESH_MANIFEST", str(manifest))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("CLOSEMESH_BODY_USER", raising=False)
    monkeypatch.delenv("CLOSEMESH_BODY_PASSWORD", raising=False)
    return lambda *arguments: CliRunner(env={"COLUMNS": "200"}).invoke(app, ["download-weights", *map(str, arguments)])


def user_folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "closemesh" / "models"


def one_error(result: Result) -> str:
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in result.output
    return line


def test_files_come_into_the_users_folder(run: Run, tmp_path: Path) -> None:
    result = run("masks")
    assert result.exit_code == 0
    paths = [user_folder(tmp_path) / "some" / f"{name}.bin" for name in ("free", "second")]
    assert result.stdout.splitlines() == [str(path) for path in paths]
    assert all(path.read_bytes() == BODY for path in paths)
    assert "free: done in" in result.stderr
    assert "note: second: its hash was not known and is recorded" in result.stderr


def test_a_file_that_is_there_is_not_fetched_again(run: Run, server: FileServer, tmp_path: Path) -> None:
    first = run("free")
    assert run("free").stdout == first.stdout
    assert len(server.files["free.bin"].asked) == 1
    assert run("free", "--to", tmp_path / "other").exit_code == 0
    assert (tmp_path / "other" / "some" / "free.bin").read_bytes() == BODY


@pytest.mark.parametrize("arguments", [[], ["--list"], ["--list", "all"]])
def test_the_list(run: Run, arguments: list[str]) -> None:
    run("free")
    result = run(*arguments)
    assert result.exit_code == 0
    lines = {line.split()[1]: line for line in result.stdout.splitlines() if line.startswith("│")}
    assert "installed" in lines["free"] and "0.7 MB" in lines["free"]
    assert "missing" in lines["second"] and "?" in lines["second"]
    assert "AGPL-3.0" in lines["strict"]
    assert "account" in lines["body"]


def test_a_dry_run_fetches_nothing(run: Run, server: FileServer, tmp_path: Path) -> None:
    result = run("masks", "strict", "--dry-run")
    assert result.exit_code == 0
    assert "3 files, 1.4 MB and 1 of unknown size" in result.stdout
    assert f"  from {server.url}second.bin" in result.stdout.splitlines()
    assert f"second: to {user_folder(tmp_path) / 'some' / 'second.bin'}" in result.stdout.splitlines()
    assert not any(served.asked for served in server.files.values())
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("spelling", ["--accept-license", "--accept-licence"])
def test_licenses_are_accepted_first(run: Run, server: FileServer, spelling: str) -> None:
    line = one_error(run("free", "strict"))
    assert "strict (AGPL-3.0)" in line and "--accept-license" in line and "free" not in line
    assert not any(served.asked for served in server.files.values())
    assert run("free", "strict", spelling).exit_code == 0


def test_what_cannot_be_had_is_one_line(run: Run, server: FileServer) -> None:
    line = one_error(run("gone"))
    assert line.startswith(
        "error: gone (gone.bin): localhost: the server answered 404 Not Found; fetch gone.bin by hand"
    )
    assert "there is no download 'fre'; did you mean free?" in one_error(run("fre"))
    server.serve("free.bin", BODY[::-1])
    assert "is not the published" in one_error(run("free"))


def test_from_a_folder(run: Run, server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "free.bin").write_bytes(BODY)
    (tmp_path / "body.bin").write_bytes(b"body")
    assert run("free", "body", "--from-dir", tmp_path).exit_code == 0
    assert not any(served.asked for served in server.files.values())
    assert "put it there, from" in one_error(run("second", "--from-dir", tmp_path))
    assert run("free", "--from-dir", tmp_path / "free.bin").exit_code == 2


def test_the_body_needs_an_account(run: Run) -> None:
    line = one_error(run("body"))
    assert "needs an account of portal.example; set CLOSEMESH_BODY_USER" in line


def test_the_account_is_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_module, "_prompt_for_account", lambda portal: Account("user", "secret"))
    result = run("body")
    assert "a password is sent over https only" in one_error(result)
    assert "secret" not in result.output


def test_asking_hides_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def prompt(text: str, hide_input: bool = False, err: bool = False) -> str:
        asked.append((text, hide_input, err))
        return "secret" if hide_input else "user"

    monkeypatch.setattr("typer.prompt", prompt)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    assert command_module._prompt_for_account("portal.example") is None
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    assert command_module._prompt_for_account("portal.example") == Account("user", "secret")
    assert asked == [("User of portal.example", False, True), ("Password (not stored)", True, True)]


def test_a_second_run_has_to_wait(run: Run, tmp_path: Path) -> None:
    from filelock import FileLock

    user_folder(tmp_path).mkdir(parents=True)
    with FileLock(user_folder(tmp_path) / ".download.lock"):
        assert "another closemesh run is downloading into" in one_error(run("free"))


def test_two_processes_at_once(run: Run, server: FileServer, tmp_path: Path) -> None:
    """The second is output so in one line; the first ends as if nothing had been."""
    stall = threading.Event()
    served = server.serve("free.bin", BODY, cuts=[5 << 16], stall=stall)
    command = [sys.executable, "-m", "closemesh", "download-weights", "free"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_part(tmp_path)
    assert "another closemesh run is downloading into" in one_error(run("free"))
    assert len(served.asked) == 1
    stall.set()
    first.communicate(timeout=60)
    assert first.returncode == 0
    folder = user_folder(tmp_path) / "some"
    assert (folder / "free.bin").read_bytes() == BODY
    assert [path.name for path in folder.iterdir()] == ["free.bin"]


def wait_for_part(tmp_path: Path) -> None:
    part = user_folder(tmp_path) / "some" / "free.bin.part"
    until = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a process")
def test_a_stopped_run_ends_with_130_and_goes_on(run: Run, server: FileServer, tmp_path: Path) -> None:
    stall = threading.Event()
    served = server.serve("free.bin", BODY, cuts=[5 << 16], stall=stall)
    # Set explicitly: a process started in the background of a shell ignores SIGINT.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from closemesh.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "download-weights", "free"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for_part(tmp_path)
    process.send_signal(signal.SIGINT)
    _, output = process.communicate(timeout=60)
    stall.set()
    assert process.returncode == 130
    assert output.splitlines()[-1] == "stopped; repeat the command to resume"
    assert not (user_folder(tmp_path) / "some" / "free.bin").exists()
    assert run("free").exit_code == 0
    assert served.asked[-1][1]["Range"].startswith("bytes=")
    assert (user_folder(tmp_path) / "some" / "free.bin").read_bytes() == BODY
