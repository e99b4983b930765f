"""Energy terms: penetrations against the exact queries, gradients against finite differences, center of mass."""

from __future__ import annotations

from dataclasses import replace

import torch
from random_bodies import bodies
from random_pair import generator
from standing import standing_sources

from closemesh.body.loading import load_bundled_body
from closemesh.contact.vertex_contacts import find_penetrations
from closemesh.lab.synthesis.energy_terms import (
    SearchMesh,
    center_of_mass,
    contact_energy,
    pose_energy,
    search_penetrations,
)
from closemesh.lab.synthesis.key_pose_solver import initial_pairs
from closemesh.lab.synthesis.posed_bodies import PoseVariables
from closemesh.lab.synthesis.surface_points import find_surface_points
from closemesh.lab.synthesis.work_units import TEMPLATES_BY_NAME
from closemesh.losses.physics import penetration_depth
from closemesh.losses.pose_prior import load_pose_prior

BODY = load_bundled_body("light")


def test_penetrations_of_points_are_those_of_the_meshes():
    points = find_surface_points(BODY)
    pairs, _ = initial_pairs(TEMPLATES_BY_NAME["hug"], standing_sources(), BODY, points, 2, generator())
    a, b = pairs.a.shapes.pose(pairs.a.start), pairs.b.shapes.pose(pairs.b.start)
    mesh = SearchMesh(torch.arange(len(BODY.v_template)), BODY.faces)
    deep = search_penetrations(a, b, mesh)
    vertices_a, vertices_b = a.points(mesh.ids), b.points(mesh.ids)
    found = find_penetrations(vertices_a, vertices_b, BODY.faces)
    depth = penetration_depth(vertices_a, vertices_b, BODY.faces, found)
    for from_a, side, own, other in ((True, deep[0], a, b), (False, deep[1], b, a)):
        for pair in (0, 1):
            expected = depth[(found.from_a == from_a) & (found.frame == pair)].sort(descending=True).values[:64]
            measured = side.depth(own, other)[pair].sort(descending=True).values[: len(expected)]
            assert len(expected) > 0 and torch.allclose(measured, expected, atol=1e-5)


def test_gradients_of_contact_and_pose_energy():
    body = BODY.to("cpu", torch.float64)
    sources = standing_sources()
    sources = replace(sources, root=sources.root.double(), body_pose=sources.body_pose.double())
    pairs, _ = initial_pairs(TEMPLATES_BY_NAME["handshake"], sources, body, find_surface_points(body), 1, generator())
    prior = load_pose_prior().to("cpu", torch.float64)
    sigmas = torch.full((len(TEMPLATES_BY_NAME["handshake"].contacts),), 0.05, dtype=torch.float64)
    fixed_b = pairs.b.shapes.pose(pairs.b.start)
    noise = 0.05 * torch.randn(1, 21, 3, generator=generator(5), dtype=torch.float64)

    def energy(pose: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        variables = PoseVariables(pairs.a.start.root, pose, pelvis, pairs.a.start.finger_bend + 0.1)
        posed = pairs.a.shapes.pose(variables)
        return contact_energy(pairs, posed, fixed_b, sigmas) + pose_energy(pairs.a, variables, prior)

    pose = (pairs.a.start.body_pose + noise).requires_grad_()
    pelvis = pairs.a.start.pelvis.clone().requires_grad_()
    assert torch.autograd.gradcheck(energy, (pose, pelvis), eps=1e-6, atol=1e-3)


def test_the_center_of_mass_is_in_the_belly_and_moves_with_the_body():
    shapes, variables = bodies(1, scale=0.0)
    center = center_of_mass(shapes.pose(variables).joints)
    assert center[0, 0].abs() < 1e-3 and -0.1 < center[0, 1] < 0.25
    moved = PoseVariables(variables.root, variables.body_pose, variables.pelvis + 1.0, variables.finger_bend)
    assert torch.allclose(center_of_mass(shapes.pose(moved).joints), center + 1.0, atol=1e-5)
