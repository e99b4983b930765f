"""Contact between parts of bodies that stand in known places."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.contact.body_parts import PART_INDEX
from closemesh.lab.evaluation import contact_metrics as contact
from closemesh.lab.evaluation.contact_metrics import PartMesh

LEFT, RIGHT = PART_INDEX["left_hand"], PART_INDEX["right_hand"]


@pytest.fixture(scope="module")
def people() -> tuple[PartMesh, np.ndarray, np.ndarray]:
    """Two bodies in T-pose side by side; the left fingertips of a meet the right ones of b."""
    body = load_bundled_body("light").to("cpu", torch.float64)
    a = body.v_template.numpy()
    b = a + np.array([np.ptp(a[:, 0]), 0, 0])
    return PartMesh(body), a, b


@pytest.mark.parametrize("gap", [0.01, 0.1])
def test_the_distance_of_outstretched_hands(people: tuple[PartMesh, np.ndarray, np.ndarray], gap: float) -> None:
    mesh, a, b = people
    distances = mesh.measure(a, b + np.array([gap, 0, 0])).part_distances
    # The two hands are nearly mirror images: their tips stand a little beside one another.
    assert distances[LEFT, RIGHT] == pytest.approx(gap, abs=0.004)
    assert np.unravel_index(distances.argmin(), distances.shape) == (LEFT, RIGHT)
    assert np.isinf(distances[PART_INDEX["head"]]).all()


def test_distances_against_all_pairs_of_vertices(people: tuple[PartMesh, np.ndarray, np.ndarray]) -> None:
    """Never farther than the nearest vertices, and nearer by no more than an edge."""
    mesh, a, _ = people
    b = a * [-1, 1, -1] + [0.1, 0, 0.25]  # Face to face, out of the middle.
    distances = mesh.measure(a, b).part_distances
    longest_edge = np.linalg.norm(a[mesh.faces] - a[np.roll(mesh.faces, 1, axis=1)], axis=-1).max()
    between = np.linalg.norm(a[:, None] - b[None], axis=-1)
    for i in range(22):
        for j in range(22):
            nearest = between[np.ix_(mesh._labels == i, mesh._labels == j)].min()
            if nearest < contact.MAX_DISTANCE:
                assert nearest - longest_edge < distances[i, j] <= nearest + 1e-9
    assert (distances < contact.MAX_DISTANCE).sum() > 20


def test_the_order_of_the_people_only_transposes(people: tuple[PartMesh, np.ndarray, np.ndarray]) -> None:
    mesh, a, b = people
    b = b - [0.3, 0, 0.05]
    forth, back = mesh.measure(a, b), mesh.measure(b, a)
    assert forth.part_distances == pytest.approx(back.part_distances.T)
    assert np.sort(forth.depths) == pytest.approx(np.sort(back.depths))


def test_parts_that_cross_are_at_no_distance(people: tuple[PartMesh, np.ndarray, np.ndarray]) -> None:
    mesh, a, b = people
    geometry = mesh.measure(a, b - [0.05, 0, 0])
    assert geometry.part_distances[LEFT, RIGHT] == 0
    assert 0.001 < geometry.depths.max() < 0.05
    apart = mesh.measure(a, b + 1)
    assert len(apart.depths) == 0
    assert np.isinf(apart.part_distances).all()


def of_touches(*touching: tuple[int, int], distance: float = 0.01) -> np.ndarray:
    distances = np.full((22, 22), np.inf)
    for part_a, part_b in touching:
        distances[part_a, part_b] = distance
    return distances


def test_precision_recall_and_f1_by_hand() -> None:
    truth = np.stack([of_touches((1, 2), (3, 4)), of_touches((5, 6)), of_touches(), of_touches()])
    predicted = np.stack([of_touches((1, 2), (2, 2), (9, 9)), of_touches(), of_touches((1, 1)), of_touches()])
    nan = np.nan
    assert contact.precision(predicted, truth, 0.013) == pytest.approx([1 / 3, nan, 0, nan], nan_ok=True)
    assert contact.recall(predicted, truth, 0.013) == pytest.approx([1 / 2, 0, nan, nan], nan_ok=True)
    assert contact.f1(predicted, truth, 0.013) == pytest.approx([2 / 5, 0, 0, nan], nan_ok=True)


def test_pcc_grows_with_the_radius() -> None:
    truth = of_touches((1, 2), (3, 4), (5, 6))
    predicted = of_touches((1, 2), distance=0.03) * 1.0
    predicted[3, 4], predicted[7, 7] = 0.12, 0.0
    fractions = [float(contact.pcc(predicted, truth, radius, 0.013)) for radius in (0.02, 0.05, 0.15, 0.2)]
    assert fractions == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])
    assert np.isnan(contact.pcc(predicted, of_touches(), 0.05, 0.013))


def test_what_was_not_measured_is_not_counted() -> None:
    unknown = np.full((22, 22), np.nan)
    for score in (contact.precision, contact.recall, contact.f1):
        assert np.isnan(score(unknown, of_touches((1, 2)), 0.013))
        assert np.isnan(score(of_touches((1, 2)), unknown, 0.013))
    assert np.isnan(contact.pcc(unknown, of_touches((1, 2)), 0.05, 0.013))
