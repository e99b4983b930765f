"""Fixtures of the avatar tests."""

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
def initial(known_scene: KnownScene) -> AvatarSet:
    """Initial avatars; no test changes them."""
    return create_avatars(known_scene.body, 2, AvatarConfig(num_gaussians=10_000), 0, torch.device("cpu"))
