"""The appearance branch: what pictures tell of a motion beside its keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from closemesh.appearance.avatar import AvatarConfig
from closemesh.appearance.cast import make_cast
from closemesh.appearance.objective import LookWeights
from closemesh.appearance.pictures import Picture
from closemesh.body.model import BodyModel
from closemesh.body.variables import MotionVariables
from closemesh.config import AppearanceConfig
from closemesh.fitting.evidence import Evidence
from closemesh.fitting.objective import Subject
from closemesh.fitting.result import to_motion
from closemesh.optimise.by_looks import follow_pictures
from closemesh.optimise.depth_order import count_parts, put_in_order
from closemesh.optimise.looks import COLOUR_ALONE, Looks, meet_everybody
from closemesh.progress import Advance
from closemesh.scene import DepthOrder

SILHOUETTES = LookWeights(colour=0.0, structure=0.0, identity=1.0)
_PLAIN = AvatarConfig(gaussians=4000)  # Of people who are nothing but silhouettes.


@dataclass(frozen=True)
class Seen:
    """What the pictures told."""

    variables: MotionVariables
    """Moved to where the pictures show everybody."""
    ordered: MotionVariables
    """The same before colours moved it: with the distances that were compared."""
    looks: Looks | None
    orders: tuple[DepthOrder, ...]


def heed_pictures(
    pictures: Sequence[Picture],
    subject: Subject,
    body: BodyModel,
    variables: MotionVariables,
    evidence: Evidence,
    pairs: Sequence[tuple[int, int]],
    config: AppearanceConfig,
    seed: int,
    device: torch.device,
    advance: Advance,
) -> Seen:
    """Looks learned, orders of depth compared, the motion brought to their colours; before, if asked, to silhouettes.

    Looks that are learned on a body beside its picture put its colours where it is not. But masks are often wrong where
    somebody lies or is carried, and a pose that is wrong is bent to fill them.
    """
    if not pictures:
        return Seen(variables, variables, None, ())
    following = (subject, evidence, pairs, config.following, advance)
    if config.silhouettes:
        plain = _plain_people(pictures, body, evidence.present, seed, device)
        variables = follow_pictures(plain, variables, *following, SILHOUETTES)
    motion = to_motion(body, subject.body, variables, evidence)
    looks = meet_everybody(pictures, motion, evidence.present, body, config, seed, device, advance)
    ordered, orders = put_in_order(looks, variables, pairs, evidence.times, advance)
    return Seen(follow_pictures(looks, ordered, *following, COLOUR_ALONE), ordered, looks, orders)


def count_steps(
    pictures: Sequence[Picture], pairs: Sequence[tuple[int, int]], times: Tensor, config: AppearanceConfig
) -> int:
    """How often `heed_pictures` advances at most."""
    followed = config.following * (1 + config.silhouettes)
    return (config.steps + count_parts(pictures, len(pairs), times) + followed) if pictures else 0


def _plain_people(
    pictures: Sequence[Picture], body: BodyModel, present: Tensor, seed: int, device: torch.device
) -> Looks:
    """Everybody in grey."""
    return Looks(make_cast(body, present.shape[1], _PLAIN, seed, device), pictures, present)
