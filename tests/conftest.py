"""What tests of several rooms share."""

from __future__ import annotations

import pytest
from known_scenes import KnownScene, make_known_scene


@pytest.fixture(scope="session")
def known_scene() -> KnownScene:
    """Two people who move on a floor before a camera that looks down at them; all of it known."""
    return make_known_scene()
