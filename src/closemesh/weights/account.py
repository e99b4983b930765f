"""The user's account of the SMPL-X portal, used for one download and never stored or shown.

It comes from $CLOSEMESH_BODY_USER and $CLOSEMESH_BODY_PASSWORD, else from a private file of two lines, else from a
prompt.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from closemesh.core.errors import DownloadError

USER, PASSWORD = "CLOSEMESH_BODY_USER", "CLOSEMESH_BODY_PASSWORD"
LOGIN_REFUSED = "user name or password is wrong, or the license is not yet accepted on the portal"


@dataclass(frozen=True)
class Account:
    """A user name and a password; the password is not part of the repr."""

    user: str
    password: str = field(repr=False)

    @property
    def form(self) -> dict[str, str]:
        """The fields that the portal's download page reads."""
        return {"username": self.user, "password": self.password}


def account_file() -> Path:
    """Return the path of the account file: the user name in the first line, the password in the second."""
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "closemesh" / "body_account"


def find_account(portal: str, prompt: Callable[[], Account | None]) -> Account:
    """Return the account for `portal`; `prompt` returns None where there is no terminal.

    Raises DownloadError when there is no account, only half of one, or a file of it that other users can read.
    """
    found = _from_environment() or _from_file(account_file()) or prompt()
    if found is None:
        raise DownloadError(
            f"the SMPL-X body needs an account of {portal}; set {USER} and {PASSWORD}, or write both, one per line, "
            f"to {account_file()} (mode 600), or give a copy of the file with --from-dir"
        )
    return found


def _from_environment() -> Account | None:
    user, password = os.environ.get(USER), os.environ.get(PASSWORD)
    if not user and not password:
        return None
    if not user or not password:
        raise DownloadError(
            f"{USER if password else PASSWORD} is not set; set it too, or neither of {USER}, {PASSWORD}"
        )
    return Account(user, password)


def _from_file(path: Path) -> Account | None:
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise DownloadError(f"other users can read the password in {path}; run: chmod 600 {path}")
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DownloadError(f"cannot read the account file {path}; make it a text file of two lines") from error
    if len(lines) < 2 or not lines[0].strip() or not lines[1]:
        raise DownloadError(f"the account file {path} needs two lines: the user name, then the password")
    return Account(lines[0].strip(), lines[1])
