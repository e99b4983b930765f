"""The known scene after its first stages."""

from __future__ import annotations

import numpy as np
import pytest
from known_scenes import KnownScene

from closemesh.pipeline.state import PipelineState
from closemesh.structures import PoseUncertainty


@pytest.fixture
def state(known_scene: KnownScene) -> PipelineState:
    """After the stage `initialise`."""
    frames, people = known_scene.motion.valid.shape
    uncertainty = PoseUncertainty(
        np.full((frames, people, 22), 0.1, np.float32),
        np.full((frames, people, 3), 0.05, np.float32),
        np.full(known_scene.motion.betas.shape, 0.5, np.float32),
    )
    return PipelineState(
        observations=known_scene.observations,
        camera=known_scene.camera,
        uncertainty=uncertainty,
        motions={"initial": known_scene.motion},
    )
