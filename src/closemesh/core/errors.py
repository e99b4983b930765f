"""Errors that a user can act on: one line that says what is wrong, with which file, and what to do."""

from __future__ import annotations


class ClosemeshError(Exception):
    """The input or the environment is at fault; the command ends with exit code 1 and this one line."""


class InputError(ClosemeshError):
    """A file that the user gave is missing, unreadable or not what it should be."""


class ModelFileError(ClosemeshError):
    """A weight or body file is missing, damaged or of another kind."""


class OutputError(ClosemeshError):
    """The result cannot be written: no permission, no space, a file in the way."""


class DownloadError(ClosemeshError):
    """A file cannot be fetched, or what came is not that file."""
