"""Attributes of a known pose."""

from __future__ import annotations

import pytest
import torch

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.lab.training.pose_attributes import PoseAttribute, attribute_confidence, pose_attributes
from closemesh.lab.training.pose_encoder import load_mean_body
from closemesh.text.pose_features import PoseFeatures


def standing() -> PoseFeatures:
    """A person upright who faces along z, the left hand straight forward, the right one hanging; x is left."""
    places = {
        **dict.fromkeys(("nose",), (0, 1.6, 0.1)),
        "left_ear": (0.07, 1.62, 0), "right_ear": (-0.07, 1.62, 0),
        "left_shoulder": (0.18, 1.4, 0), "right_shoulder": (-0.18, 1.4, 0),
        "left_elbow": (0.18, 1.4, 0.28), "right_elbow": (-0.18, 1.15, 0),
        "left_wrist": (0.18, 1.4, 0.53), "right_wrist": (-0.18, 0.93, 0),
        "left_hip": (0.1, 0.9, 0), "right_hip": (-0.1, 0.9, 0),
        "left_knee": (0.1, 0.5, 0), "right_knee": (-0.1, 0.5, 0),
        "left_ankle": (0.1, 0.1, 0), "right_ankle": (-0.1, 0.1, 0),
        "left_heel": (0.1, 0, -0.05), "right_heel": (-0.1, 0, -0.05),
        "left_big_toe": (0.1, 0, 0.15), "right_big_toe": (-0.1, 0, 0.15),
    }  # fmt: skip
    keypoints = torch.zeros(1, 1, 23, 3)
    for name, place in places.items():
        keypoints[0, 0, KEYPOINT_INDEX[name]] = torch.tensor(place)
    capsules = load_mean_body(torch.device("cpu")).capsules
    return PoseFeatures(keypoints, torch.tensor([[0.0, 1.0, 0.0]]), capsules)


def test_attributes_of_a_known_pose():
    features = standing()
    found = {
        (attribute.kind, attribute.side)
        for attribute in pose_attributes(1)
        if float(attribute_confidence(attribute, features)) > 0.75
    }
    assert {("arm_forward", "left"), ("forearm_level", "left"), ("hand_at_shoulder_height", "left")} <= found
    assert {("forearm_down", "right"), ("hand_at_hip_height", "right")} <= found
    untrue = {("arm_forward", "right"), ("arm_out_sideways", "left"), ("looks_down", ""), ("kneels", "left")}
    assert not untrue & found
    assert not any(kind in ("twisted", "leans_sideways", "foot_high") for kind, _ in found)


def test_an_unknown_attribute_is_an_error():
    with pytest.raises(ValueError, match="attribute 'hand_at_moon' is unknown"):
        PoseAttribute(0, "hand_at_moon", "left")
    with pytest.raises(ValueError, match="attribute 'kneels' is unknown"):
        PoseAttribute(0, "kneels")
