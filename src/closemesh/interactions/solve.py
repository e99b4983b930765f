"""Poses pairs of people so that chosen regions of their bodies touch."""

from __future__ import annotations

import torch

from closemesh.body.model import BodyModel
from closemesh.interactions.key_poses import KeyPoses
from closemesh.interactions.recipe import Recipe
from closemesh.interactions.sources import SourcePoses


def solve_key_poses(
    recipe: Recipe,
    sources: SourcePoses,
    body: BodyModel,
    count: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> KeyPoses:
    """`count` attempts at a recipe, all solved together; `accepted` says which of them succeeded."""
    raise NotImplementedError
