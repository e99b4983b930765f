"""The part of the body that meets gives the same distances and gradients as the whole."""

from __future__ import annotations

import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.skinning import skin
from closemesh.contact.vertex_contacts import contact_patch, find_contacts
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.losses.physics import contact_distance, penetration_depth


@pytest.mark.parametrize("apart", [0.25, 5.0])
def test_part_and_whole_agree_in_value_and_gradient(apart: float):
    body = load_bundled_body("light").to("cpu", torch.float64)
    generator = torch.Generator().manual_seed(0)
    pose = 0.2 * torch.randn(3, 2, 55, 3, generator=generator, dtype=torch.float64)
    pose[:, 1, 0, 1] += torch.pi  # Face to face.
    betas = torch.randn(2, 10, generator=generator, dtype=torch.float64)
    start = torch.zeros(3, 2, 3, dtype=torch.float64)
    start[:, 1, 2] = apart

    def energy(part, faces, penetrations, touching) -> tuple[torch.Tensor, torch.Tensor]:
        transl = start.clone().requires_grad_()
        a, b = skin(part, betas, axis_angle_to_matrix(pose), transl)[0].unbind(1)
        depth = penetration_depth(a, b, faces, penetrations)
        value = depth.square().sum() + contact_distance(a, b, faces, touching).sum()
        return value.detach(), torch.autograd.grad(value, transl)[0]

    a, b = skin(body, betas, axis_angle_to_matrix(pose), start)[0].unbind(1)
    penetrations, touching = find_contacts(a, b, body.faces, 0.05)
    assert (len(penetrations) > 50 and len(touching) > 50) == (apart < 1)
    met = contact_patch(body, penetrations, touching)
    assert len(met.body.v_template) < 0.6 * len(body.v_template)
    for whole, part in zip(
        energy(body, body.faces, penetrations, touching),
        energy(met.body, met.faces, met.penetrations, met.touching),
        strict=True,
    ):
        torch.testing.assert_close(part, whole, rtol=1e-10, atol=1e-12)
