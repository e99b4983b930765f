"""Avatars of all people, photometric alignment.

The appearance branch: everybody's look, learned where people are apart, to be compared with where they meet.

The motion as the pictures show it: everybody's avatar is drawn over them and moved until it fits (CloseApp 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from closemesh.avatars.fit import (
    BACKGROUNDS,
    AvatarFitConfig,
    PhotometricWeights,
    fit_avatars,
    photometric_loss,
    target_image,
)
from closemesh.avatars.model import AvatarConfig, AvatarSet, LocalGaussians
from closemesh.avatars.render import render_avatars
from closemesh.avatars.views import TrainingView, ViewConfig, evenly_spaced_frames, extract_views, unoccluded_views
from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.body.skinning import skin
from closemesh.config.schema import AppearanceConfig
from closemesh.core.progress import Advance
from closemesh.fitting.keypoint_tracks import KeypointTracks, reference_at
from closemesh.fitting.objective import FitModel, frame_energy
from closemesh.fitting.optimizer import PHOTOMETRIC, SIGMAS, minimize
from closemesh.losses.image import load_lpips
from closemesh.perception.segmentation.label_images import read_labels
from closemesh.structures import BodyMotion, ObservedClip
from closemesh.video import read_frames

COLOUR_ALONE = PhotometricWeights(identity=0.0)  # Masks come from the same detector that took one for the other.


@dataclass(frozen=True)
class AppearanceViews:
    """The views of a clip that avatars are fitted to and compared with, and the seed of the avatars."""

    views: Sequence[TrainingView] = ()
    seed: int = 0


def collect_views(
    observed: ObservedClip, masks: Path | None, motion: BodyMotion, config: AppearanceConfig, seed: int
) -> AppearanceViews:
    """Views cut from the frames of the clip; none when `masks`, the folder of label images, is missing.

    Raises InputError when a mask is damaged.
    """
    if masks is None or not config.enabled or not masks.is_dir():
        return AppearanceViews(seed=seed)
    chosen = evenly_spaced_frames(np.asarray(motion.valid.any(1)), config.num_views)
    pictures = ViewConfig(size=config.view_size, max_views=config.num_views)
    labels = lambda frame: read_labels(masks / f"{frame:06d}.png")  # noqa: E731
    frames = enumerate(read_frames(observed.clip))
    return AppearanceViews(extract_views(frames, labels, chosen, observed.camera, pictures), seed)


@dataclass(frozen=True)
class AppearanceModel:
    """Avatars of everybody, and the pictures that they are compared with."""

    cast: AvatarSet
    pictures: Sequence[TrainingView]
    present: Tensor  # [T, P]

    def vertices(self, variables: MotionParameters) -> Tensor:
        """Skin [T, P, V, 3] that carries the Gaussians, camera frame."""
        body = self.cast.body
        return skin(body, variables.betas, variables.rotations(), variables.transl(body))[0]

    def present_in(self, picture: TrainingView) -> list[bool]:
        """[P] who is drawn."""
        return (self.present[picture.frame] > 0).tolist()


def fit_appearance(
    pictures: Sequence[TrainingView],
    motion: BodyMotion,
    present: Tensor,
    body: BodyModel,
    config: AppearanceConfig,
    seed: int,
    device: torch.device,
    advance: Advance,
) -> AppearanceModel:
    """Looks learned from the pictures in which people hardly meet: there nobody is taken for somebody else."""
    learning = AvatarFitConfig(steps=config.fit_steps, avatar=AvatarConfig(num_gaussians=config.num_gaussians))
    eye = load_lpips(device) if config.lpips else None
    cast = fit_avatars(unoccluded_views(pictures), motion, body, learning, seed, device, advance, eye)
    return AppearanceModel(cast, pictures, present)


MOVED = ("root", "body_pose", "pelvis_ray", "log_depth")
NEAR = 0.1  # Seconds around a picture in which the motion follows it, or more where pictures lie farther apart.
_FADE = 0.1  # What the motion itself counts beside a picture of the same frame.


def align_to_views(
    looks: AppearanceModel,
    variables: MotionParameters,
    subject: FitModel,
    evidence: KeypointTracks,
    pairs: Sequence[tuple[int, int]],
    iterations: int,
    advance: Advance,
    terms: PhotometricWeights,
) -> MotionParameters:
    """The variables moved to where drawn people fit the pictures best by some terms of theirs, near the motion.

    Each picture is fitted by itself; what it changes is carried to the frames around it. Distances from the camera are
    free while a picture is fitted, so that a person of the wrong size need not be bent, but are only kept as far as
    all who are tied by `pairs` share them: how far people are from each other a silhouette does not tell.
    """
    frames = torch.tensor([picture.frame for picture in looks.pictures], device=variables.pelvis_ray.device)
    before = variables.frames(frames)
    anchor = reference_at(before, SIGMAS.refined_turn, SIGMAS.refined_depth)
    part = replace(evidence.frames(frames), anchor=anchor)
    with torch.no_grad():
        gaussians = looks.cast.gaussians([True] * len(looks.cast.avatars))

    def loss(v: MotionParameters, step: int) -> Tensor:
        own = frame_energy(subject, v, pose_parameters(subject.body, v), part, PHOTOMETRIC.weights).sum()
        background = BACKGROUNDS[step % len(BACKGROUNDS)]
        return own + PHOTOMETRIC.weights.appearance * _pull(looks, gaussians, looks.vertices(v), background, terms)

    rate = PHOTOMETRIC.learning_rate
    after = minimize(before, loss, iterations=iterations, learning_rate=rate, free=MOVED, advance=advance)
    present = looks.present[frames]  # [N, P]
    changes = {name: getattr(after, name) - getattr(before, name) for name in MOVED}
    changes["log_depth"] = shared(changes["log_depth"], present, pairs)
    share = carried(evidence.times, evidence.times[frames], present)
    return variables.with_tensors(
        **{
            name: getattr(variables, name) + torch.einsum("ptn,np...->tp...", share, change)
            for name, change in changes.items()
        }
    )


def _pull(
    looks: AppearanceModel,
    gaussians: Mapping[int, LocalGaussians],
    vertices: Tensor,
    background: float,
    terms: PhotometricWeights,
) -> Tensor:
    """A number whose gradient in vertices [N, P, V, 3] is that of all pictures' losses; one is drawn at a time."""
    gradient = torch.zeros_like(vertices)
    for n, picture in enumerate(looks.pictures):
        gradient[n] = _gradient(looks, gaussians, vertices[n].detach(), picture, background, terms)
    return (gradient * vertices).sum()


