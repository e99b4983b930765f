"""Errors that a user can act on: one line with what is wrong, in which file, and what to do."""

from __future__ import annotations


class ClosemeshError(Exception):
    """The input or the environment is wrong; the command prints this one line and ends with exit code 1."""


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
