"""Each kind of error has the rate and size of the model, and no other error occurs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sample_errors import WHITE, C, E, K, no_errors, uniform
from torch import Tensor

from closemesh.lab.simulation.detector_errors import DetectorErrors
from closemesh.lab.simulation.error_model import place_outside, sample_detections, sample_keypoints
from closemesh.lab.simulation.statistics import ARMS, LEGS, MIRROR, facing_class, person_size, trunk_axes

FRAMES = 400
# A person who faces the camera, 100 pixels tall, the right side at smaller x.
_HALF = {0: (0, -40), 1: (2, -42), 3: (4, -41), 5: (10, -30), 7: (16, -15), 9: (18, 0), 11: (8, 0), 13: (9, 24)}
_HALF |= {15: (10, 44), 17: (10, 50), 18: (14, 50), 19: (9, 47)}


def person(x: float) -> Tensor:
    """[23, 2]."""
    points = torch.zeros(K, 2)
    for k, (across, down) in _HALF.items():
        points[k] = torch.tensor([across, down])
        points[MIRROR[k]] = torch.tensor([-across, down])
    return points + torch.tensor([x, 100.0])


TWO = torch.stack([person(100), person(160)]).expand(FRAMES, 2, K, 2)
SEEN = torch.zeros(FRAMES, 2, K, dtype=torch.bool)


def sample(errors: DetectorErrors, points: Tensor = TWO, hidden: Tensor = SEEN, partner: bool = True, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    size = person_size(points)
    return sample_keypoints(points, hidden, size, points.flip(-3) if partner else None, errors, generator)


def test_a_perfect_detector_gives_the_truth():
    sampled = sample(no_errors())
    assert torch.allclose(sampled.points, TWO, atol=1e-4)
    assert (sampled.confidence == 1).all()
    assert sampled.present.all()


def test_errors_have_the_sizes_of_hidden_and_visible_keypoints():
    table = torch.stack([uniform(0.04, K), uniform(0.4, K)], dim=1)
    hidden = SEEN.clone()
    hidden[..., 9] = True
    sampled = sample(no_errors(error=table), hidden=hidden)
    distance = (sampled.points - TWO).norm(dim=-1) / person_size(TWO)[..., None]
    assert float(distance[..., 9].median()) == pytest.approx(0.2, abs=0.02)
    assert float(distance[..., 10].median()) == pytest.approx(0.02, abs=0.002)
    assert float(distance[..., 10].max()) <= 0.0401
    direction = (sampled.points - TWO)[..., 9, :]
    assert abs(float(direction.mean())) < 0.05 * float(direction.norm(dim=-1).mean()) + 0.5


def test_bias_goes_along_the_trunk_and_across_it():
    bias = torch.zeros(K, 2, 2)
    bias[11, 0], bias[12, 0] = torch.tensor([0.1, 0.2]), torch.tensor([0.1, -0.2])
    sampled = sample(no_errors(bias=bias))
    size = person_size(TWO)
    across = trunk_axes(TWO, size)[..., 1, :]
    expected = size[..., None] * (0.1 * torch.tensor([0.0, -1.0]) + 0.2 * across)
    assert torch.allclose(sampled.points[..., 11, :] - TWO[..., 11, :], expected, atol=1e-3)
    assert float((sampled.points - TWO)[..., 11, 0].mean()) > 0, "away from the trunk; the left side is at larger x"


def test_misses_come_at_their_rate_and_feet_go_with_their_ankle():
    miss = torch.zeros(K, 2)
    miss[15:23] = 0.3
    sampled = sample(no_errors(miss=miss))
    missed = sampled.confidence == 0
    assert float(missed[..., 15].float().mean()) == pytest.approx(0.3, abs=0.05)
    assert torch.equal(missed[..., 17], missed[..., 15])
    assert not missed[..., :15].any()


def test_snapped_wrists_lie_on_the_partners():
    snap = torch.zeros(K, 2)
    snap[[9, 10], 1] = 0.5
    hidden = SEEN.clone()
    hidden[..., 9] = True
    near = torch.stack([person(100), person(120)]).expand(FRAMES, 2, K, 2)
    sampled = sample(no_errors(partner_snap=snap), points=near, hidden=hidden)
    moved = (sampled.points - near).norm(dim=-1) > 1
    assert not moved[..., [k for k in range(K) if k != 9]].any()
    assert float(moved[..., 9].float().mean()) == pytest.approx(0.5, abs=0.06)
    to_partner = (sampled.points[:, 0, 9, None] - near[:, 1, [9, 10]]).norm(dim=-1).amin(-1)
    assert (to_partner[moved[:, 0, 9]] < 1e-3).all()
    alone = sample(no_errors(partner_snap=snap), points=near, hidden=hidden, partner=False)
    assert torch.allclose(alone.points, near, atol=1e-4)


@pytest.mark.parametrize(("kind", "exchanged"), [(0, range(K)), (1, ARMS), (2, LEGS)])
def test_sides_are_flipped_together(kind: int, exchanged):
    flip = torch.zeros(3, 3)
    flip[kind, 2] = 0.4
    assert (facing_class(TWO) == 2).all(), "they face the camera"
    sampled = sample(no_errors(left_right_flip=flip))
    flipped = (sampled.points[..., 5 if kind == 1 else 11, :] - TWO[..., 5 if kind == 1 else 11, :]).norm(dim=-1) > 1
    assert float(flipped.float().mean()) == pytest.approx(0.4, abs=0.05)
    expected = TWO.clone()
    expected[..., list(exchanged), :] = TWO[..., MIRROR, :][..., list(exchanged), :]
    assert torch.allclose(sampled.points[flipped], expected[flipped], atol=1e-4)
    assert torch.allclose(sampled.points[~flipped], TWO[~flipped], atol=1e-4)


def test_two_people_switch_identities_together_and_some_are_absent():
    sampled = sample(no_errors(identity_switch=torch.full((4,), 0.2), absent=torch.full((4,), 0.1)))
    swapped = (sampled.points - TWO.flip(-3)).norm(dim=-1).amax(-1) < 1e-3
    assert torch.equal(swapped[:, 0], swapped[:, 1])
    assert float(swapped.float().mean()) == pytest.approx(0.2, abs=0.06)
    assert float((~sampled.present).float().mean()) == pytest.approx(0.1, abs=0.03)
    assert (sampled.confidence[~sampled.present] == 0).all()


def test_confidence_falls_with_the_error():
    table = torch.stack([uniform(0.3, K), uniform(0.3, K)], dim=1)
    confidence = torch.linspace(1, 0.2, E)[:, None].expand(K, 2, E, table.shape[-1])
    sampled = sample(no_errors(error=table, confidence=confidence))
    distance = (sampled.points - TWO).norm(dim=-1) / person_size(TWO)[..., None]
    assert torch.allclose(sampled.confidence[distance > 0.17], torch.tensor(0.2))
    assert torch.allclose(sampled.confidence[distance < 0.019], torch.tensor(1.0))


def test_errors_are_correlated_over_time():
    table = uniform(0.1, K, 2)
    slow = torch.eye(C)[3].expand(K, C)
    steps = [
        (sample(no_errors(error=table, error_variances=variances)).points - TWO).diff(dim=0).norm(dim=-1).median()
        for variances in (WHITE.expand(K, C), slow)
    ]
    assert float(steps[1]) < 0.25 * float(steps[0])


def test_batches_of_any_shape_and_seeds_that_determine_the_detections():
    table = uniform(0.1, K, 2)
    errors = no_errors(error=table, miss=torch.full((K, 2), 0.1))
    points = TWO[:50].expand(3, 4, 50, 2, K, 2)
    hidden = SEEN[:50].expand(3, 4, 50, 2, K)
    draws = [
        sample_detections(points, hidden, person_size(points), None, errors, torch.Generator().manual_seed(s))
        for s in (1, 1, 2)
    ]
    assert draws[0][0].shape == points.shape
    assert draws[0][1].shape == hidden.shape
    assert all(torch.equal(a, b) for a, b in zip(draws[0], draws[1], strict=True))
    assert not torch.equal(draws[0][0], draws[2][0])
    assert not torch.equal(draws[0][0][0, 0], draws[0][0][1, 2]), "scenes of a batch differ"


def test_a_person_seen_from_the_side_is_not_small():
    thin = TWO * torch.tensor([0.01, 1.0])
    assert float(person_size(thin).min()) == pytest.approx(np.sqrt(0.25) * 92, rel=0.01)


def test_keypoints_beyond_the_border_are_missed_or_placed_just_inside():
    errors = no_errors(
        outside_rate=torch.full((K,), 0.6), outside_inset=uniform(0.1), outside_confidence=0.2 + uniform(0.3)
    )
    points = TWO
    image = torch.tensor([10_000.0, float(points[..., 1].median())])
    size, generator = person_size(points), torch.Generator().manual_seed(0)
    nothing_hidden = torch.zeros(points.shape[:-1], dtype=torch.bool)
    sampled = sample_keypoints(points, nothing_hidden, size, None, errors, generator)
    placed = place_outside(sampled, points, size, image, errors, generator)
    beyond = points[..., 1] >= image[1]
    given = beyond & (placed.confidence > 0)
    assert float(given.sum() / beyond.sum()) == pytest.approx(0.6, abs=0.08)
    inset = (image[1] - placed.points[..., 1]) / size[..., None]
    assert float(inset[given].min()) >= -1e-4 and float(inset[given].max()) <= 0.1 + 1e-4
    assert float(placed.confidence[given].min()) >= 0.2 and float(placed.confidence[given].max()) <= 0.5
    assert torch.equal(placed.points[~beyond], sampled.points[~beyond])
    assert torch.equal(placed.confidence[~beyond], sampled.confidence[~beyond])


def test_limbs_on_a_partner_are_seen_no_better_than_hidden_ones():
    errors = no_errors(error=torch.stack([uniform(0.0, K), uniform(0.2, K)], dim=1))
    confused = replace(errors, partner_confusion=(torch.arange(K) == 9).float())
    points = TWO.clone()
    points[:, 0, 9] = points[:, 1, [8, 10]].mean(-2)
    hidden = torch.zeros(points.shape[:-1], dtype=torch.bool)
    moved = {}
    for name, table in (("plain", errors), ("confused", confused)):
        generator = torch.Generator().manual_seed(0)
        found = sample_keypoints(points, hidden, person_size(points), points.flip(-3), table, generator)
        moved[name] = (found.points - points).norm(dim=-1) / person_size(points)[..., None]
    assert float(moved["plain"].max()) < 1e-4
    assert float(moved["confused"][:, 0, 9].mean()) == pytest.approx(0.1, abs=0.03)
    moved["confused"][:, 0, 9] = 0
    assert float(moved["confused"].max()) < 1e-4