def _gradient(
    looks: AppearanceModel,
    gaussians: Mapping[int, LocalGaussians],
    vertices: Tensor,
    picture: TrainingView,
    background: float,
    terms: PhotometricWeights,
) -> Tensor:
    """Of one picture's loss in vertices [P, V, 3]."""
    people = {person: gaussians[person] for person, here in enumerate(looks.present_in(picture)) if here}
    if not people:
        return torch.zeros_like(vertices)
    leaf = vertices.requires_grad_()
    drawn = render_avatars(looks.cast, people, leaf, picture.viewport)
    seen = target_image(picture, len(looks.cast.avatars), leaf.device)
    return torch.autograd.grad(photometric_loss(drawn, seen, background, terms), leaf)[0]


def shared(change: Tensor, present: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """The mean of a change [N, P] over all who are tied and present [N, P]; 0 for who is tied to nobody."""
    tied = np.zeros((change.shape[1],) * 2)
    for a, b in pairs:
        tied[a, b] = tied[b, a] = 1
    _, group = connected_components(tied, directed=False)
    together = torch.as_tensor(group[:, None] == group, dtype=change.dtype, device=change.device)
    together = together * torch.as_tensor(tied.any(1), dtype=change.dtype, device=change.device)
    return (present * change) @ together / (present @ together).clamp(min=1)


def carried(times: Tensor, pictured: Tensor, present: Tensor) -> Tensor:
    """[P, T, N] how much of each picture's change every frame takes over: a bell around it, and less far from all.

    times [T] of the frames and pictured [N] of the pictures in seconds; present [N, P].
    """
    near = max(NEAR, float(pictured.diff().median().nan_to_num()))
    bell = (-0.5 * ((times[:, None] - pictured) / near).square()).exp() * present.T[:, None]
    return bell / (bell.sum(-1, keepdim=True) + _FADE)
