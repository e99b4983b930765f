"""The two consoles, results on stdout and messages on stderr, and how a command ends."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.theme import Theme

from closemesh.errors import ClosemeshError

_THEME = Theme({"good": "green", "doubtful": "yellow", "bad": "bold red", "quiet": "dim", "title": "bold"})

results = Console(theme=_THEME, highlight=False)
messages = Console(theme=_THEME, highlight=False, stderr=True)

STOPPED = 130
AT_FAULT = 1


def say(line: str, style: str = "") -> None:
    """One line on stderr, never wrapped or read as markup: it may hold file names."""
    messages.print(line, style=style, markup=False, soft_wrap=True)


@contextmanager
def exit_codes(when_stopped: str = "") -> Iterator[None]:
    """Ends a command's body with one line and the right exit code.

    1 when the input or the environment is at fault, 130 when the user stopped it (then `when_stopped` is said too).
    Usage errors pass through to Typer, which ends them with 2.
    """
    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except KeyboardInterrupt:
        say(f"stopped{'; ' + when_stopped if when_stopped else ''}", "doubtful")
        raise typer.Exit(STOPPED) from None
    except ClosemeshError as error:
        _fail(str(error))
    except MemoryError:
        _fail("out of memory; give fewer frames with --start and --end, or close other programs")
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror or error}")
    except Exception as error:
        _fail(f"unexpected {type(error).__name__}: {error}; set CLOSEMESH_DEBUG=1 for the traceback")


def _fail(line: str) -> None:
    if os.environ.get("CLOSEMESH_DEBUG"):
        messages.print(traceback.format_exc(), markup=False, soft_wrap=True)
    say(f"error: {' '.join(line.split())}", "bad")
    raise typer.Exit(AT_FAULT) from None
