import numpy as np
import pytest

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import skin
from closemesh.contact.measure import find_close_pairs, measure_contacts
from closemesh.contact.watertight import watertight_body
from closemesh.core.progress import NullProgress
from closemesh.structures import BodyMotion

T = 12
DISTANCES = np.linspace(0.30, -0.04, T)  # Meters between the palms' nearest points, by construction below.


@pytest.fixture(scope="module")
def body():
    return load_bundled_body("std")


@pytest.fixture(scope="module")
def approach(body):
    """Two people in T-poses; person 1 slides along x until the hands meet and cross; a third stands far off.

    Person 1 stands on the left of person 0, so that the left hand of 0 meets the right hand of 1.
    """
    import torch

    mesh = watertight_body(body)
    vertices, _ = skin(mesh, torch.zeros(10), torch.eye(3).expand(55, 3, 3), torch.zeros(3))
    width = float(vertices[:, 0].max() - vertices[:, 0].min())
    transl = np.zeros((T, 3, 3))
    transl[:, 1, 0] = width + DISTANCES
    transl[:, 2, 2] = 5.0
    valid = np.ones((T, 3), dtype=bool)
    valid[3, 1] = False
    return BodyMotion(
        body_model=body.name,
        betas=np.zeros((3, 10)),
        rotations=np.tile(np.eye(3), (T, 3, 55, 1, 1)),
        transl=transl,
        expression=np.zeros((T, 3, 10)),
        valid=valid,
        confidence=np.ones((T, 3)),
    )


@pytest.fixture(scope="module")
def measured(approach, body):
    return measure_contacts(approach, body, NullProgress())


def test_only_the_pair_that_comes_near_is_reported(measured):
    assert [(pair.person_a, pair.person_b) for pair in measured] == [(0, 1)]


def test_distance_is_the_gap_between_the_hands_and_zero_when_they_cross(measured):
    distance = measured[0].distance
    assert np.isnan(distance[3])
    present = np.arange(T) != 3
    apart = present & (DISTANCES > 0)
    # Both fingertips are the outermost points of mirrored hands at the same height: they meet tip to tip.
    np.testing.assert_allclose(distance[apart], DISTANCES[apart], atol=6e-3)
    assert (distance[present & (DISTANCES < -0.01)] == 0).all()


def test_depth_is_zero_without_contact_and_grows_when_the_hands_cross(measured):
    depth = measured[0].depth
    assert np.isnan(depth[3])
    assert (depth[(DISTANCES > 0) & (np.arange(T) != 3)] == 0).all()
    assert 0 < depth[-2] <= depth[-1] < 0.04


def test_the_hands_touch_and_nothing_else(approach, body):
    held = approach.with_pose(
        transl=approach.transl[[-1] * 6],
        rotations=approach.rotations[:6],
        expression=approach.expression[:6],
        valid=np.ones((6, 3), bool),
    )
    (pair,) = measure_contacts(held, body, NullProgress())
    (contact,) = pair.contacts
    assert (contact.part_a, contact.part_b) == ("left_hand", "right_hand")
    assert (contact.start, contact.end) == (0, 5)
    assert contact.min_distance == 0 and contact.max_depth == pytest.approx(pair.depth.max())


@pytest.mark.parametrize(("num_frames", "found"), [(1, 1), (2, 1), (4, 0)])
def test_a_touch_in_all_frames_counts_in_a_clip_shorter_than_the_shortest_contact(
    approach, body, num_frames: int, found: int
):
    """In the clip of four frames, the hands touch in the last two."""
    frames = [1] * (num_frames - 2) + [T - 1] * min(num_frames, 2)
    short = approach.with_pose(
        **{name: getattr(approach, name)[frames] for name in ("rotations", "transl", "expression", "valid")}
    )
    (pair,) = measure_contacts(short, body, NullProgress())
    assert len(pair.contacts) == found
    assert pair.depth[-1] > 0


def test_measure_does_not_depend_on_where_the_pair_stands(approach, body, measured):
    moved = approach.with_pose(transl=approach.transl + np.array([2.0, -3.0, 8.0]))
    (pair,) = measure_contacts(moved, body, NullProgress())
    np.testing.assert_allclose(pair.distance, measured[0].distance, atol=1e-5)
    np.testing.assert_allclose(pair.depth, measured[0].depth, atol=1e-5)


def test_long_clips_are_measured_in_pieces_alike(approach, body, measured):
    frames = np.tile(np.arange(T), 4)  # 48 frames: more than one piece.
    long = approach.with_pose(
        **{name: getattr(approach, name)[frames] for name in ("rotations", "transl", "expression", "valid")}
    )
    (pair,) = measure_contacts(long, body, NullProgress())
    np.testing.assert_array_equal(pair.distance, np.tile(measured[0].distance, 4))


def test_near_pairs_gives_the_frames_within_the_distance(approach, body):
    ((a, b, frames),) = find_close_pairs(approach, body, max_distance=0.15)
    assert (a, b) == (0, 1)
    expected = (DISTANCES < 0.15) & (np.arange(T) != 3)
    wrong = frames != expected
    assert not wrong[np.abs(DISTANCES - 0.15) > 0.01].any()
    assert find_close_pairs(approach.with_pose(valid=np.zeros((T, 3), bool)), body, max_distance=0.15) == []


def test_right_wrist_is_on_the_negative_side():
    """What the construction above rests on."""
    body = load_bundled_body("light")
    assert body.joint_template[JOINT_INDEX["right_wrist"], 0] < 0 < body.joint_template[JOINT_INDEX["left_wrist"], 0]


def test_people_whose_distance_is_unsure_may_be_near(approach, body):
    """The second person is moved two meters farther along the line of sight, with the same image."""
    camera = approach.with_pose(transl=approach.transl + np.array([0.0, 0.0, 6.0]))
    far = camera.transl.copy()
    far[:, 1] *= 1 + 2 / far[:, 1, 2:]
    far = camera.with_pose(transl=far)
    assert (0, 1) not in [pair[:2] for pair in find_close_pairs(far, body, max_distance=0.15)]
    uncertain, certain = np.full((T, 3), 1.0), np.full((T, 3), 0.1)
    near = {(a, b): frames for a, b, frames in find_close_pairs(far, body, 0.15, uncertain)}
    assert near[0, 1].any()
    assert (0, 1) not in [pair[:2] for pair in find_close_pairs(far, body, 0.15, certain)]
