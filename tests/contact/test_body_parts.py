import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.contact.body_parts import PART_INDEX, PART_NAMES, part_labels


@pytest.fixture(scope="module")
def body():
    return load_bundled_body("std")


@pytest.fixture(scope="module")
def labels(body):
    return part_labels(body)


def vertices_of(body, labels, part):
    return body.v_template[labels == PART_INDEX[part]]


def test_every_part_has_vertices_in_every_variant():
    for variant in ("std", "mid", "light"):
        counts = torch.bincount(part_labels(load_bundled_body(variant)), minlength=len(PART_NAMES))
        assert len(counts) == len(PART_NAMES) and counts.min() >= 20, variant


def test_left_is_the_side_of_positive_x_and_mirrors_right(body, labels):
    for name in PART_NAMES:
        if name.startswith("left_"):
            left, right = (vertices_of(body, labels, side + name.removeprefix("left")) for side in ("left", "right"))
            assert (left[:, 0] > 0).all() and (right[:, 0] < 0).all(), name
            assert abs(len(left) - len(right)) <= 0.1 * len(left), name
            mirrored = right.mean(0) * torch.tensor([-1.0, 1, 1])
            torch.testing.assert_close(left.mean(0), mirrored, atol=0.01, rtol=0)


def test_limb_parts_lie_between_their_joints(body, labels):
    joints = body.joint_template
    for part, start, end in (
        ("left_upper_arm", "left_shoulder", "left_elbow"),
        ("right_forearm", "right_elbow", "right_wrist"),
        ("left_thigh", "left_hip", "left_knee"),
        ("right_lower_leg", "right_knee", "right_ankle"),
    ):
        a, b = joints[JOINT_INDEX[start]], joints[JOINT_INDEX[end]]
        along = (vertices_of(body, labels, part) - a) @ (b - a) / (b - a).square().sum()
        assert along.min() > -0.25 and along.max() < 1.25, part
        assert 0.3 < along.mean() < 0.8, part


def test_trunk_stands_in_anatomical_order(body, labels):
    height = {name: vertices_of(body, labels, name)[:, 1].mean().item() for name in PART_NAMES}
    assert height["hips"] < height["abdomen"] < height["chest"] < height["neck"] < height["head"]
    assert height["buttocks"] < height["lower_back"] < height["upper_back"]
    for front, back in (("chest", "upper_back"), ("abdomen", "lower_back"), ("hips", "buttocks")):
        gap = vertices_of(body, labels, front)[:, 2].mean() - vertices_of(body, labels, back)[:, 2].mean()
        assert gap > 0.05, front


def test_known_points_of_the_surface(body, labels):
    """The outermost points of the body have the expected labels."""
    v = body.v_template
    trunk = (v[:, 0].abs() < 0.05) & (v[:, 1] > body.joint_template[JOINT_INDEX["spine3"], 1])
    trunk &= v[:, 1] < body.joint_template[JOINT_INDEX["left_shoulder"], 1]
    ids = torch.arange(len(v))
    assert PART_NAMES[labels[v[:, 1].argmax()]] == "head"
    assert PART_NAMES[labels[v[:, 0].argmax()]] == "left_hand"
    assert PART_NAMES[labels[v[:, 0].argmin()]] == "right_hand"
    assert PART_NAMES[labels[v[:, 1].argmin()]].endswith("foot")
    assert PART_NAMES[labels[ids[trunk][v[trunk, 2].argmax()]]] == "chest"
    assert PART_NAMES[labels[ids[trunk][v[trunk, 2].argmin()]]] == "upper_back"
