"""The appearance branch: everybody's look, learned where people are apart, to be compared with where they meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.appearance.avatar import AvatarConfig
from closemesh.appearance.cast import Cast
from closemesh.appearance.learn import LearnConfig, learn_looks
from closemesh.appearance.objective import LookWeights
from closemesh.appearance.pictures import Picture, PictureConfig, clear_pictures, collect_pictures, spread_frames
from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints, skin
from closemesh.body.variables import MotionVariables
from closemesh.config import AppearanceConfig
from closemesh.energy.perceptual import load_perceptual
from closemesh.observe.masks import read_labels
from closemesh.progress import Advance
from closemesh.scene import BodyMotion, Camera, Clip
from closemesh.video import read_frames

COLOUR_ALONE = LookWeights(identity=0.0)  # Masks come from the same detector that took one for the other.


def collect_looks(
    clip: Clip, masks: Path | None, camera: Camera, motion: BodyMotion, config: AppearanceConfig
) -> list[Picture]:
    """The pictures of the clip to look at; none without masks. Raises InputError when a mask is damaged."""
    if masks is None or not config.use or not masks.is_dir():
        return []
    chosen = spread_frames(np.asarray(motion.valid.any(1)), config.pictures)
    pictures = PictureConfig(side=config.side, most=config.pictures)
    labels = lambda frame: read_labels(masks / f"{frame:06d}.png")  # noqa: E731
    return collect_pictures(enumerate(read_frames(clip)), labels, chosen, camera, pictures)


@dataclass(frozen=True)
class Looks:
    """Avatars of everybody, and the pictures that they are compared with."""

    cast: Cast
    pictures: Sequence[Picture]
    present: Tensor  # [T, P]

    def vertices(self, variables: MotionVariables) -> Tensor:
        """Skin [T, P, V, 3] that carries the Gaussians, camera frame."""
        rest = rest_joints(self.cast.body, variables.betas)[..., 0, :]
        return skin(self.cast.body, variables.betas, variables.rotations(), variables.pelvis() - rest)[0]

    def present_in(self, picture: Picture) -> list[bool]:
        """[P] who is drawn."""
        return (self.present[picture.frame] > 0).tolist()


def meet_everybody(
    pictures: Sequence[Picture],
    motion: BodyMotion,
    present: Tensor,
    body: BodyModel,
    config: AppearanceConfig,
    seed: int,
    device: torch.device,
    advance: Advance,
) -> Looks:
    """Looks learned from the pictures in which people hardly meet: there nobody is taken for somebody else."""
    learning = LearnConfig(steps=config.steps, avatar=AvatarConfig(gaussians=config.gaussians))
    eye = load_perceptual(device) if config.perceptual else None
    cast = learn_looks(clear_pictures(pictures), motion, body, learning, seed, device, advance, eye)
    return Looks(cast, pictures, present)
