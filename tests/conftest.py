"""Fixtures of tests in several folders."""

from __future__ import annotations

import pytest
from known_scenes import KnownScene, make_known_scene


@pytest.fixture(scope="session")
def known_scene() -> KnownScene:
    """Two people who move on a floor before a camera above them; motion, shape and camera are known."""
    return make_known_scene()
