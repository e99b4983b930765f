"""The height of people in the image, factors between their points, and inverse sigmas as the lifter knows them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from closemesh.core.errors import ModelFileError
from closemesh.fitting import keypoint_noise
from closemesh.fitting.keypoint_noise import (
    COCO_SIGMAS,
    apparent_height,
    interpolate_factor,
    inv_sigma_in_training,
    load_keypoint_noise,
)
from closemesh.perception.keypoints.uncertainty import keypoint_sigmas

STANDING = np.array(
    [
        *[(0, -0.4), (0.02, -0.42), (-0.02, -0.42), (0.04, -0.41), (-0.04, -0.41)],
        *[(0.1, -0.288), (-0.1, -0.288), (0.1, -0.102), (-0.1, -0.102), (0.1, 0.044), (-0.1, 0.044)],
        *[(0.06, 0), (-0.06, 0), (0.06, 0.245), (-0.06, 0.245), (0.06, 0.491), (-0.06, 0.491)],
    ]
)
"""[17, 2] a person of height 1 with usual proportions, who hangs the arms."""


def person(height: float = 400.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Keypoints [17, 3] and box [4]."""
    points = STANDING * height + (500, 500)
    box = np.concatenate([points.min(0), points.max(0)])
    return torch.as_tensor(np.column_stack([points, np.ones(17)])), torch.as_tensor(box)


def test_height_is_that_of_the_standing_person_whatever_is_seen_of_it() -> None:
    keypoints, box = person()
    assert float(apparent_height(keypoints, box)) == pytest.approx(400, rel=1e-3)
    half = keypoints.clone()
    half[13:, 2] = 0
    assert float(apparent_height(half, box * torch.tensor([1, 1, 1, 0.8]))) == pytest.approx(400, rel=1e-3)
    bent = keypoints.clone()
    bent[[7, 8, 9, 10, 13, 14, 15, 16], :2] = bent[[5, 6, 5, 6, 11, 12, 11, 12], :2]  # Limbs towards the camera.
    bent[[13, 15], 1] += 0.245 * 400
    assert float(apparent_height(bent, box)) == pytest.approx(400, rel=1e-3)
    wrong = keypoints.clone()
    wrong[9, 0] += 900
    assert float(apparent_height(wrong, box)) == pytest.approx(400, rel=0.05)
    nothing = torch.zeros_like(keypoints)
    assert float(apparent_height(nothing, torch.tensor([0.0, 0, 65, 65]))) == pytest.approx(100)


def test_factors_are_linear_between_the_points_and_constant_outside() -> None:
    table = ((0.0, 4.0), (1.0, 2.0), (2.0, 1.0))
    found = interpolate_factor(table, torch.tensor([-1.0, 0, 0.5, 1.5, 9]))
    torch.testing.assert_close(found, torch.tensor([4.0, 4, 3, 1.5, 1]))


def test_confident_keypoints_are_as_sharp_for_the_lifter_as_in_its_training() -> None:
    keypoints, box = person()
    whole = np.zeros((1, 1, 133, 3))
    whole[0, 0, :17] = keypoints
    sigmas = keypoint_sigmas(whole, box.numpy()[None, None], np.ones((1, 1), bool), np.zeros((1, 1, 133)), (1000, 1000))
    now = torch.as_tensor(1 / sigmas[0, 0, :23])
    in_training = 1 / (0.5 * np.array(COCO_SIGMAS) * 0.65 * 400)
    np.testing.assert_allclose(inv_sigma_in_training(now)[:17], in_training, rtol=0.01)
    assert (now[:17].numpy() > 1.3 * in_training).all(), "real people are detected better than that"


def test_a_damaged_table_is_one_line(tmp_path, monkeypatch) -> None:
    load_keypoint_noise.cache_clear()
    (tmp_path / "noise.toml").write_text("limb_width = 'wide'\n")
    monkeypatch.setattr(keypoint_noise, "_FILE", tmp_path / "noise.toml")
    with pytest.raises(ModelFileError, match="does not hold the noise of keypoints; reinstall closemesh"):
        load_keypoint_noise()
    monkeypatch.undo()
    load_keypoint_noise.cache_clear()
    assert load_keypoint_noise().factors.confidence[-1] == (1.0, 1.0)
