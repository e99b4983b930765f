"""Timing of windows, sampled clips, and clips that pass through a key pose."""

from __future__ import annotations

import pytest
import torch
from standing_motion import standing_motion

from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.captured_clips import make_clips, sample_clip
from closemesh.lab.synthesis.motion_blending import ClipSegment, PersonKeyPose, warp_through_key_pose
from closemesh.lab.synthesis.timing import Timing

TIMING = Timing(90, 40, 59, closing=8, transition=12, speed=1.0, contact_speed=0.02, hold=(10, 14))


def test_timing_has_the_key_pose_in_the_middle_of_contact_and_hardly_moves_there() -> None:
    played = TIMING.clip_offsets(1.0)
    steps = played[1:] - played[:-1]
    assert abs(float(played[49] + played[50])) < 1e-4
    assert (steps > 0).all()
    assert steps[41:58].max() < 0.03
    assert steps[0] == pytest.approx(1.0, abs=1e-4)
    assert (TIMING.key_pose_weight()[30:74] == 1).all()
    assert TIMING.key_pose_weight()[0] == 0


def test_a_warped_clip_passes_through_the_key_pose_and_is_the_clip_far_from_it() -> None:
    motion = standing_motion()
    clip = make_clips([motion])["standing"]
    key_rotations = sample_clip(clip, torch.tensor([80.0]))[0][0] @ axis_angle_to_matrix(0.3 * torch.ones(22, 3))
    key = PersonKeyPose(key_rotations, torch.tensor([1.0, 0.9, 2.0]), clip.leg_length, on_feet=True)
    segment = ClipSegment(clip, 80, 1, 1.0, steps=False)
    warped = warp_through_key_pose(segment, key, TIMING)
    between = (warped.rotations[49] + warped.rotations[50]) / 2
    assert (between - key_rotations).abs().max() < 1e-3
    assert (warped.pelvis[49] - key.pelvis).norm() < 1e-3
    upper = [16, 17, 18, 19]
    captured = sample_clip(clip, segment.clip_frames(TIMING)[:1])[0]
    assert (warped.rotations[0, upper] - captured[0, upper]).abs().max() < 1e-5


def test_clips_are_sampled_smoothly_through_their_frames() -> None:
    clip = make_clips([standing_motion()])["standing"]
    rotations, pelvis = sample_clip(clip, torch.tensor([7.0, 7.5, 8.0]))
    assert (rotations[[0, 2]] - clip.rotations[[7, 8]]).abs().max() < 1e-5
    assert (pelvis[0] - clip.pelvis[7]).norm() < 1e-6
    middle = matrix_to_axis_angle(rotations[1, 3]) - matrix_to_axis_angle(clip.rotations[[7, 8], 3]).mean(0)
    assert middle.norm() < 1e-4
