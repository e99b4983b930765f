"""Fit of avatars to training views: photometric loss, regularization, optimizer and PSNR (CloseApp, Eq. 6 and 9)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from closemesh.avatars.model import Avatar, AvatarConfig, AvatarSet, LocalGaussians, create_avatars, posed_vertices
from closemesh.avatars.render import RenderedImage, render_avatars, surface_frames
from closemesh.avatars.views import UNKNOWN, TrainingView
from closemesh.body.model import BodyModel
from closemesh.core.progress import Advance
from closemesh.geometry.camera import project
from closemesh.losses.image import LPIPS, dssim, l1
from closemesh.structures import BodyMotion

BACKGROUNDS = (0.0, 1.0)  # Black and white in turn: neither dark nor light clothes can hide as transparency.
_LATENT_EPSILON = 1e-5  # Like gradients of visible texels: Adam would amplify the tiny ones of other texels.
_DARKEST = 0.02  # A color of 0 or 1 has no gradient.
_FINAL_RATE = 0.1  # Fraction of the initial learning rate, after the cosine decay.


@dataclass(frozen=True)
class PhotometricWeights:
    """Weight of each term, per pixel of the people or per Gaussian."""

    color: float = 0.8
    dssim: float = 0.2
    lpips: float = 0.2
    identity: float = 0.3
    offset: float = 30.0
    """Per square meter: 6 cm cost as much as a color error of 0.14. Gaussians at other heights than their neighbors
    occlude each other from one direction and leave holes from another."""
    scale: float = 0.2


@dataclass(frozen=True)
class AvatarFitConfig:
    """Options of fit_avatars."""

    steps: int = 300
    """One view each."""
    latent_rate: float = 0.05
    network_rate: float = 6e-3
    avatar: AvatarConfig = field(default_factory=AvatarConfig)
    weights: PhotometricWeights = field(default_factory=PhotometricWeights)


class TargetImage(NamedTuple):
    """A training view as tensors."""

    image: Tensor  # [S, S, 3] 0..1
    masks: Tensor  # [S, S, P] 1 where a person is labeled
    inside: Tensor  # [S, S] 0 outside of the frame
    confidence: Tensor  # [S, S] 0..1 of the labels

    @property
    def union(self) -> Tensor:
        """[S, S] 1 where any person is labeled."""
        return self.masks.sum(-1)


def target_image(view: TrainingView, num_people: int, device: torch.device) -> TargetImage:
    """The view as tensors on the device."""
    labels = torch.as_tensor(view.labels, device=device)
    masks = labels[..., None] == torch.arange(1, num_people + 1, device=device)
    image = torch.as_tensor(view.image, device=device).float() / 255
    confidence = torch.as_tensor(view.confidence, device=device).float() / 255
    return TargetImage(image, masks.float(), (labels != UNKNOWN).float(), confidence)


def offset_penalty(offsets: Tensor) -> Tensor:
    """Squared length [...] in m^2 of offsets [..., 3] (L_offset of CloseApp, Eq. 9)."""
    return offsets.square().sum(-1)


def scale_penalty(scales: Tensor, initial: Tensor) -> Tensor:
    """Squared log ratio [...] of scales [..., 3] to initial [..., 3] ones that just cover the skin (L_scale, Eq. 9).

    A penalty on the mean scale, as in CloseApp's code, opens holes in invisible skin.
    """
    return (scales / initial).log().square().sum(-1)


def gaussian_regularization(avatar: Avatar, gaussians: LocalGaussians, weights: PhotometricWeights) -> Tensor:
    """Offset and scale penalty [] of one person, a mean over the Gaussians."""
    offset = offset_penalty(gaussians.offsets).mean()
    return weights.offset * offset + weights.scale * scale_penalty(gaussians.scales, avatar.initial_scales).mean()


def photometric_loss(
    rendered: RenderedImage,
    target: TargetImage,
    background: float,
    weights: PhotometricWeights,
    lpips: LPIPS | None = None,
) -> Tensor:
    """Color, structure and identity loss [] of a rendered image, a mean over the people's pixels.

    Images are compared within the union of all masks; outside both show `background`. The identity term also compares
    silhouettes and depth order, which the union mask of the paper cannot. Without `lpips` its term is left out.
    """
    union, inside = target.union[..., None], target.inside[..., None]
    image = rendered.over(background) * inside
    expected = (target.image * union + (1 - union) * background) * inside
    count = union.sum().clamp(min=1)
    loss = image.new_zeros(())
    if weights.color > 0:
        loss = loss + weights.color * (l1(image, expected).sum() / (3 * count))
    if weights.dssim > 0:
        loss = loss + weights.dssim * (dssim(image, expected).sum() / (3 * count))
    if weights.identity > 0:
        difference = l1(rendered.identity, target.masks) * inside * target.confidence[..., None]
        loss = loss + weights.identity * (difference.sum() / count)
    if lpips is not None and weights.lpips > 0:
        loss = loss + weights.lpips * lpips(image, expected) * target.inside.numel() / count
    return loss


def view_loss(
    avatars: AvatarSet,
    vertices: Tensor,
    present: Sequence[bool],
    view: TrainingView,
    background: float,
    weights: PhotometricWeights,
    lpips: LPIPS | None = None,
) -> Tensor:
    """Photometric loss plus regularization [] of one view, differentiable in the avatars and the vertices.

    vertices [P, V, 3] meters, camera frame; present [P].
    """
    gaussians = avatars.gaussians(present)
    rendered = render_avatars(avatars, gaussians, vertices, view.viewport)
    target = target_image(view, len(avatars.avatars), vertices.device)
    regularization = [
        gaussian_regularization(avatars.avatars[person], one, weights) for person, one in gaussians.items()
    ]
    return photometric_loss(rendered, target, background, weights, lpips) + torch.stack(regularization).mean()


def fit_avatars(
    views: Sequence[TrainingView],
    motion: BodyMotion,
    body: BodyModel,
    config: AvatarFitConfig,
    seed: int,
    device: torch.device,
    advance: Advance,
    lpips: LPIPS | None = None,
) -> AvatarSet:
    """Avatars of all people, fitted to the views with the motion (camera frame) fixed.

    The same seed gives the same avatars. Raises ModelFileError when the body has no UV map.
    """
    avatars = create_avatars(body, motion.num_people, config.avatar, seed, device)
    if config.steps > 0:
        color_from_views(avatars, views, motion)
    train_avatars(avatars, views, motion, config, seed, advance, lpips)
    return avatars


@torch.no_grad()
def color_from_views(avatars: AvatarSet, views: Sequence[TrainingView], motion: BodyMotion) -> None:
    """Gives avatars the mean color that the views show at each point, in place; hidden skin gets that of all points.

    From gray, an optimizer would find brightness long before hue.
    """
    vertices = posed_vertices(avatars, motion, [view.frame for view in views])  # [N, P, V, 3]
    for person, avatar in enumerate(avatars.avatars):
        seen = [
            _seen_colors(avatars, posed[person], view, person)
            for posed, view in zip(vertices, views, strict=True)
            if motion.valid[view.frame, person]
        ]
        if not seen:
            continue
        colors, weights = torch.stack(seen).sum(0).split((3, 1), dim=-1)
        mean = colors.sum(0) / weights.sum().clamp(min=1e-9)
        colors = torch.where(weights > 0, colors / weights.clamp(min=1e-9), mean)
        if weights.any():
            avatar.initial_colors.copy_(colors.clamp(_DARKEST, 1 - _DARKEST).logit())


def _seen_colors(avatars: AvatarSet, vertices: Tensor, view: TrainingView, person: int) -> Tensor:
    """[G, 4] color times weight, and the weight, of each point: it faces the camera where the person is labeled."""
    frames, viewport = surface_frames(avatars.surface, vertices), view.viewport
    points, normals = frames.points.T, frames.axes[-1].T  # [G, 3]
    pixels = project(points, viewport.focal, points.new_tensor(viewport.principal_point))
    target = target_image(view, len(avatars.avatars), vertices.device)
    inside = ((pixels >= 0) & (pixels < len(target.image))).all(-1) & (points[:, 2] > 0)
    columns, rows = pixels.nan_to_num().clamp(0, len(target.image) - 1).long().unbind(-1)
    facing = -(normals * points).sum(-1) / points.norm(dim=-1).clamp(min=1e-9)
    shown = (target.masks[..., person] * target.confidence)[rows, columns] * inside
    weight = (facing.clamp(min=0).square() * shown)[:, None]
    return torch.cat([weight * target.image[rows, columns], weight], dim=-1)


def train_avatars(
    avatars: AvatarSet,
    views: Sequence[TrainingView],
    motion: BodyMotion,
    config: AvatarFitConfig,
    seed: int,
    advance: Advance,
    lpips: LPIPS | None = None,
) -> None:
    """Fits avatars further, in place, with the motion (camera frame) fixed."""
    used = [view for view in views if motion.valid[view.frame].any()]
    if not used or config.steps == 0:
        return
    vertices = posed_vertices(avatars, motion, [view.frame for view in used])  # [N, P, V, 3]
    optimizer = avatar_optimizer(avatars, config)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _decay(step / config.steps))
    for step, index in enumerate(shuffled_indices(len(used), config.steps, seed)):
        present = motion.valid[used[index].frame].tolist()
        optimizer.zero_grad(set_to_none=True)
        background = BACKGROUNDS[step % len(BACKGROUNDS)]
        view_loss(avatars, vertices[index], present, used[index], background, config.weights, lpips).backward()
        optimizer.step()
        decay.step()
        advance(1)


def avatar_optimizer(avatars: AvatarSet, config: AvatarFitConfig) -> torch.optim.Adam:
    """Adam on the latent maps and the networks."""
    latents = [avatar.latent for avatar in avatars.avatars]
    networks = [parameter for avatar in avatars.avatars for parameter in avatar.network.parameters()]
    groups = [
        {"params": latents, "lr": config.latent_rate, "eps": _LATENT_EPSILON},
        {"params": networks, "lr": config.network_rate},
    ]
    return torch.optim.Adam(groups)


def _decay(progress: float) -> float:
    """Cosine decay of the learning rate."""
    return _FINAL_RATE + (1 - _FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def shuffled_indices(count: int, steps: int, seed: int) -> Iterator[int]:
    """`steps` indices below `count`, in random permutations of all of them."""
    generator = torch.Generator().manual_seed(seed)
    order: list[int] = []
    for _ in range(steps):
        order = order or torch.randperm(count, generator=generator).tolist()
        yield order.pop()


def masked_psnr(rendered: RenderedImage, target: TargetImage) -> Tensor:
    """Peak signal-to-noise ratio [] in dB within the union of the people's masks, on a black background."""
    union = target.union
    squared = (rendered.over(0.0) - target.image).square().mean(-1) * union
    return -10 * torch.log10(squared.sum() / union.sum().clamp(min=1))


@torch.no_grad()
def mean_psnr(avatars: AvatarSet, motion: BodyMotion, views: Sequence[TrainingView]) -> float:
    """Mean over the views of the PSNR in dB within the people; nan without views. Motion: camera frame."""
    device = avatars.body.v_template.device
    vertices = posed_vertices(avatars, motion, [view.frame for view in views])
    values = []
    for posed, view in zip(vertices, views, strict=True):
        gaussians = avatars.gaussians(motion.valid[view.frame].tolist())
        if gaussians:
            rendered = render_avatars(avatars, gaussians, posed, view.viewport)
            values.append(masked_psnr(rendered, target_image(view, len(avatars.avatars), device)))
    return float(torch.stack(values).mean()) if values else float("nan")
