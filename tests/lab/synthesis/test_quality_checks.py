"""Exact measures of pairs: depth, floor, joint limits, distance of regions; runs of good frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.lab.synthesis.body_regions import find_regions
from closemesh.lab.synthesis.quality_checks import measure_pairs, true_run
from closemesh.lab.synthesis.work_units import TEMPLATES_BY_NAME

BODY = load_bundled_body("light")
FINE = load_bundled_body("mid")


def standing_pair(distance: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two mean bodies in T-pose, one behind the other, on the floor: betas, rotations, pelvis."""
    lowest = float(load_bundled_body("mid").v_template[:, 1].min())
    height = float(BODY.joint_template[0, 1]) - lowest
    pelvis = torch.tensor([[[0.0, height, 0.0], [0.0, height, distance]]])
    return torch.zeros(1, 2, BODY.num_betas), torch.eye(3).expand(1, 2, 55, 3, 3).clone(), pelvis


def test_depth_floor_and_limits_are_measured():
    template = TEMPLATES_BY_NAME["hug_from_behind"]
    betas, rotations, pelvis = standing_pair(0.6)
    separate = measure_pairs(template, FINE, betas, rotations, pelvis)
    assert separate.depth.item() == 0 and separate.sinking.item() < 1e-4 and separate.floating.item() < 1e-4
    assert separate.limit.item() == 0 and not separate.accepted.any()
    near = measure_pairs(template, FINE, *standing_pair(0.15))
    nearer = measure_pairs(template, FINE, *standing_pair(0.12))
    assert 0.02 < (nearer.depth - near.depth).item() < 0.04
    lifted = measure_pairs(template, FINE, betas, rotations, pelvis + torch.tensor([0.0, 0.1, 0.0]))
    assert lifted.floating.item() == pytest.approx(0.1, abs=1e-4)
    sunk = measure_pairs(template, FINE, betas, rotations, pelvis - torch.tensor([0.0, 0.03, 0.0]))
    assert sunk.sinking.item() == pytest.approx(0.03, abs=1e-4)
    c, s = np.cos(np.deg2rad(-20)), np.sin(np.deg2rad(-20))
    rotations[0, 1, JOINT_INDEX["left_knee"]] = torch.tensor([[1.0, 0, 0], [0, c, -s], [0, s, c]])
    assert measure_pairs(template, FINE, betas, rotations, pelvis).limit.item() == pytest.approx(
        np.deg2rad(17), abs=1e-3
    )


@pytest.mark.parametrize("name", ["lifting_from_bed", "sitting_on_lap"])
def test_only_people_with_supports_on_the_floor_must_be_on_it(name: str):
    betas, rotations, pelvis = standing_pair(0.6)
    pelvis[0, 1, 1] += 0.5
    assert measure_pairs(TEMPLATES_BY_NAME[name], FINE, betas, rotations, pelvis).floating.item() < 1e-4
    lifted_other = measure_pairs(TEMPLATES_BY_NAME[name], FINE, betas, rotations, pelvis.flip(1))
    assert lifted_other.floating.item() == pytest.approx(0.5, abs=1e-4)


def test_the_distance_between_regions_is_measured():
    template = TEMPLATES_BY_NAME["hug_from_behind"]
    contact = [t.a for t in template.contacts].index("chest")
    distances = [measure_pairs(template, FINE, *standing_pair(z)).contact[0, contact].item() for z in (0.6, 0.7)]
    body = load_bundled_body("mid")
    regions = find_regions(body)
    chest, back = (body.v_template[regions[name]] for name in ("chest", "upper_back"))
    brute = torch.cdist(chest, back + torch.tensor([0.0, 0, 0.6])).min().item()
    assert distances[0] == pytest.approx(brute, abs=0.01) and distances[0] <= brute + 1e-6
    assert distances[1] - distances[0] == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize(
    ("bad", "span"), [([], (0, 10)), ([2], (3, 10)), ([8, 9], (0, 8)), ([1, 7], (2, 7)), ([5], (6, 5))]
)
def test_the_run_of_true_values_contains_the_frame(bad: list[int], span: tuple[int, int]) -> None:
    good = torch.ones(10, dtype=torch.bool)
    good[bad] = False
    found = true_run(good, 5)
    assert (found.start, found.stop) == span
