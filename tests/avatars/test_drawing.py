"""Avatars cover their bodies, the nearer hides the farther, and pixels pull on where people are."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from dressed_people import DressedPeople, labels_of, moved
from torch import Tensor

from closemesh.avatars.model import AvatarSet, LocalGaussians, posed_vertices
from closemesh.avatars.render import RenderedImage, Viewport, pose_gaussians, render_avatars, surface_frames
from closemesh.avatars.surface import sample_surface
from closemesh.body.loading import load_bundled_body
from closemesh.body.skinning import skin
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.structures import BodyMotion


def _draw(
    cast: AvatarSet, motion: BodyMotion, view: Viewport, present: tuple[bool, bool] = (True, True)
) -> RenderedImage:
    with torch.no_grad():
        return render_avatars(cast, cast.gaussians(present), posed_vertices(cast, motion, [0])[0], view)


def _overlap(found: np.ndarray, expected: np.ndarray) -> float:
    return (found & expected).sum() / (found | expected).sum()


def _full_view(dressed: DressedPeople) -> Viewport:
    camera = dressed.scene.camera
    return Viewport(camera.focal, camera.principal_point, camera.size[::-1])


def test_fresh_avatars_cover_their_silhouettes(fresh: AvatarSet, dressed: DressedPeople) -> None:
    known, view = dressed.scene, _full_view(dressed)
    labels = labels_of(known, posed_vertices(fresh, known.motion, [0])[0].numpy())
    drawn = _draw(fresh, known.motion, view)
    assert _overlap(drawn.alpha.numpy() > 0.5, labels > 0) > 0.91
    for person in range(2):
        assert _overlap(drawn.identity[..., person].numpy() > 0.5, labels == person + 1) > 0.9
    inside = drawn.alpha.numpy()[labels > 0]
    assert (inside > 0.9).mean() > 0.99
    assert drawn.image.sum(-1).max() < 1.51, "fresh avatars are grey"


def test_identity_is_the_share_of_each_person_in_alpha(fresh: AvatarSet, dressed: DressedPeople) -> None:
    drawn = _draw(fresh, dressed.scene.motion, dressed.views[0].view)
    assert torch.allclose(drawn.identity.sum(-1), drawn.alpha, atol=1e-4)
    assert torch.allclose(drawn.over(1.0) - drawn.over(0.0), (1 - drawn.alpha)[..., None], atol=1e-6)


@pytest.mark.parametrize("nearer", [0, 1])
def test_the_nearer_hides_the_farther(fresh: AvatarSet, dressed: DressedPeople, nearer: int) -> None:
    known, view = dressed.scene, _full_view(dressed)
    here = known.motion.transl[0, 0] + (0, 0, 0.6 if nearer == 1 else -0.6)
    motion = moved(known.motion, 0, tuple(here - known.motion.transl[0, 0]))
    motion = moved(motion, 1, tuple(known.motion.transl[0, 0] - known.motion.transl[0, 1]))
    alone = [_draw(fresh, motion, view, (person == 0, person == 1)).alpha for person in range(2)]
    both = (alone[0] > 0.9) & (alone[1] > 0.9)
    assert both.sum() > 1000
    hidden = _draw(fresh, motion, view).identity[..., 1 - nearer][both]
    assert float(hidden.mean()) < 0.03


def test_gradients_of_pixels_reach_pose_shape_and_translation(fresh: AvatarSet, dressed: DressedPeople) -> None:
    known, view = dressed.scene, dressed.views[0].view
    betas, transl = torch.as_tensor(known.motion.betas), torch.as_tensor(known.motion.transl[0])
    rotations = torch.as_tensor(known.motion.rotations[0])
    across = torch.arange(view.size[1]) / view.size[1]
    slow = torch.cos(2 * math.pi * across) * torch.sin(3 * across)[:, None]  # Cuts of single Gaussians average out.
    looks = {
        person: LocalGaussians(*(x.detach() for x in one)) for person, one in fresh.gaussians([True, True]).items()
    }

    def loss(change: Tensor) -> Tensor:
        """change [7]: translation of person 0, his turn about two axes, an elbow, his first beta."""
        pad = torch.zeros(2, 55, 3)
        turn = axis_angle_to_matrix(
            pad.index_put((torch.tensor([0, 0, 0]), torch.tensor([0, 0, 19]), torch.tensor([0, 1, 1])), change[3:6])
        )
        shift = torch.cat([change[:3], torch.zeros(3)]).view(2, 3)
        shape = betas + torch.cat([change[6:], torch.zeros(19)]).view(2, 10)
        vertices, _ = skin(fresh.body, shape, rotations @ turn, transl + shift)
        drawn = render_avatars(fresh, looks, vertices, view)
        return ((drawn.identity[..., 0] - 0.5 * drawn.identity[..., 1]) * slow).mean() * 100

    found = _gradient(loss, torch.zeros(7))
    steps = torch.tensor([0.004, 0.004, 0.01, 0.01, 0.01, 0.05, 0.2])
    expected = torch.stack([(loss(d) - loss(-d)) / (2 * s) for d, s in zip(torch.diag(steps), steps, strict=True)])
    scaled = steps / steps[0]
    # The faint ends of Gaussians that are not drawn, without which no Gaussian stays small, cost a tenth of it.
    assert float(((found - expected) * scaled).norm() / (expected * scaled).norm()) < 0.2
    assert (found.sign() == expected.sign()).all()


def _gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    start = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(start), start)
    return gradient


def test_placed_gaussians_have_the_gradients_of_finite_differences() -> None:
    body = load_bundled_body("light").to("cpu", torch.float64)
    surface = sample_surface(body, 8).to("cpu", torch.float64)
    generator = torch.Generator().manual_seed(0)
    used, corners = surface.corners.flatten().unique(return_inverse=True)
    surface = type(surface)(**{**surface.__dict__, "corners": corners.view(-1, 3)})
    count = len(surface)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    inputs = (body.v_template[used].clone().requires_grad_(), normal(count, 3), normal(count, 4))

    def place(vertices: Tensor, offsets: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        nothing = torch.ones(count, 3, dtype=torch.float64)
        return pose_gaussians(surface, vertices, LocalGaussians(offsets, nothing, nothing[:, 0], rotations, nothing))[
            :2
        ]

    assert torch.autograd.gradcheck(place, inputs, atol=1e-7, fast_mode=True)


def test_frames_of_the_skin_are_rotations_that_look_outward_and_turn_with_the_body(fresh: AvatarSet) -> None:
    rest = fresh.body.v_template
    frames = surface_frames(fresh.surface, rest)
    axes = frames.axes.permute(2, 1, 0)  # [G, 3, 3] as columns
    assert torch.allclose(axes.mT @ axes, torch.eye(3).expand_as(axes), atol=1e-5)
    assert torch.allclose(torch.linalg.det(axes), torch.ones(len(axes)), atol=1e-5)
    middle = frames.points.mean(-1, keepdim=True)
    assert ((frames.points - middle) * frames.axes[2]).sum(0).mean() > 0.05
    turn = axis_angle_to_matrix(torch.tensor([0.3, -1.0, 0.5]))
    turned = surface_frames(fresh.surface, rest @ turn.T)
    assert torch.allclose(turned.axes, torch.einsum("ij,kjg->kig", turn, frames.axes), atol=1e-4)


def test_several_frames_are_placed_at_once(fresh: AvatarSet) -> None:
    looks = fresh.avatars[0]()
    many = torch.stack([fresh.body.v_template, fresh.body.v_template + 1])
    placed = pose_gaussians(fresh.surface, many, looks)
    single = pose_gaussians(fresh.surface, many[1], looks)
    assert placed.means.shape == (2, len(fresh.surface), 3)
    assert placed.rotations.shape == (2, len(fresh.surface), 3, 3)
    assert torch.allclose(placed.means[1], single.means, atol=1e-5)
    assert torch.allclose(placed.rotations[1], single.rotations, atol=1e-4)
