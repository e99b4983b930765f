"""The networks and the whole stage on the demo clip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from closemesh.config.schema import ClipConfig, ObserveConfig
from closemesh.core.errors import InputError, ModelFileError
from closemesh.core.progress import NullProgress
from closemesh.perception.detectors.multi_scale import detect_multi_scale
from closemesh.perception.detectors.person_detectors import MODEL_NAME
from closemesh.perception.keypoints.pose_networks import CROP, crop_transform, refine_with_heatmaps
from closemesh.perception.keypoints.topdown import MediaPipeDetector
from closemesh.perception.observe import observe
from closemesh.perception.tracking.similarity import oks
from closemesh.perception.types import Detection
from closemesh.structures import Clip, Observations
from closemesh.video import open_clip, read_frames

DEMO = Path(__file__).resolve().parents[2] / "models" / "demo" / "two_people_01.mp4"


@pytest.fixture(scope="module")
def clip() -> Clip:
    return open_clip(DEMO, ClipConfig(fps=6))


@pytest.fixture(scope="module")
def first_frame(clip: Clip) -> np.ndarray:
    return next(read_frames(clip))


@pytest.fixture(scope="module")
def detector() -> MediaPipeDetector:
    return MediaPipeDetector()


@pytest.fixture(scope="module")
def observed(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[Observations, Path, NullProgress]:
    folder, progress = tmp_path_factory.mktemp("masks"), NullProgress()
    return observe(clip, ObserveConfig(), folder, progress), folder, progress


def test_both_people_in_every_frame_and_not_the_bystander(
    clip: Clip, observed: tuple[Observations, Path, NullProgress]
) -> None:
    seen, _, progress = observed
    T = len(clip)
    assert seen.boxes.shape == (T, 2, 4) and seen.keypoints.shape == (T, 2, 133, 3)
    assert seen.sigmas.shape == (T, 2, 133) and seen.keypoints3d.shape == (T, 2, 23, 4)
    assert seen.detected.all()
    hips = seen.keypoints[:, :, [11, 12], :2].mean(2)  # [T, 2, 2]
    assert (hips[..., 0] > 250).all(), "the bystander stands at the left border"
    man, woman = np.argsort(hips[0, :, 0])
    assert (hips[:, man, 0] < hips[:, woman, 0]).all(), "the man is on the left of the woman throughout"
    assert progress.notes[0] == "people found by mediapipe, masks by blazepose"
    assert "taking" in progress.notes[1]


def test_what_is_not_given_has_no_confidence(observed: tuple[Observations, Path, NullProgress]) -> None:
    seen = observed[0]
    assert (seen.keypoints[:, :, 23:91, 2] == 0).all(), "no face"
    assert (seen.keypoints3d[:, :, [18, 21], 3] == 0).all(), "no small toe"
    assert (seen.keypoints[..., 2] >= 0).all() and (seen.keypoints[..., 2] <= 1).all()
    assert (seen.sigmas > 0).all() and np.isfinite(seen.sigmas).all()


def test_the_cue_is_a_person_of_human_size_the_right_way_up(observed: tuple[Observations, Path, NullProgress]) -> None:
    seen = observed[0]
    nose, ankles = seen.keypoints3d[:, :, 0, :3], seen.keypoints3d[:, :, [15, 16], :3]
    assert (nose[..., 1] < -0.2).all(), "y points down, the origin is the mid-hip; the man bends over"
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


def test_one_person_can_be_asked_for(tmp_path: Path) -> None:
    short = open_clip(DEMO, ClipConfig(fps=6, end=0.8))
    seen = observe(short, ObserveConfig(people=1, masks=False), tmp_path / "masks", NullProgress())
    assert seen.num_people == 1 and seen.detected.all()
    assert not (tmp_path / "masks").exists()
    with pytest.raises(InputError, match="no person 9"):
        observe(short, ObserveConfig(people=(9,)), None, NullProgress())


def test_a_clip_without_people_is_told(tmp_path: Path) -> None:
    for index in range(4):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((120, 160, 3), 128, np.uint8))
    with pytest.raises(InputError, match=r"no person found in .*; give a clip"):
        observe(open_clip(tmp_path, ClipConfig()), ObserveConfig(), None, NullProgress())


def test_detection_does_not_depend_on_the_size_of_the_image(
    detector: MediaPipeDetector, first_frame: np.ndarray
) -> None:
    large = detector.detect(cv2.resize(first_frame, None, fx=2, fy=2), 384)
    shrunk = [Detection(p.box / 2, p.keypoints * (0.5, 0.5, 1), p.score) for p in large]
    for person in sorted(detector.detect(first_frame, 384), key=lambda p: -p.score)[:2]:
        assert max(oks(person, other) for other in shrunk) > 0.9


def test_a_turned_picture_turns_the_cue(detector: MediaPipeDetector, first_frame: np.ndarray) -> None:
    """The crop stands upright on the person, so only the way back can tell the two pictures apart."""
    person = max(detect_multi_scale(detector, first_frame, [], 0), key=lambda p: p.score)
    turned_image = np.ascontiguousarray(np.rot90(first_frame))  # (x, y) -> (y, W - 1 - x)
    keypoints = person.keypoints.copy()
    keypoints[:, :2] = np.stack([person.keypoints[:, 1], first_frame.shape[1] - 1 - person.keypoints[:, 0]], 1)
    upright = detector.refine(first_frame, person)
    turned = detector.refine(turned_image, Detection(person.box, keypoints, person.score))
    assert upright is not None and turned is not None
    x, y, z = upright.keypoints3d[:, :3].T
    np.testing.assert_allclose(turned.keypoints3d[:, :3], np.stack([y, -x, z], 1), atol=0.02)
    there = upright.keypoints[upright.keypoints[:, 2] > 0.5]
    back = turned.keypoints[upright.keypoints[:, 2] > 0.5]
    expected = np.stack([there[:, 1], first_frame.shape[1] - 1 - there[:, 0]], 1)
    np.testing.assert_allclose(back[:, :2], expected, atol=0.01 * person.diagonal)


def test_the_crop_stands_on_the_hips_with_the_shoulders_up(
    detector: MediaPipeDetector, first_frame: np.ndarray
) -> None:
    for person in detector.detect(first_frame, 384)[:2]:
        T = crop_transform(person.keypoints)
        assert T is not None
        hip, shoulder = (np.append(person.keypoints[rows, :2].mean(0), 1) for rows in ([11, 12], [5, 6]))
        np.testing.assert_allclose(T @ hip, [CROP / 2, CROP / 2], atol=0.01)
        assert (T @ shoulder)[0] == pytest.approx(CROP / 2, abs=0.01) and (T @ shoulder)[1] < CROP / 2
    assert crop_transform(np.zeros((17, 3))) is None


def test_heat_maps_move_points_to_their_peak_only_when_sure() -> None:
    rows, columns = np.mgrid[:64, :64]
    peak = np.exp(-((columns - 31.5) ** 2 + (rows - 20) ** 2) / 4)
    heatmaps = np.stack([peak, 0.4 * peak, peak], -1)
    points = np.array([[120.0, 86.0], [120.0, 86.0], [-20.0, 300.0]])
    refined = refine_with_heatmaps(points, heatmaps)
    np.testing.assert_allclose(refined[0], [126, 80], atol=0.3)  # The window cuts the tail.
    np.testing.assert_array_equal(refined[1:], points[1:])


def test_a_damaged_model_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / MODEL_NAME
    damaged.parent.mkdir()
    damaged.write_bytes(b"half a file")
    monkeypatch.setenv("CLOSEMESH_MODELS", str(tmp_path))
    with pytest.raises(ModelFileError, match=r"movenet_multipose_fp16\.onnx") as caught:
        MediaPipeDetector()
    assert "\n" not in str(caught.value)
