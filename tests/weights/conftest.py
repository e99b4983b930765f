"""A server on this machine, and a folder to download into."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from downloading import Downloads
from file_server import FileServer, serving


@pytest.fixture
def server() -> Iterator[FileServer]:
    """Over http, with nothing on it yet."""
    with serving() as server:
        yield server


@pytest.fixture
def get(tmp_path: Path) -> Downloads:
    """Downloads into an empty folder."""
    return Downloads(tmp_path / "models")
