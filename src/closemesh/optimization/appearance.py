"""Avatars of all people as evidence: views of the clip, avatars fitted to them, and their loss as a term of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

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
    train_avatars,
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
from closemesh.fitting.objective import FitModel, frame_loss
from closemesh.fitting.optimizer import PHOTOMETRIC, SIGMAS, Weights, minimize
from closemesh.losses.image import load_lpips
from closemesh.perception.segmentation.label_images import read_labels
from closemesh.structures import BodyMotion, ObservedClip
from closemesh.video import read_frames

COLOR_ONLY = PhotometricWeights(identity=0.0)  # Masks come from the same detector as identities, with its errors.
ALIGNED_PARAMETERS = ("root", "body_pose", "pelvis_ray", "log_depth")
MIN_BANDWIDTH = 0.1  # Seconds around a view in which the motion follows it; more where views are farther apart.
FITTED_PER_HELD_OUT = 5  # Views; further ones between them are left out of all fits, and measure avatars.
_MOTION_WEIGHT = 0.1  # Weight of an unchanged motion beside a view of the same frame, whose weight is 1.


@dataclass(frozen=True)
class AppearanceViews:
    """The views of a clip that avatars are fitted to and compared with, and the seed of the avatars."""

    views: Sequence[TrainingView] = ()
    seed: int = 0
    held_out: Sequence[TrainingView] = ()
    """Views that no fit uses."""


def collect_views(
    observed: ObservedClip, masks: Path | None, motion: BodyMotion, config: AppearanceConfig, seed: int
) -> AppearanceViews:
    """Views cut from the frames of the clip; none when `masks`, the folder of label images, is missing.

    Raises InputError when a mask is damaged.
    """
    if masks is None or not config.enabled or not masks.is_dir():
        return AppearanceViews(seed=seed)
    usable = np.asarray(motion.valid.any(1))
    fitted = evenly_spaced_frames(usable, config.num_views)
    rest = usable & ~np.isin(np.arange(len(usable)), fitted)
    held_out = set(evenly_spaced_frames(rest, len(fitted) // FITTED_PER_HELD_OUT))
    settings = ViewConfig(size=config.view_size, max_views=len(fitted) + len(held_out))
    labels = lambda frame: read_labels(masks / f"{frame:06d}.png")  # noqa: E731
    frames = enumerate(read_frames(observed.clip))
    views = extract_views(frames, labels, {*fitted, *held_out}, observed.camera, settings)
    return AppearanceViews(
        [view for view in views if view.frame not in held_out], seed, [view for view in views if view.frame in held_out]
    )


@dataclass(frozen=True)
class AppearanceModel:
    """Avatars of all people, and the views that they are compared with."""

    avatars: AvatarSet
    views: Sequence[TrainingView]
    present: Tensor  # [T, P] bool

    def vertices(self, parameters: MotionParameters) -> Tensor:
        """Body surface [T, P, V, 3] that the Gaussians are bound to, camera frame."""
        body = self.avatars.body
        return skin(body, parameters.betas, parameters.rotations(), parameters.transl(body))[0]

    def present_in(self, view: TrainingView) -> list[bool]:
        """[P] whether each person is present in the frame of the view."""
        return (self.present[view.frame] > 0).tolist()


def fit_appearance(
    views: AppearanceViews,
    motion: BodyMotion,
    present: Tensor,
    body: BodyModel,
    config: AppearanceConfig,
    advance: Advance,
) -> AppearanceModel:
    """Avatars fitted to the views with little occlusion, where identities are reliable; present [T, P] bool."""
    fit_config = AvatarFitConfig(steps=config.fit_steps, avatar=AvatarConfig(num_gaussians=config.num_gaussians))
    lpips = load_lpips(present.device) if config.lpips else None
    unoccluded = unoccluded_views(views.views)
    avatars = fit_avatars(unoccluded, motion, body, fit_config, views.seed, present.device, advance, lpips)
    return AppearanceModel(avatars, views.views, present)


def continued_steps(config: AppearanceConfig) -> int:
    """Optimizer steps of the avatars after each phase of the joint fit."""
    return config.fit_steps // 4


def continue_avatars(
    appearance: AppearanceModel, motion: BodyMotion, config: AppearanceConfig, seed: int, advance: Advance
) -> None:
    """Fits the avatars further to all views, in place: depth orders are known by now, so people may overlap."""
    settings = AvatarFitConfig(steps=continued_steps(config))
    lpips = load_lpips(appearance.present.device) if config.lpips else None
    train_avatars(appearance.avatars, appearance.views, motion, settings, seed, advance, lpips)


class AppearanceObjective:
    """Photometric loss of all views of some frames as a term of a joint fit; avatars stay as they are.

    One view is rendered in each step; those of the other views are extrapolated linearly from their last rendering
    (stochastic average gradient). One view alone would push its frame away from its neighbors.
    """

    def __init__(self, appearance: AppearanceModel, pairs: Sequence[tuple[int, int]]) -> None:
        self.appearance, self._pairs = appearance, pairs
        with torch.no_grad():
            self._gaussians = appearance.avatars.gaussians([True] * len(appearance.avatars.avatars))
        self._frames = torch.tensor([view.frame for view in appearance.views], device=appearance.present.device)
        self._last: dict[int, _LastRendering] = {}

    def frames(self, window: slice) -> AppearanceObjective | None:
        """The term of a window; None without a view in it."""
        views = [
            replace(view, frame=view.frame - window.start)
            for view in self.appearance.views
            if window.start <= view.frame < window.stop
        ]
        inside = replace(self.appearance, views=views, present=self.appearance.present[window])
        return AppearanceObjective(inside, self._pairs) if views else None

    def loss(self, parameters: MotionParameters, weights: Weights, step: int) -> Tensor:
        """Weighted loss []; step 0 renders all views, each other step one of them.

        Depths act by the mean over people connected by pairs: a silhouette does not determine their distance.
        """
        count = len(self.appearance.views)
        current = common_depth(parameters.frames(self._frames), self.appearance.present[self._frames], self._pairs)
        vertices = self.appearance.vertices(current)  # [N, P, V, 3]
        for n in range(count) if step == 0 else (step % count,):
            self._last[n] = self._render(n, vertices[n].detach(), BACKGROUNDS[step // count % len(BACKGROUNDS)])
        last = [self._last[n] for n in range(count)]
        moved = vertices - torch.stack([one.vertices for one in last])
        change = (torch.stack([one.gradient for one in last]) * moved).sum()
        return weights.appearance * (torch.stack([one.loss for one in last]).sum() + change)

    def _render(self, n: int, vertices: Tensor, background: float) -> _LastRendering:
        view = self.appearance.views[n]
        people = _present_gaussians(self.appearance, self._gaussians, view)
        if not people:
            return _LastRendering(vertices.new_zeros(()), torch.zeros_like(vertices), vertices)
        loss, gradient = _loss_and_gradient(self.appearance, people, vertices, view, background, COLOR_ONLY)
        return _LastRendering(loss, gradient, vertices)


class _LastRendering(NamedTuple):
    """The photometric loss of a view, its gradient, and where it was rendered."""

    loss: Tensor  # []
    gradient: Tensor  # [P, V, 3]
    vertices: Tensor  # [P, V, 3]


def common_depth(parameters: MotionParameters, present: Tensor, pairs: Sequence[tuple[int, int]]) -> MotionParameters:
    """The same parameters, whose depths have a gradient only in what people connected by pairs have in common.

    present [T, P] bool.
    """
    fixed = parameters.log_depth.detach()
    change = mean_over_connected(parameters.log_depth - fixed, present, pairs)
    return parameters.with_tensors(log_depth=fixed + change)


def align_to_views(
    appearance: AppearanceModel,
    parameters: MotionParameters,
    model: FitModel,
    tracks: KeypointTracks,
    pairs: Sequence[tuple[int, int]],
    iterations: int,
    advance: Advance,
    weights: PhotometricWeights,
) -> MotionParameters:
    """The parameters moved to where the rendered people fit the views best, near the motion (CloseApp 3.3).

    Each view is fitted independently; its change is interpolated to the frames around it. Depths are free during the
    fit, so that a person of the wrong size need not be bent. Afterwards all people connected by `pairs` share one
    change of depth: a silhouette does not determine their distance from each other.
    """
    frames = torch.tensor([view.frame for view in appearance.views], device=parameters.pelvis_ray.device)
    before = parameters.frames(frames)
    reference = reference_at(before, SIGMAS.refined_rotation, SIGMAS.refined_depth)
    part = replace(tracks.frames(frames), reference=reference)
    with torch.no_grad():
        gaussians = appearance.avatars.gaussians([True] * len(appearance.avatars.avatars))

    def loss(p: MotionParameters, step: int) -> Tensor:
        own = frame_loss(model, p, pose_parameters(model.body, p), part, PHOTOMETRIC.weights).sum()
        background = BACKGROUNDS[step % len(BACKGROUNDS)]
        photometric = _photometric(appearance, gaussians, appearance.vertices(p), background, weights)
        return own + PHOTOMETRIC.weights.appearance * photometric

    rate = PHOTOMETRIC.learning_rate
    after = minimize(before, loss, iterations=iterations, learning_rate=rate, free=ALIGNED_PARAMETERS, advance=advance)
    present = appearance.present[frames]  # [N, P]
    changes = {name: getattr(after, name) - getattr(before, name) for name in ALIGNED_PARAMETERS}
    changes["log_depth"] = mean_over_connected(changes["log_depth"], present, pairs)
    interpolation = view_weights(tracks.times, tracks.times[frames], present)
    return parameters.with_tensors(
        **{
            name: getattr(parameters, name) + torch.einsum("ptn,np...->tp...", interpolation, change)
            for name, change in changes.items()
        }
    )


def _photometric(
    appearance: AppearanceModel,
    gaussians: Mapping[int, LocalGaussians],
    vertices: Tensor,
    background: float,
    weights: PhotometricWeights,
) -> Tensor:
    """A number [] with the gradient of all photometric losses in vertices [N, P, V, 3]; renders one view at a time."""
    gradient = torch.zeros_like(vertices)
    for n, view in enumerate(appearance.views):
        gradient[n] = _gradient(appearance, gaussians, vertices[n].detach(), view, background, weights)
    return (gradient * vertices).sum()


def _gradient(
    appearance: AppearanceModel,
    gaussians: Mapping[int, LocalGaussians],
    vertices: Tensor,
    view: TrainingView,
    background: float,
    weights: PhotometricWeights,
) -> Tensor:
    """Gradient of the photometric loss of one view in vertices [P, V, 3]."""
    people = _present_gaussians(appearance, gaussians, view)
    if not people:
        return torch.zeros_like(vertices)
    return _loss_and_gradient(appearance, people, vertices, view, background, weights)[1]


def _present_gaussians(
    appearance: AppearanceModel, gaussians: Mapping[int, LocalGaussians], view: TrainingView
) -> dict[int, LocalGaussians]:
    return {person: gaussians[person] for person, present in enumerate(appearance.present_in(view)) if present}


@torch.enable_grad()
def _loss_and_gradient(
    appearance: AppearanceModel,
    people: Mapping[int, LocalGaussians],
    vertices: Tensor,
    view: TrainingView,
    background: float,
    weights: PhotometricWeights,
) -> tuple[Tensor, Tensor]:
    """Photometric loss [] of one view and its gradient in vertices [P, V, 3]."""
    leaf = vertices.clone().requires_grad_()
    rendered = render_avatars(appearance.avatars, people, leaf, view.viewport)
    target = target_image(view, len(appearance.avatars.avatars), leaf.device)
    loss = photometric_loss(rendered, target, background, weights)
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


def mean_over_connected(change: Tensor, present: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """[N, P] the mean of change [N, P] over all people connected by pairs; 0 for a person in no pair.

    present [N, P] bool.
    """
    adjacency = np.zeros((change.shape[1],) * 2)
    for a, b in pairs:
        adjacency[a, b] = adjacency[b, a] = 1
    _, group = connected_components(adjacency, directed=False)
    connected = torch.as_tensor(group[:, None] == group, dtype=change.dtype, device=change.device)
    connected = connected * torch.as_tensor(adjacency.any(1), dtype=change.dtype, device=change.device)
    return (present * change) @ connected / (present.to(change) @ connected).clamp(min=1)


def view_weights(times: Tensor, view_times: Tensor, present: Tensor) -> Tensor:
    """[P, T, N] weight of each view's change in every frame: a Gaussian around the view, less far from all views.

    times [T] of the frames and view_times [N] of the views in seconds; present [N, P] bool.
    """
    bandwidth = max(MIN_BANDWIDTH, float(view_times.diff().median().nan_to_num()))
    kernel = (-0.5 * ((times[:, None] - view_times) / bandwidth).square()).exp() * present.T[:, None]
    return kernel / (kernel.sum(-1, keepdim=True) + _MOTION_WEIGHT)
