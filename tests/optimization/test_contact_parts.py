"""Body parts that were in contact are held together one by one, not only the nearest points of two people."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX
from closemesh.body.skinning import skin
from closemesh.contact.body_parts import PART_INDEX, part_labels
from closemesh.contact.watertight import watertight_body
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.optimization.joint_objective import ContactObjective

BODY = watertight_body(load_bundled_body("light"), "coarse")
DISTANCE = 0.74  # Meters between two people face to face: both hands of the first touch the chest of the second.


def _vertices(right_elbow: float) -> Tensor:
    """[1, 2, V, 3]; radians by which the right elbow of the first person is bent, which takes the hand away."""
    pose = torch.zeros(1, 2, 55, 3)
    pose[0, 0, JOINT_INDEX["left_shoulder"]] = torch.tensor([0.0, -1.7, -0.15])
    pose[0, 0, JOINT_INDEX["right_shoulder"]] = torch.tensor([0.0, 1.7, 0.15])
    pose[0, 0, JOINT_INDEX["right_elbow"], 1] = right_elbow
    pose[0, :, 0, 1] = torch.tensor([math.pi / 2, -math.pi / 2])
    transl = torch.tensor([[[0.0, 0.0, 0.0], [DISTANCE, 0.0, 0.0]]])
    return skin(BODY, torch.zeros(2, 10), axis_angle_to_matrix(pose), transl)[0]


def _held(contacts: ContactObjective) -> set[str]:
    """Parts of the first person with vertices that are held at the surface of the second."""
    patch = contacts._patches[0, 1]
    touching = patch.touching
    labels = part_labels(patch.body)[touching.vertex[touching.from_a]]
    return {name for name, index in PART_INDEX.items() if (labels == index).any()}


def test_a_hand_that_slips_off_is_held_although_the_other_one_still_touches() -> None:
    contacts = ContactObjective(BODY, ((0, 1),), torch.ones(1, 2))
    contacts._search(_vertices(0.0))
    contacts._search(_vertices(-0.45))
    assert {"left_hand", "right_hand"} <= _held(contacts)


def test_a_hand_that_never_touched_is_not_held() -> None:
    contacts = ContactObjective(BODY, ((0, 1),), torch.ones(1, 2))
    contacts._search(_vertices(-0.45))
    contacts._search(_vertices(-0.45))
    assert "left_hand" in _held(contacts) and "right_hand" not in _held(contacts)
