"""Keypoints of the bundled body lie where detectors put them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closemesh.body.keypoints import regressed_keypoints
from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.body.smplx_files import read_body_arrays
from closemesh.weights.locate import find_model

WRIST_OFFSET, HIP_OFFSET = 0.021, 0.009  # Meters.


@pytest.mark.parametrize("variant", ["std", "mid", "light", "closed"])
def test_keypoints_differ_from_the_regressor_by_the_offsets_of_detectors(variant):
    data = read_body_arrays(find_model(f"open_body/open_body_{variant}.npz"))
    joints, weights, ids = regressed_keypoints(data)
    assert not joints[:17].any()
    template, names = data["v_template"], data["open_coco23_names"].tolist()
    moved = {
        name: weights[KEYPOINT_INDEX[name]].numpy() @ template[ids.numpy()] - row @ template
        for name, row in zip(names, data["open_coco23_regressor"], strict=True)
    }
    np.testing.assert_allclose(moved["left_wrist"], [WRIST_OFFSET, 0, 0], atol=1e-5)
    np.testing.assert_allclose(moved["right_wrist"], [-WRIST_OFFSET, 0, 0], atol=1e-5)
    np.testing.assert_allclose(moved["right_hip"], [0, HIP_OFFSET, 0], atol=1e-5)
    for name in ("nose", "left_shoulder", "right_heel"):
        np.testing.assert_allclose(moved[name], 0, atol=1e-6)


def test_weights_of_a_keypoint_sum_to_one():
    body = load_bundled_body()
    total = body.keypoint_vertices[:23].sum(1) + body.keypoint_joints[:23].sum(1)
    torch.testing.assert_close(total, torch.ones(23), atol=1e-4, rtol=0)
