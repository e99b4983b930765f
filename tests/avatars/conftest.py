"""What the tests of appearance share."""

from __future__ import annotations

import pytest
import torch
from dressed_people import DressedPeople, dress
from known_scenes import KnownScene

from closemesh.avatars.model import AvatarConfig, AvatarSet, create_avatars


@pytest.fixture(scope="session")
def dressed(known_scene: KnownScene) -> DressedPeople:
    return dress(known_scene)


@pytest.fixture(scope="session")
def fresh(known_scene: KnownScene) -> AvatarSet:
    """Nobody changes it."""
    return create_avatars(known_scene.body, 2, AvatarConfig(gaussians=10_000), 0, torch.device("cpu"))
