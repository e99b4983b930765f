"""The search for penetrations against the exact queries; the inverse right Jacobian against finite differences."""

from __future__ import annotations

import torch
from random_pair import generator, two_people

from closemesh.body.loading import load_bundled_body
from closemesh.contact.vertex_contacts import SurfacePairs, find_contacts, find_penetrations
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.residuals import NearSearch, inverse_right_jacobian
from closemesh.losses.physics import penetration_depth

BODY = load_bundled_body("light")


def test_a_small_turn_changes_a_rotation_vector_by_the_right_jacobian() -> None:
    way = torch.randn(20, 3, generator=generator(), dtype=torch.float64)
    vectors = way / way.norm(dim=-1, keepdim=True) * torch.linspace(0.01, 2.8, 20)[:, None].double()
    small = 1e-6 * torch.randn(20, 3, generator=generator(1), dtype=torch.float64)
    turned = matrix_to_axis_angle(axis_angle_to_matrix(vectors) @ axis_angle_to_matrix(small))
    predicted = (inverse_right_jacobian(vectors) @ small[..., None])[..., 0]
    assert (turned - vectors - predicted).abs().max() < 1e-10


def test_the_search_finds_what_the_exact_queries_find() -> None:
    vertices, _ = two_people(3).skin(BODY)
    penetrations = find_penetrations(vertices[:, 0], vertices[:, 1], BODY.faces)
    found = NearSearch(BODY).find(vertices, 0.0)
    assert len(penetrations) > 50
    assert named(found) == named(penetrations)
    separate, _ = two_people(2, distance=0.45).skin(BODY)
    found = named(NearSearch(BODY).find(separate, 0.03))
    inside = find_penetrations(separate[:, 0], separate[:, 1], BODY.faces)
    depth = penetration_depth(separate[:, 0], separate[:, 1], BODY.faces, inside)
    touching = named(find_contacts(separate[:, 0], separate[:, 1], BODY.faces, 0.03)[1])
    # With a margin, what lies deeper than 5 cm is left out.
    assert touching | named(inside.where(depth < 0.049)) <= found <= touching | named(inside)
    assert len(touching) > 20


def named(pairs: SurfacePairs) -> set[tuple[int, bool, int]]:
    return {*zip(pairs.frame.tolist(), pairs.from_a.tolist(), pairs.vertex.tolist(), strict=True)}
