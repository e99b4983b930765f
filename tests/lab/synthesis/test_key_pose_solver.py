"""Solved key poses against their template; the same seed gives the same key poses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from random_pair import generator
from standing import standing_sources

from closemesh.body.loading import load_bundled_body
from closemesh.lab.synthesis.body_regions import find_regions
from closemesh.lab.synthesis.key_pose_solver import APPROACH, POLISH, _SolverMeshes, initial_pairs, solve_key_poses
from closemesh.lab.synthesis.key_poses import KeyPoses
from closemesh.lab.synthesis.surface_points import find_surface_points
from closemesh.lab.synthesis.work_units import TEMPLATES_BY_NAME

BODY = load_bundled_body("light")
SHORT = (replace(APPROACH, steps=6), replace(POLISH, steps=3))


@pytest.fixture(scope="module")
def bumps() -> KeyPoses:
    return solve_key_poses(TEMPLATES_BY_NAME["fist_bump"], standing_sources(), BODY, 6, generator())


def test_most_fist_bumps_succeed(bumps: KeyPoses):
    assert bumps.accepted.float().mean() > 0.6
    good = bumps.where(bumps.accepted)
    assert len(good) == int(bumps.accepted.sum()) == len(good.sources)
    assert (good.contact_error <= 0.01).all() and (good.depth <= 0.01).all() and (good.floor_error <= 0.02).all()


def test_anchors_touch_and_belong_to_their_regions(bumps: KeyPoses):
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
    template, sources = TEMPLATES_BY_NAME["hug"], standing_sources()
    first, again, other = (
        solve_key_poses(template, sources, BODY, 2, generator(seed), phases=SHORT) for seed in (3, 3, 4)
    )
    assert torch.equal(first.body_pose, again.body_pose) and torch.equal(first.anchors, again.anchors)
    assert first.sources == again.sources
    assert not torch.equal(first.body_pose, other.body_pose)


@pytest.mark.parametrize("name", ["piggyback", "helping_up"])
def test_templates_with_other_postures_start_in_them(name: str):
    template = TEMPLATES_BY_NAME[name]
    solved = solve_key_poses(template, standing_sources(), BODY, 2, generator(), phases=SHORT)
    assert solved.sources[0][0][0] == "standing" and solved.sources[0][1][0] == f"posture/{template.b.posture}"
    assert torch.isfinite(solved.body_pose).all() and not solved.accepted.any()


def test_people_on_one_seat_have_the_same_seat_height():
    meshes = _SolverMeshes(BODY)
    pairs, _ = initial_pairs(
        TEMPLATES_BY_NAME["sitting_side_by_side"], standing_sources(), meshes.body, meshes.points, 3, generator()
    )
    assert pairs.a.seat is not None and pairs.b.seat is not None
    assert torch.equal(pairs.a.seat, pairs.b.seat) and len(pairs.a.seat_supports) == 1


def test_a_person_in_bed_starts_on_it_with_nothing_on_the_floor():
    meshes = _SolverMeshes(BODY)
    pairs, _ = initial_pairs(
        TEMPLATES_BY_NAME["lifting_from_bed"], standing_sources(), meshes.body, meshes.points, 3, generator()
    )
    assert pairs.b.seat is not None and not pairs.b.supports and len(pairs.b.seat_supports) == 3
    lowest = pairs.b.shapes.pose(pairs.b.start).points(meshes.points.surface)[..., 1].amin(-1)
    assert ((lowest - pairs.b.seat).abs() < 0.01).all()


def test_children_are_small():
    template = TEMPLATES_BY_NAME["adult_and_child_hug"]
    pairs, _ = initial_pairs(template, standing_sources(), BODY, find_surface_points(BODY), 4, generator())
    heights = [
        person.shapes.rest[..., 1].amax(-1) - person.shapes.rest[..., 1].amin(-1) for person in (pairs.a, pairs.b)
    ]
    assert (heights[0] > 1.4).all() and ((heights[1] > 1.15) & (heights[1] < 1.4)).all()


@pytest.mark.parametrize("name", ["ground_guard", "sitting_on_lap", "lifting_from_bed", "acrobatic_lift"])
def test_floor_seat_and_bed_templates_are_solvable(name: str):
    solved = solve_key_poses(TEMPLATES_BY_NAME[name], standing_sources(), BODY, 2, generator(), phases=SHORT)
    assert torch.isfinite(solved.body_pose).all() and torch.isfinite(solved.floor_error).all()
