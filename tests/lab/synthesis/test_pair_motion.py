"""Augmentation of pairs: mirror image, order, placement, speed."""

from __future__ import annotations

from dataclasses import replace

import torch
from random_pair import two_people

from closemesh.body.loading import load_bundled_body
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.lab.synthesis.pair_motion import HeldContact, mirror, mirror_contact, place, resample, swap_people
from closemesh.lab.synthesis.templates.schema import ContactConstraint

BODY = load_bundled_body("light")


def test_mirrored_twice_gives_the_same_motion_and_swapped_people_are_exchanged() -> None:
    motion = two_people()
    again = mirror(mirror(motion))
    assert (again.rotations - motion.rotations).abs().max() < 1e-6
    assert (again.hand_pose - motion.hand_pose).abs().max() < 1e-6
    flipped = mirror(motion).skin(BODY)[0] * torch.tensor([-1.0, 1.0, 1.0])
    distance = torch.cdist(flipped[0, 0], motion.skin(BODY)[0][0, 0]).amin(-1)
    assert distance.median() < 0.003
    assert distance.max() < 0.03  # The coarse mesh is not quite symmetric.
    assert (swap_people(motion).pelvis[:, 0] - motion.pelvis[:, 1]).abs().max() == 0


def test_mirrored_anchors_are_on_the_other_side() -> None:

    held = HeldContact(torch.tensor([[100, 2000]]), (ContactConstraint("left_palm", "chest"),))
    mirrored = mirror_contact(held, BODY)
    assert mirrored.constraints == (ContactConstraint("right_palm", "chest"),)
    way = BODY.v_template[mirrored.anchors] - BODY.v_template[held.anchors] * torch.tensor([-1.0, 1.0, 1.0])
    assert way.norm(dim=-1).max() < 0.03


def test_turning_keeps_distances_and_heights() -> None:
    motion = two_people()
    turned = place(motion, torch.tensor(1.0), torch.tensor([3.0, 4.0]))
    before, after = (m.skin(BODY)[0][0].flatten(0, 1)[::97].double() for m in (motion, turned))
    assert (torch.cdist(before, before) - torch.cdist(after, after)).abs().max() < 1e-5
    assert (before[:, 1] - after[:, 1]).abs().max() < 1e-5


def test_resampled_rotations_and_positions_are_interpolated() -> None:
    way = torch.tensor([0.3, -0.2, 0.5])
    frames = torch.arange(5.0)
    motion = two_people(frames=1).frames(torch.zeros(5, dtype=torch.long))
    turning = axis_angle_to_matrix(frames[:, None] * way)[:, None, None].expand(5, 2, 22, 3, 3)
    pelvis = frames[:, None, None] * torch.ones(5, 2, 3)
    moving = replace(motion, rotations=turning, pelvis=pelvis)
    moments = torch.linspace(0, 4, 9)
    played = resample(moving, moments)
    expected = axis_angle_to_matrix(moments[:, None] * way)[:, None, None]
    assert (played.rotations - expected).abs().max() < 1e-5
    assert (played.pelvis - moments[:, None, None]).abs().max() < 1e-6
    assert (played.frames(slice(None, None, 2)).rotations - moving.rotations).abs().max() < 1e-6
