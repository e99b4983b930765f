"""The appearance branch: everybody's look, learned where people are apart, as a pull on the motion where they meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.appearance.avatar import AvatarConfig
from closemesh.appearance.cast import Cast
from closemesh.appearance.learn import BACKGROUNDS, LearnConfig, learn_looks, look_optimiser, picture_loss, shuffled
from closemesh.appearance.objective import LookWeights
from closemesh.appearance.pictures import Picture, PictureConfig, clear_pictures, collect_pictures, spread_frames
from closemesh.body.model import BodyModel
from closemesh.body.skinning import rest_joints, skin
from closemesh.body.variables import MotionVariables
from closemesh.config import AppearanceConfig
from closemesh.observe.masks import read_labels
from closemesh.progress import Advance
from closemesh.scene import BodyMotion, Camera, Clip
from closemesh.video import read_frames

REACH = {"root": 0.05, "body_pose": 0.1, "ray": 0.005, "log_depth": 0.02}  # That a picture moves a person at most.
_LATER_RATE = 0.2  # Of learning, once the look is known and the motion moves with it.


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


class Looks:
    """Avatars of everybody, and the pictures that they are compared with."""

    def __init__(self, cast: Cast, pictures: Sequence[Picture], present: Tensor, seed: int) -> None:
        """present [T, P]."""
        self.cast, self.pictures, self.present, self.seed = cast, pictures, present, seed
        self.weights = LookWeights()
        learning = LearnConfig()
        self.optimiser = look_optimiser(cast, learning)
        for group in self.optimiser.param_groups:
            group["lr"] *= _LATER_RATE

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
    cast = learn_looks(clear_pictures(pictures), motion, body, learning, seed, device, advance)
    return Looks(cast, pictures, present, seed)


@dataclass(frozen=True)
class _Pull:
    """How the pictures pull at one kind of variable, each where it was drawn last."""

    gradient: Tensor  # [T, P, ...]
    place: Tensor  # [T, P, ...]
    stiffness: Tensor  # [T, P, 1...] of the bowl around that place

    def energy(self, values: Tensor) -> Tensor:
        """The sum over frames of a parabola with the slope that was found, which ends a REACH away at most."""
        away = values - self.place
        return (self.gradient * values + 0.5 * self.stiffness * away.square()).sum()

    def look_again(self, frame: int, gradient: Tensor, place: Tensor, reach: float) -> None:
        """gradient and place [P, ...]."""
        self.gradient[frame], self.place[frame] = gradient, place
        norm = gradient.reshape(len(gradient), -1).norm(dim=-1)
        self.stiffness[frame] = (norm / reach).reshape(-1, *([1] * (gradient.ndim - 1)))


class LookTerm:
    """The appearance energy of one window of frames.

    Each step draws one picture, moves the avatars in it, and remembers how its people were pulled; the other pictures
    pull as when they were drawn last (as in the stochastic average gradient, Schmidt et al. 2017), but only a little
    way: drawing one picture costs as much as all else together.
    """

    def __init__(self, looks: Looks, window: slice, iterations: int) -> None:
        self._looks, self._window = looks, window
        self._pictures = [one for one in looks.pictures if window.start <= one.frame < window.stop]
        self._order = shuffled(len(self._pictures), iterations, looks.seed)
        self._pulls: dict[str, _Pull] = {}

    def loss(self, variables: MotionVariables, step: int) -> Tensor:
        """A number whose gradient is about that of all the window's pictures."""
        if not self._pictures:
            return variables.log_depth.new_zeros(())
        self._draw(variables, self._pictures[next(self._order)], BACKGROUNDS[step % len(BACKGROUNDS)])
        return torch.stack([self._pulls[name].energy(getattr(variables, name)) for name in REACH]).sum()

    def _draw(self, variables: MotionVariables, picture: Picture, background: float) -> None:
        frame = picture.frame - self._window.start
        now = variables.frames(slice(frame, frame + 1)).detached()
        leaves = {name: getattr(now, name).requires_grad_() for name in REACH}
        vertices = self._looks.vertices(now.with_tensors(**leaves))[0]
        looks, present = self._looks, self._looks.present_in(picture)
        looks.optimiser.zero_grad(set_to_none=True)
        picture_loss(looks.cast, vertices, present, picture, background, looks.weights).backward()
        looks.optimiser.step()
        for name, leaf in leaves.items():
            pull = self._pulls.setdefault(name, _no_pull(getattr(variables, name)))
            gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            pull.look_again(frame, gradient[0], leaf.detach()[0], REACH[name])


def _no_pull(values: Tensor) -> _Pull:
    values = values.detach()
    stiffness = values.new_zeros(*values.shape[:2], *([1] * (values.ndim - 2)))
    return _Pull(torch.zeros_like(values), values.clone(), stiffness)
