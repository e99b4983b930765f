"""The solver's terms against finite differences and other ways to compute them; solved pairs against their recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from standing import standing_sources

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.contact.vertex_contacts import find_penetrations
from closemesh.lab.synthesis.body_regions import find_regions
from closemesh.lab.synthesis.energy_terms import SearchMesh, pose_energy, search_crossings, touch_energy
from closemesh.lab.synthesis.key_pose_solver import APPROACH, POLISH, begin_pairs, solve_key_poses
from closemesh.lab.synthesis.key_poses import KeyPoses
from closemesh.lab.synthesis.posed_bodies import PoseVariables
from closemesh.lab.synthesis.quality_checks import check_pairs
from closemesh.lab.synthesis.surface_points import find_marks
from closemesh.lab.synthesis.work_units import RECIPES_BY_NAME
from closemesh.losses.physics import penetration_depth
from closemesh.losses.pose_prior import load_pose_prior

BODY = load_bundled_body("light")
FINE = load_bundled_body("mid")
SHORT = (replace(APPROACH, steps=6), replace(POLISH, steps=3))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def bumps() -> KeyPoses:
    return solve_key_poses(RECIPES_BY_NAME["fist_bump"], standing_sources(), BODY, 6, generator())


def test_most_fist_bumps_succeed(bumps: KeyPoses):
    assert bumps.accepted.float().mean() > 0.6
    good = bumps.where(bumps.accepted)
    assert len(good) == int(bumps.accepted.sum()) == len(good.sources)
    assert (good.contact_error <= 0.01).all() and (good.depth <= 0.01).all() and (good.floor_error <= 0.02).all()


def test_anchors_meet_and_belong_to_their_regions(bumps: KeyPoses):
    good = bumps.where(bumps.accepted)
    vertices = good.vertices(BODY)
    rows = torch.arange(len(good))
    fist = find_regions(BODY)["right_fist"]
    ends = [vertices[rows, person, good.anchors[:, 0, person]] for person in (0, 1)]
    assert torch.isin(good.anchors, fist).all()
    assert ((ends[0] - ends[1]).norm(dim=-1) < 0.03).all()


def test_people_stand_on_their_feet_and_face_each_other(bumps: KeyPoses):
    good = bumps.where(bumps.accepted)
    lowest = good.vertices(load_bundled_body("std"))[..., 1].amin(-1)
    assert (lowest.abs() < 0.025).all()
    forward = good.rotations()[:, :, 0, :, 2]
    assert ((forward[:, 0] * forward[:, 1]).sum(-1) < -0.7).all()


def test_the_same_seed_gives_the_same_bytes():
    recipe, sources = RECIPES_BY_NAME["hug"], standing_sources()
    first, again, other = (
        solve_key_poses(recipe, sources, BODY, 2, generator(seed), phases=SHORT) for seed in (3, 3, 4)
    )
    assert torch.equal(first.body_pose, again.body_pose) and torch.equal(first.anchors, again.anchors)
    assert first.sources == again.sources
    assert not torch.equal(first.body_pose, other.body_pose)


@pytest.mark.parametrize("name", ["piggyback", "helping_up"])
def test_recipes_with_other_stances_begin_as_they_say(name: str):
    recipe = RECIPES_BY_NAME[name]
    solved = solve_key_poses(recipe, standing_sources(), BODY, 2, generator(), phases=SHORT)
    assert solved.sources[0][0][0] == "standing" and solved.sources[0][1][0] == f"posture/{recipe.b.stance}"
    assert torch.isfinite(solved.body_pose).all() and not solved.accepted.any()


def standing_pair(apart: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two mean bodies in T-pose, one behind the other, on the floor: betas, rotations, pelvis."""
    lowest = float(load_bundled_body("mid").v_template[:, 1].min())
    height = float(BODY.joint_template[0, 1]) - lowest
    pelvis = torch.tensor([[[0.0, height, 0.0], [0.0, height, apart]]])
    return torch.zeros(1, 2, BODY.num_betas), torch.eye(3).expand(1, 2, 55, 3, 3).clone(), pelvis


