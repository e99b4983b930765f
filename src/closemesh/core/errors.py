"""Errors that a user can act on: one line with what is wrong, in which file, and what to do."""

from __future__ import annotations

from unicodedata import category

_LONGEST = 900  # Characters of a line: a damaged file may quote all of itself.
_END = 200
_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}  # Controls, surrogates, line and paragraph separators.
_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # They change the order of what follows.


class ClosemeshError(Exception):
    """The input or the environment is wrong; the command prints this one line and ends with exit code 1."""

    def __str__(self) -> str:
        return one_line(super().__str__())


class InputError(ClosemeshError):
    """A file or an option of the user is missing, unreadable or invalid."""


class NonFiniteError(ClosemeshError):
    """A number of a result is NaN or infinite."""


class ModelFileError(ClosemeshError):
    """A weight or body file is missing, damaged or of another kind."""


class OutputError(ClosemeshError):
    """A result cannot be written: no permission, no space, a file of the same name."""


class DownloadError(ClosemeshError):
    """A file cannot be downloaded, or another file than the expected one arrived."""


def escape_controls(text: str) -> str:
    """Return the text with escape sequences for characters that control a terminal, and for those that are none."""
    if text.isprintable():
        return text
    return "".join(repr(c)[1:-1] if category(c) in _CONTROLS or c in _DIRECTIONS else c for c in text)


def one_line(text: str) -> str:
    """Return a text on one line, with control characters escaped and without the middle of a very long one."""
    text = escape_controls(text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - _END]} ... {text[-_END:]}"
