"""Looks are learned from pictures, of each person alone, the same way every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dressed_people import DressedPeople

from closemesh.avatars.fit import AvatarFitConfig, PhotometricWeights, fit_avatars, mean_psnr, view_loss
from closemesh.avatars.model import CHANNELS, LEAST_OPACITY, AvatarConfig, AvatarSet, posed_vertices
from closemesh.avatars.views import UNKNOWN

CPU = torch.device("cpu")
SMALL = AvatarConfig(gaussians=4000)


def _learn(dressed: DressedPeople, steps: int, advance=lambda steps: None) -> AvatarSet:
    train = [picture for picture in dressed.views if picture.frame % 3 != 1]
    config = AvatarFitConfig(steps=steps, avatar=SMALL)
    return fit_avatars(train, dressed.scene.motion, dressed.scene.body, config, 0, CPU, advance)


def test_learning_makes_frames_that_were_not_learned_from_more_alike(dressed: DressedPeople) -> None:
    held_out = [picture for picture in dressed.views if picture.frame % 3 == 1]
    told: list[int] = []
    before = mean_psnr(_learn(dressed, 0), dressed.scene.motion, held_out)
    after = mean_psnr(_learn(dressed, 120, told.append), dressed.scene.motion, held_out)
    assert told == [1] * 120
    assert after > before + 8
    assert after > 22


def test_the_same_seed_gives_the_same_avatars(dressed: DressedPeople) -> None:
    one, other = (_learn(dressed, 3) for _ in range(2))
    for a, b in zip(one.avatars, other.avatars, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_two_people_share_nothing(fresh: AvatarSet) -> None:
    places = [
        {tensor.untyped_storage().data_ptr() for tensor in (*avatar.parameters(), *avatar.buffers())}
        for avatar in fresh.avatars
    ]
    assert not places[0] & places[1]
    assert not torch.equal(fresh.avatars[0].latent, fresh.avatars[1].latent)


def test_making_avatars_leaves_the_random_numbers_of_others_alone(dressed: DressedPeople) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    _learn(dressed, 0)
    assert torch.equal(torch.rand(2), expected)


def test_fourteen_numbers_and_a_thin_grey_opaque_skin(fresh: AvatarSet) -> None:
    assert sum(CHANNELS.values()) == 14
    looks = fresh.avatars[0]()
    assert looks.offsets.abs().max() == 0
    assert torch.allclose(looks.colours, torch.tensor(0.5))
    assert looks.opacities.min() > 0.95
    assert looks.scales[:, 2].max() < 0.0011
    assert float((looks.scales[:, :2].amin(-1) > looks.scales[:, 2]).float().mean()) > 0.9


def test_skin_cannot_vanish(dressed: DressedPeople) -> None:
    avatar = _learn(dressed, 0).avatars[0]
    with torch.no_grad():
        avatar.network.head.bias.fill_(-1e3)
    looks = avatar()
    assert looks.opacities.min() >= LEAST_OPACITY
    assert (looks.scales / avatar.fresh_scales).min() > 0.25


def test_nothing_is_asked_of_what_lies_outside_of_the_frame(fresh: AvatarSet, dressed: DressedPeople) -> None:
    picture = dressed.views[0]
    motion = dressed.scene.motion
    unknown = replace(picture, labels=np.full_like(picture.labels, UNKNOWN))
    vertices = posed_vertices(fresh, motion, [0])[0].requires_grad_()
    weights = PhotometricWeights(offset=0, stretch=0)
    (gradient,) = torch.autograd.grad(
        view_loss(fresh, vertices, (True, True), unknown, 0.0, weights), vertices, allow_unused=True
    )
    assert float(gradient.abs().max()) == pytest.approx(0, abs=1e-6)


def test_the_loss_pulls_a_person_to_where_he_is_seen(fresh: AvatarSet, dressed: DressedPeople) -> None:
    vertices = posed_vertices(fresh, dressed.scene.motion, [0])[0]
    for person in range(2):
        shift = torch.zeros(2, 1, 3)
        shift[person, 0, 0] = 0.05
        wrong = (vertices + shift).requires_grad_()
        view_loss(fresh, wrong, (True, True), dressed.views[0], 0.0, PhotometricWeights()).backward()
        assert wrong.grad is not None
        assert wrong.grad[person, :, 0].sum() > 0
