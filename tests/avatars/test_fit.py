"""Avatars are fitted to views, separately for each person, and reproducibly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dressed_people import DressedPeople

from closemesh.avatars.fit import (
    AvatarFitConfig,
    PhotometricWeights,
    color_from_views,
    fit_avatars,
    mean_psnr,
    view_loss,
)
from closemesh.avatars.model import CHANNELS, MIN_OPACITY, AvatarConfig, AvatarSet, posed_vertices
from closemesh.avatars.views import UNKNOWN

CPU = torch.device("cpu")
SMALL = AvatarConfig(num_gaussians=4000)


def _fit(dressed: DressedPeople, steps: int, advance=lambda steps: None) -> AvatarSet:
    train = [view for view in dressed.views if view.frame % 3 != 1]
    config = AvatarFitConfig(steps=steps, avatar=SMALL)
    return fit_avatars(train, dressed.scene.motion, dressed.scene.body, config, 0, CPU, advance)


def test_fitting_improves_views_that_were_not_fitted(dressed: DressedPeople) -> None:
    test_views = [view for view in dressed.views if view.frame % 3 == 1]
    advanced: list[int] = []
    before = mean_psnr(_fit(dressed, 0), dressed.scene.motion, test_views)
    after = mean_psnr(_fit(dressed, 120, advanced.append), dressed.scene.motion, test_views)
    assert advanced == [1] * 120
    assert after > before + 8
    assert after > 22


def test_the_same_seed_gives_the_same_avatars(dressed: DressedPeople) -> None:
    one, other = (_fit(dressed, 3) for _ in range(2))
    for a, b in zip(one.avatars, other.avatars, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_two_people_have_no_memory_in_common(initial: AvatarSet) -> None:
    memory = [
        {tensor.untyped_storage().data_ptr() for tensor in (*avatar.parameters(), *avatar.buffers())}
        for avatar in initial.avatars
    ]
    assert not memory[0] & memory[1]
    assert not torch.equal(initial.avatars[0].latent, initial.avatars[1].latent)


def test_fitting_does_not_change_the_global_random_numbers(dressed: DressedPeople) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    _fit(dressed, 0)
    assert torch.equal(torch.rand(2), expected)


def test_initial_avatars_are_a_thin_gray_opaque_skin(initial: AvatarSet) -> None:
    assert sum(CHANNELS.values()) == 14
    gaussians = initial.avatars[0]()
    assert gaussians.offsets.abs().max() == 0
    assert torch.allclose(gaussians.colors, torch.tensor(0.5))
    assert gaussians.opacities.min() > 0.95
    assert gaussians.scales[:, 2].max() < 0.0011
    assert float((gaussians.scales[:, :2].amin(-1) > gaussians.scales[:, 2]).float().mean()) > 0.9


def test_avatars_start_with_the_colors_of_the_views(dressed: DressedPeople) -> None:
    """Before the first step; skin that no view shows gets the mean of the person."""
    first = dressed.views[:1]
    colored, motion = _fit(dressed, 0), dressed.scene.motion
    gray = mean_psnr(colored, motion, dressed.views)
    color_from_views(colored, first, motion)
    assert mean_psnr(colored, motion, dressed.views) > gray + 5
    colors, counts = colored.avatars[0].initial_colors.unique(dim=0, return_counts=True)
    assert counts.max() > 0.3 * counts.sum(), "the back"
    assert colors.std(0).min() > 0.1


def test_skin_cannot_vanish(dressed: DressedPeople) -> None:
    avatar = _fit(dressed, 0).avatars[0]
    with torch.no_grad():
        avatar.network.head.bias.fill_(-1e3)
    gaussians = avatar()
    assert gaussians.opacities.min() >= MIN_OPACITY
    assert (gaussians.scales / avatar.initial_scales).min() > 0.25


def test_pixels_outside_of_the_frame_have_no_gradient(initial: AvatarSet, dressed: DressedPeople) -> None:
    view = dressed.views[0]
    motion = dressed.scene.motion
    unknown = replace(view, labels=np.full_like(view.labels, UNKNOWN))
    vertices = posed_vertices(initial, motion, [0])[0].requires_grad_()
    weights = PhotometricWeights(offset=0, scale=0)
    (gradient,) = torch.autograd.grad(
        view_loss(initial, vertices, (True, True), unknown, 0.0, weights), vertices, allow_unused=True
    )
    assert float(gradient.abs().max()) == pytest.approx(0, abs=1e-6)


def test_the_gradient_moves_a_person_towards_the_image(initial: AvatarSet, dressed: DressedPeople) -> None:
    vertices = posed_vertices(initial, dressed.scene.motion, [0])[0]
    for person in range(2):
        shift = torch.zeros(2, 1, 3)
        shift[person, 0, 0] = 0.05
        wrong = (vertices + shift).requires_grad_()
        view_loss(initial, wrong, (True, True), dressed.views[0], 0.0, PhotometricWeights()).backward()
        assert wrong.grad is not None
        assert wrong.grad[person, :, 0].sum() > 0
