"""Regions of every variant of the body, their mirror images, and the regions that templates use."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closemesh.body.loading import BundledVariant, load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX, other_side
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.lab.synthesis.body_regions import REGION_NAMES, faces_within, find_regions, rest_normals
from closemesh.lab.synthesis.templates.schema import POSTURES
from closemesh.lab.synthesis.work_units import TEMPLATES


@pytest.mark.parametrize("variant", ["light", "mid"])
def test_every_region_has_vertices_and_its_mirror_image(variant: BundledVariant):
    body = load_bundled_body(variant)
    regions = find_regions(body)
    assert set(regions) == set(REGION_NAMES)
    for name, ids in regions.items():
        assert len(ids) >= 5, name
        center, other = (body.v_template[regions[n]].mean(0) for n in (name, other_side(name)))
        mirrored = other * torch.tensor([-1.0, 1, 1]) if other_side(name) != name else center
        assert (center - mirrored).norm() < 0.012, name


def test_left_is_the_left_of_the_person():
    body = load_bundled_body("light")
    for name, ids in find_regions(body).items():
        if name.startswith(("left_", "right_")):
            x = body.v_template[ids, 0].mean()
            assert x > 0 if name.startswith("left_") else x < 0, name


def test_palms_face_down_at_rest_and_lie_between_wrist_and_knuckles():
    body = load_bundled_body("mid")
    palm = find_regions(body)["right_palm"]
    wrist, knuckle = (body.joint_template[JOINT_INDEX[f"right_{name}"]] for name in ("wrist", "middle1"))
    assert (rest_normals(body)[palm, 1] < -0.6).all()
    assert ((body.v_template[palm, 0] < wrist[0]) & (body.v_template[palm, 0] > knuckle[0] - 0.01)).all()


def test_normals_point_away_from_the_body():
    body = load_bundled_body("light")
    normals, surface = rest_normals(body), WatertightMesh(body.faces.numpy())
    just_inside = (body.v_template - 0.001 * normals).double().numpy()
    assert surface.closest(just_inside, body.v_template.double().numpy()).inside.mean() > 0.99
    assert torch.allclose(normals.norm(dim=-1), torch.ones(len(normals)), atol=1e-4)


def test_faces_within_a_region_have_most_corners_in_it():
    body = load_bundled_body("light")
    chest = find_regions(body)["chest"]
    faces = faces_within(body, chest)
    inside = np.isin(faces, chest.numpy()).sum(-1)
    assert len(faces) > 100 and inside.min() == 2 and inside.max() == 3


def test_templates_have_existing_regions_and_postures():
    assert len({template.name for template in TEMPLATES}) == len(TEMPLATES)
    for template in TEMPLATES:
        names = {name for contact in template.contacts for name in (contact.a, contact.b)}
        assert names <= set(REGION_NAMES)
        assert any(contact.required for contact in template.contacts), template.name
        assert template.a.posture in POSTURES and template.b.posture in POSTURES
        assert template.carried == (template.b.posture == "carried")
        assert all(low <= high for low, high in (template.facing, template.bearing, template.distance))


def test_postures_rest_on_regions_that_exist():
    assert {name for posture in POSTURES.values() for name in (*posture.supports, *posture.on_seat)} <= set(
        REGION_NAMES
    )
