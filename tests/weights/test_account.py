"""The account for the licensed body: where it is looked for, and that it is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from closemesh.core.errors import DownloadError
from closemesh.weights.account import PASSWORD, USER, Account, account_file, find_account

PORTAL = "portal.example"


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(USER, raising=False)
    monkeypatch.delenv(PASSWORD, raising=False)


def write(text: str, mode: int = 0o600) -> None:
    account_file().parent.mkdir(exist_ok=True)
    account_file().write_text(text)
    account_file().chmod(mode)


def found() -> Account:
    return find_account(PORTAL, lambda: None)


def test_the_environment_goes_before_the_file_and_the_file_before_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Account("asked", "3")
    assert find_account(PORTAL, lambda: asked) == asked
    write("filed\n2 with space \n")
    assert find_account(PORTAL, lambda: asked) == Account("filed", "2 with space ")
    monkeypatch.setenv(USER, "set")
    monkeypatch.setenv(PASSWORD, "1")
    assert find_account(PORTAL, lambda: asked) == Account("set", "1")


def test_there_is_no_terminal() -> None:
    with pytest.raises(DownloadError, match=rf"an account of {PORTAL}; set {USER} and {PASSWORD}, or .*--from-dir"):
        found()


def test_half_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(USER, "set")
    with pytest.raises(DownloadError, match=f"{PASSWORD} is not set"):
        found()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(mode: int) -> None:
    write("user\nsecret\n", mode)
    with pytest.raises(DownloadError, match=r"other users can read the password in .*; run: chmod 600") as fault:
        found()
    assert "secret" not in str(fault.value)


@pytest.mark.parametrize("text", ["", "user", "user\n\n", "\nsecret"])
def test_a_file_that_is_not_two_lines(text: str) -> None:
    write(text)
    with pytest.raises(DownloadError, match="needs two lines") as fault:
        found()
    assert "secret" not in str(fault.value)


def test_no_text_of_the_record_shows_the_password() -> None:
    assert "secret" not in repr(Account("user", "secret"))
