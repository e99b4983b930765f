"""Avatars cover their bodies, nearer people occlude farther ones, and pixels have gradients in the pose."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

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


def _render(
    avatars: AvatarSet, motion: BodyMotion, view: Viewport, present: tuple[bool, bool] = (True, True)
) -> RenderedImage:
    with torch.no_grad():
        return render_avatars(avatars, avatars.gaussians(present), posed_vertices(avatars, motion, [0])[0], view)


def _overlap(found: np.ndarray, expected: np.ndarray) -> float:
    return (found & expected).sum() / (found | expected).sum()


def _full_view(dressed: DressedPeople) -> Viewport:
    camera = dressed.scene.camera
    return Viewport(camera.focal, camera.principal_point, camera.size[::-1])


def test_initial_avatars_cover_their_silhouettes(initial: AvatarSet, dressed: DressedPeople) -> None:
    known, view = dressed.scene, _full_view(dressed)
    labels = labels_of(known, posed_vertices(initial, known.motion, [0])[0].numpy())
    rendered = _render(initial, known.motion, view)
    assert _overlap(rendered.alpha.numpy() > 0.5, labels > 0) > 0.91
    for person in range(2):
        assert _overlap(rendered.identity[..., person].numpy() > 0.5, labels == person + 1) > 0.9
    inside = rendered.alpha.numpy()[labels > 0]
    assert (inside > 0.9).mean() > 0.99
    assert rendered.image.sum(-1).max() < 1.51, "initial avatars are gray"


def test_identities_sum_to_alpha(initial: AvatarSet, dressed: DressedPeople) -> None:
    rendered = _render(initial, dressed.scene.motion, dressed.views[0].viewport)
    assert torch.allclose(rendered.identity.sum(-1), rendered.alpha, atol=1e-4)
    assert torch.allclose(rendered.over(1.0) - rendered.over(0.0), (1 - rendered.alpha)[..., None], atol=1e-6)


@pytest.mark.parametrize("nearer", [0, 1])
def test_nearer_people_occlude_farther_ones(initial: AvatarSet, dressed: DressedPeople, nearer: int) -> None:
    known, view = dressed.scene, _full_view(dressed)
    here = known.motion.transl[0, 0] + (0, 0, 0.6 if nearer == 1 else -0.6)
    motion = moved(known.motion, 0, tuple(here - known.motion.transl[0, 0]))
    motion = moved(motion, 1, tuple(known.motion.transl[0, 0] - known.motion.transl[0, 1]))
    single = [_render(initial, motion, view, (person == 0, person == 1)).alpha for person in range(2)]
    both = (single[0] > 0.9) & (single[1] > 0.9)
    assert both.sum() > 1000
    hidden = _render(initial, motion, view).identity[..., 1 - nearer][both]
    assert float(hidden.mean()) < 0.03


def test_pixels_have_gradients_for_pose_shape_and_translation(initial: AvatarSet, dressed: DressedPeople) -> None:
    known, view = dressed.scene, dressed.views[0].viewport
    betas, transl = torch.as_tensor(known.motion.betas), torch.as_tensor(known.motion.transl[0])
    rotations = torch.as_tensor(known.motion.rotations[0])
    across = torch.arange(view.size[1]) / view.size[1]
    slow = torch.cos(2 * math.pi * across) * torch.sin(3 * across)[:, None]  # Cutoffs of single Gaussians average out.
    gaussians = {
        person: LocalGaussians(*(x.detach() for x in one)) for person, one in initial.gaussians([True, True]).items()
    }

    def loss(change: Tensor) -> Tensor:
        """change [7]: translation of person 0, rotation about two axes, an elbow, first beta."""
        pad = torch.zeros(2, 55, 3)
        turn = axis_angle_to_matrix(
            pad.index_put((torch.tensor([0, 0, 0]), torch.tensor([0, 0, 19]), torch.tensor([0, 1, 1])), change[3:6])
        )
        shift = torch.cat([change[:3], torch.zeros(3)]).view(2, 3)
        shape = betas + torch.cat([change[6:], torch.zeros(19)]).view(2, 10)
        vertices, _ = skin(initial.body, shape, rotations @ turn, transl + shift)
        rendered = render_avatars(initial, gaussians, vertices, view)
        return ((rendered.identity[..., 0] - 0.5 * rendered.identity[..., 1]) * slow).mean() * 100

    found = _gradient(loss, torch.zeros(7))
    steps = torch.tensor([0.004, 0.004, 0.01, 0.01, 0.01, 0.05, 0.2])
    expected = torch.stack([(loss(d) - loss(-d)) / (2 * s) for d, s in zip(torch.diag(steps), steps, strict=True)])
    scaled = steps / steps[0]
    # The cut-off ends of Gaussians cost a tenth of the gradient.
    assert float(((found - expected) * scaled).norm() / (expected * scaled).norm()) < 0.2
    assert (found.sign() == expected.sign()).all()


def _gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    start = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(start), start)
    return gradient


def test_posed_gaussians_have_the_gradients_of_finite_differences() -> None:
    body = load_bundled_body("light").to("cpu", torch.float64)
    surface = sample_surface(body, 8).to("cpu", torch.float64)
    generator = torch.Generator().manual_seed(0)
    used, corners = surface.corners.flatten().unique(return_inverse=True)
    surface = replace(surface, corners=corners.view(-1, 3))
    count = len(surface)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    inputs = (body.v_template[used].clone().requires_grad_(), normal(count, 3), normal(count, 4))

    def pose(vertices: Tensor, offsets: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones(count, 3, dtype=torch.float64)
        return pose_gaussians(surface, vertices, LocalGaussians(offsets, ones, ones[:, 0], rotations, ones))[:2]

    assert torch.autograd.gradcheck(pose, inputs, atol=1e-7, fast_mode=True)


def test_surface_frames_are_rotations_that_turn_with_the_body_and_have_normals_away_from_it(initial: AvatarSet) -> None:
    rest = initial.body.v_template
    frames = surface_frames(initial.surface, rest)
    axes = frames.axes.permute(2, 1, 0)  # [G, 3, 3] as columns
    assert torch.allclose(axes.mT @ axes, torch.eye(3).expand_as(axes), atol=1e-5)
    assert torch.allclose(torch.linalg.det(axes), torch.ones(len(axes)), atol=1e-5)
    middle = frames.points.mean(-1, keepdim=True)
    assert ((frames.points - middle) * frames.axes[2]).sum(0).mean() > 0.05
    turn = axis_angle_to_matrix(torch.tensor([0.3, -1.0, 0.5]))
    turned = surface_frames(initial.surface, rest @ turn.T)
    assert torch.allclose(turned.axes, torch.einsum("ij,kjg->kig", turn, frames.axes), atol=1e-4)


def test_several_frames_are_posed_at_once(initial: AvatarSet) -> None:
    gaussians = initial.avatars[0]()
    many = torch.stack([initial.body.v_template, initial.body.v_template + 1])
    posed = pose_gaussians(initial.surface, many, gaussians)
    single = pose_gaussians(initial.surface, many[1], gaussians)
    assert posed.means.shape == (2, len(initial.surface), 3)
    assert posed.rotations.shape == (2, len(initial.surface), 3, 3)
    assert torch.allclose(posed.means[1], single.means, atol=1e-5)
    assert torch.allclose(posed.rotations[1], single.rotations, atol=1e-4)
