"""The whole stage on the demo clip, and interpolated detections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from stick_figures import stick_figure

from closemesh.config.schema import ClipConfig, ObserveConfig
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.perception.observe import MAX_INTERPOLATED, interpolate_boxes, observe, replace_outliers
from closemesh.structures import Clip, Observations
from closemesh.video import open_clip
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP


@pytest.fixture(scope="module")
def observed(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[Observations, Path, NullProgress]:
    folder, progress = tmp_path_factory.mktemp("masks"), NullProgress()
    return observe(clip, ObserveConfig(), folder, progress), folder, progress


def test_both_people_in_every_frame_and_not_the_background_person(
    clip: Clip, observed: tuple[Observations, Path, NullProgress]
) -> None:
    seen, _, progress = observed
    T = len(clip)
    assert seen.boxes.shape == (T, 2, 4) and seen.keypoints.shape == (T, 2, 133, 3)
    assert seen.sigmas.shape == (T, 2, 133) and seen.keypoints3d.shape == (T, 2, 23, 4)
    assert seen.detected.all()
    hips = seen.keypoints[:, :, [11, 12], :2].mean(2)  # [T, 2, 2]
    assert (hips[..., 0] > 250).all(), "the background person stands at the left border"
    man, woman = np.argsort(hips[0, :, 0])
    assert (hips[:, man, 0] < hips[:, woman, 0]).all(), "the man is on the left in all frames"
    assert progress.notes[0] == "people found by mediapipe-heavy, masks by blazepose-heavy"
    assert "taking" in progress.notes[1]


def test_keypoints_that_are_not_estimated_have_no_confidence(observed: tuple[Observations, Path, NullProgress]) -> None:
    seen = observed[0]
    assert (seen.keypoints[:, :, 23:91, 2] == 0).all(), "no face"
    assert (seen.keypoints3d[:, :, [18, 21], 3] == 0).all(), "no small toe"
    assert (seen.keypoints[..., 2] >= 0).all() and (seen.keypoints[..., 2] <= 1).all()
    assert (seen.sigmas > 0).all() and np.isfinite(seen.sigmas).all()


def test_the_3d_keypoints_are_upright_and_of_human_size(observed: tuple[Observations, Path, NullProgress]) -> None:
    seen = observed[0]
    nose, ankles = seen.keypoints3d[:, :, 0, :3], seen.keypoints3d[:, :, [15, 16], :3]
    assert (nose[..., 1] < -0.15).all(), "y points down, the origin is the mid-hip; the man bends over"
    assert np.median(nose[..., 1]) < -0.4
    length = np.linalg.norm(ankles, axis=-1)
    assert 0.5 < np.median(length) < 1.1


def test_masks_cover_the_trunk_of_each_person(clip: Clip, observed: tuple[Observations, Path, NullProgress]) -> None:
    seen, folder, _ = observed
    names = sorted(file.name for file in folder.iterdir())
    assert names == [f"{frame:06d}.png" for frame in range(len(clip))]
    for frame, name in enumerate(names):
        labels = cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED)
        assert labels.shape == clip.size[::-1] and labels.max() <= 2
        for person in range(2):
            x, y = seen.keypoints[frame, person, [5, 6, 11, 12], :2].mean(0).astype(int)
            assert labels[y, x] == person + 1
    assert seen.mask_confidence is not None and seen.mask_confidence.shape == (len(clip), 2)
    assert (seen.mask_confidence > 0.5).all() and (seen.mask_confidence <= 1).all()


def test_one_person_can_be_selected(tmp_path: Path) -> None:
    short = open_clip(find_model(DEMO_CLIP), ClipConfig(fps=6, end=0.8))
    seen = observe(short, ObserveConfig(people=1, masks=False), tmp_path / "masks", NullProgress())
    assert seen.num_people == 1 and seen.detected.all()
    assert not (tmp_path / "masks").exists()
    with pytest.raises(InputError, match="no person 9"):
        observe(short, ObserveConfig(people=(9,)), None, NullProgress())


def test_flow_is_stored_when_it_is_asked_for() -> None:
    short = open_clip(find_model(DEMO_CLIP), ClipConfig(fps=6, end=0.8))
    config = ObserveConfig(masks=False, hands=False, pose_network="full")
    without = observe(short, config, None, NullProgress())
    assert without.flow_keypoints is None
    seen = observe(short, replace(config, flow=True), None, NullProgress())
    assert seen.flow_keypoints is not None and seen.flow_keypoints.shape == (len(short), 2, 23, 3)
    unchanged = seen.flow_keypoints[..., 2] == 0
    np.testing.assert_array_equal(seen.keypoints[:, :, :23][unchanged], without.keypoints[:, :, :23][unchanged])


def test_a_clip_without_people_is_reported(tmp_path: Path) -> None:
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((120, 160, 3), 128, np.uint8))
    with pytest.raises(InputError, match=r"no person found in .*; give a clip"):
        observe(open_clip(tmp_path, ClipConfig()), ObserveConfig(), None, NullProgress())


def test_short_interruptions_are_interpolated_and_long_ones_are_not() -> None:
    seen = {0: stick_figure(100), 4: stick_figure(140), 5 + MAX_INTERPOLATED: stick_figure(200)}
    guesses = interpolate_boxes(seen)
    assert sorted(guesses) == [1, 2, 3, *range(5, 5 + MAX_INTERPOLATED)]
    np.testing.assert_allclose(guesses[1].keypoints[:, :2], stick_figure(110).keypoints[:, :2])
    assert guesses[1].keypoints[0, 2] < seen[0].keypoints[0, 2]
    assert not interpolate_boxes({0: stick_figure(100), MAX_INTERPOLATED + 2: stick_figure(100)})


def test_hips_on_the_partner_for_a_frame_are_replaced() -> None:
    walk = {frame: stick_figure(300 + 4 * frame) for frame in range(9)}
    wrong = {frame: stick_figure(300 + 4 * frame) for frame in range(9)}
    wrong[4].keypoints[[11, 12], 0] += 90
    wrong[8].keypoints[[11, 12], 0] += 90  # The last frame has too few neighbors.
    replaced = replace_outliers(wrong)
    np.testing.assert_allclose(replaced[4].keypoints[:, :2], walk[4].keypoints[:, :2])
    np.testing.assert_allclose(replaced[4].keypoints[[11, 12], 2], 0.45, err_msg="half the confidence")
    assert all(replaced[frame] is wrong[frame] for frame in range(9) if frame != 4)


def test_a_fast_limb_is_no_outlier() -> None:
    """A wrist that swings up and down moves in all frames: they do not agree on another place."""
    punch = {frame: stick_figure(300) for frame in range(9)}
    for frame, person in punch.items():
        person.keypoints[9, 1] += 60 * np.sin(1.6 * frame)
    replaced = replace_outliers(punch)
    assert all(replaced[frame] is punch[frame] for frame in punch)