def test_the_check_knows_depth_floor_and_limits():
    recipe = RECIPES_BY_NAME["hug_from_behind"]
    betas, rotations, pelvis = standing_pair(0.6)
    apart = check_pairs(recipe, FINE, betas, rotations, pelvis)
    assert apart.depth.item() == 0 and apart.sinking.item() < 1e-4 and apart.floating.item() < 1e-4
    assert apart.limit.item() == 0 and not apart.accepted.any()
    near = check_pairs(recipe, FINE, *standing_pair(0.15))
    nearer = check_pairs(recipe, FINE, *standing_pair(0.12))
    assert 0.02 < (nearer.depth - near.depth).item() < 0.04
    lifted = check_pairs(recipe, FINE, betas, rotations, pelvis + torch.tensor([0.0, 0.1, 0.0]))
    assert lifted.floating.item() == pytest.approx(0.1, abs=1e-4)
    sunk = check_pairs(recipe, FINE, betas, rotations, pelvis - torch.tensor([0.0, 0.03, 0.0]))
    assert sunk.sinking.item() == pytest.approx(0.03, abs=1e-4)
    c, s = np.cos(np.deg2rad(-20)), np.sin(np.deg2rad(-20))
    rotations[0, 1, JOINT_INDEX["left_knee"]] = torch.tensor([[1.0, 0, 0], [0, c, -s], [0, s, c]])
    assert check_pairs(recipe, FINE, betas, rotations, pelvis).limit.item() == pytest.approx(np.deg2rad(17), abs=1e-3)


def test_the_check_measures_the_gap_between_regions():
    recipe = RECIPES_BY_NAME["hug_from_behind"]
    touch = [t.a for t in recipe.touches].index("chest")
    gaps = [check_pairs(recipe, FINE, *standing_pair(z)).contact[0, touch].item() for z in (0.6, 0.7)]
    body = load_bundled_body("mid")
    regions = find_regions(body)
    chest, back = (body.v_template[regions[name]] for name in ("chest", "upper_back"))
    brute = torch.cdist(chest, back + torch.tensor([0.0, 0, 0.6])).min().item()
    assert gaps[0] == pytest.approx(brute, abs=0.01) and gaps[0] <= brute + 1e-6
    assert gaps[1] - gaps[0] == pytest.approx(0.1, abs=0.005)


def test_crossings_of_points_are_those_of_the_meshes():
    marks = find_marks(BODY)
    pairs, _ = begin_pairs(RECIPES_BY_NAME["hug"], standing_sources(), BODY, marks, 2, generator())
    a, b = pairs.a.shapes.pose(pairs.a.start), pairs.b.shapes.pose(pairs.b.start)
    mesh = SearchMesh(torch.arange(len(BODY.v_template)), BODY.faces)
    deep = search_crossings(a, b, mesh)
    vertices_a, vertices_b = a.points(mesh.ids), b.points(mesh.ids)
    found = find_penetrations(vertices_a, vertices_b, BODY.faces)
    depth = penetration_depth(vertices_a, vertices_b, BODY.faces, found)
    for from_a, side, own, other in ((True, deep[0], a, b), (False, deep[1], b, a)):
        for pair in (0, 1):
            expected = depth[(found.from_a == from_a) & (found.frame == pair)].sort(descending=True).values[:64]
            measured = side.depth(own, other)[pair].sort(descending=True).values[: len(expected)]
            assert len(expected) > 0 and torch.allclose(measured, expected, atol=1e-5)


def test_gradients_of_touches_and_poses():
    body = BODY.to("cpu", torch.float64)
    sources = standing_sources()
    sources = replace(sources, root=sources.root.double(), body_pose=sources.body_pose.double())
    pairs, _ = begin_pairs(RECIPES_BY_NAME["handshake"], sources, body, find_marks(body), 1, generator())
    prior = load_pose_prior().to("cpu", torch.float64)
    sigmas = torch.full((len(RECIPES_BY_NAME["handshake"].touches),), 0.05, dtype=torch.float64)
    fixed_b = pairs.b.shapes.pose(pairs.b.start)
    noise = 0.05 * torch.randn(1, 21, 3, generator=generator(5), dtype=torch.float64)

    def energy(pose: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        variables = PoseVariables(pairs.a.start.root, pose, pelvis, pairs.a.start.bend + 0.1)
        posed = pairs.a.shapes.pose(variables)
        return touch_energy(pairs, posed, fixed_b, sigmas) + pose_energy(pairs.a, variables, prior)

    pose = (pairs.a.start.body_pose + noise).requires_grad_()
    pelvis = pairs.a.start.pelvis.clone().requires_grad_()
    assert torch.autograd.gradcheck(energy, (pose, pelvis), eps=1e-6, atol=1e-3)
