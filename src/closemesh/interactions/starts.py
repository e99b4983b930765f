"""Where pairs begin: bodies of random shapes, in their stances, at the distance and bearing of the recipe."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.interactions.anchors import draw_anchors
from closemesh.interactions.hands import hand_shapes
from closemesh.interactions.key_poses import SourceFrame
from closemesh.interactions.marks import Marks
from closemesh.interactions.pair_energy import Pairs
from closemesh.interactions.person import begin, synthetic_start, turned
from closemesh.interactions.person_energy import Person
from closemesh.interactions.posture import POSTURES
from closemesh.interactions.postures import random_betas
from closemesh.interactions.recipe import Recipe, Role
from closemesh.interactions.sources import SourcePoses

PairSources = tuple[tuple[SourceFrame, SourceFrame], ...]


def begin_pairs(
    recipe: Recipe, sources: SourcePoses, body: BodyModel, marks: Marks, count: int, generator: torch.Generator
) -> tuple[Pairs, PairSources]:
    """`count` pairs before anything is solved, and where their poses come from."""
    a, frames_a = _begin_role(recipe.a, sources, body, marks, count, generator)
    b, frames_b = _begin_role(recipe.b, sources, body, marks, count, generator)

    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(count, generator=generator)).to(body.v_template)

    facing, bearing = (torch.deg2rad(draw(*limits)) for limits in (recipe.facing, recipe.bearing))
    place = draw(*recipe.distance)[:, None] * torch.stack([bearing.sin(), bearing.cos()], dim=-1)  # x is a's left.
    b = replace(b, start=turned(b.start, facing, place))
    anchors = draw_anchors(recipe, body, marks.regions, count, generator)
    return Pairs(a, b, anchors), tuple(zip(frames_a, frames_b, strict=True))


def _begin_role(
    role: Role, sources: SourcePoses, body: BodyModel, marks: Marks, count: int, generator: torch.Generator
) -> tuple[Person, tuple[SourceFrame, ...]]:
    like, posture = body.v_template, POSTURES[role.stance]
    betas = random_betas(count, body.num_betas, generator).to(like)
    hands = hand_shapes(body, [role.hands]).expand(count, -1, -1)
    if posture.captured:
        root, body_pose, frames = sources.draw(count, generator)
    else:
        root, body_pose = synthetic_start(posture, count, generator, like)
        frames = tuple((f"posture/{role.stance}", index) for index in range(count))
    return begin(body, marks, role, betas, hands, root.to(like), body_pose.to(like), generator), frames
