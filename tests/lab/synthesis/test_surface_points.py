"""Spheres inside the body fill it and separate bodies that overlap."""

from __future__ import annotations

from dataclasses import replace

import torch
from random_bodies import BODY, bodies

from closemesh.contact.signed_distance import WatertightMesh
from closemesh.lab.synthesis.surface_points import inner_spheres, posed_spheres, sphere_energy


def test_spheres_fill_the_body():
    shapes, variables = bodies(1, scale=0.0)
    spheres, posed = inner_spheres(BODY), shapes.pose(variables)
    vertices = posed.points(torch.arange(len(BODY.v_template)))[0]
    centres, radii = (tensor[0] for tensor in posed_spheres(posed, spheres))
    found = WatertightMesh(BODY.faces.numpy()).closest(centres.double().numpy(), vertices.double().numpy())
    assert found.inside.all() and 100 < len(radii) < 300
    bulge = radii - torch.as_tensor(found.distance).float()  # Meters out of the skin.
    assert bulge.median() < 0.005 and bulge.max() < 0.04
    uncovered = (torch.cdist(vertices, centres) - radii).amin(1)
    assert uncovered.median() < 0.01 and uncovered.quantile(0.95) < 0.03


def test_spheres_separate_only_bodies_that_overlap():
    spheres = inner_spheres(BODY)
    shapes, variables = bodies(2, scale=0.0)
    a = shapes.pose(variables)
    places = torch.tensor([[0.0, 0, 1.0], [0.0, 0.02, 0.15]])
    places.requires_grad_()
    b = shapes.pose(replace(variables, pelvis=variables.pelvis + places))
    energy = sphere_energy(a, b, spheres, 0.01)
    assert energy[0] == 0 and energy[1] > 10
    energy.sum().backward()
    assert places.grad is not None
    assert (places.grad[0] == 0).all() and places.grad[1, 2] < 0  # Farther ahead, less overlap.
