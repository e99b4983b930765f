"""Crop, colors and bins of RTMW, and its keypoints together with other networks'; on stubs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rendered_people import RenderedPeople

from closemesh.config.schema import ObserveConfig
from closemesh.core.errors import ModelFileError
from closemesh.perception.detectors.person_detectors import YoloxDetector
from closemesh.perception.keypoints.pose_networks import Rtmw, decode_simcc
from closemesh.perception.keypoints.pose_networks import padded_crop_transform as crop_transform
from closemesh.perception.model_selection import make_detector, select_models
from closemesh.perception.observation_builder import ObservationBuilder
from closemesh.perception.types import CropEstimate
from closemesh.structures import Clip

pytest.importorskip("onnx")
from rtmw_stub import HEIGHT, WIDTH, save_always, save_boxes, save_brightest_red

CPU = torch.device("cpu")
FEET, FACE, HANDS = slice(17, 23), slice(23, 91), slice(91, 133)


def test_the_crop_keeps_the_shape_and_is_a_quarter_larger_than_the_box() -> None:
    box = np.array([100.0, 50, 180, 250])
    T = crop_transform(box, (WIDTH, HEIGHT))
    assert T[0, 0] == pytest.approx(HEIGHT / 250) and T[0, 0] == T[1, 1] and T[0, 1] == T[1, 0] == 0
    np.testing.assert_allclose(T @ [140, 150, 1], [WIDTH / 2, HEIGHT / 2])
    wide = crop_transform(np.array([0.0, 0, 300, 10]), (WIDTH, HEIGHT))
    assert wide[0, 0] == pytest.approx(WIDTH / 375)


def test_a_keypoint_comes_back_to_where_it_is_in_the_image(tmp_path: Path) -> None:
    """Red is the first channel; a brighter blue disc is not mistaken for it."""
    image = np.zeros((400, 500, 3), np.uint8)
    cv2.circle(image, (310, 120), 4, (200, 0, 0), -1)
    cv2.circle(image, (250, 200), 4, (0, 0, 255), -1)
    network = Rtmw(save_brightest_red(tmp_path / "red.onnx"), CPU)
    points = network.keypoints(image, np.array([230.0, 60, 350, 260]))
    assert points.shape == (133, 3)
    np.testing.assert_allclose(points[:, :2], np.tile([310, 120], (133, 1)), atol=6)
    assert (points[:, 2] > 0.7).all() and (points[:, 2] <= 1).all()
    nothing = network.keypoints(np.zeros_like(image), np.array([230.0, 60, 350, 260]))
    assert (nothing[:, 2] == 0).all()


def test_bins_are_half_pixels_and_the_less_confident_axis_counts() -> None:
    along_x, along_y = np.full((2, 2 * WIDTH), -3.0), np.full((2, 2 * HEIGHT), 5.0)
    along_x[0, 101], along_y[0, 40] = 7.0, 11.0
    along_x[1, 5], along_y[1, 6] = 30.0, 5.1
    points = decode_simcc(along_x, along_y)
    np.testing.assert_allclose(points[0], [50.5, 20, 0.6])
    assert points[1, 2] == pytest.approx(0.01)


@pytest.fixture
def rtmw_folder(people: RenderedPeople, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache with a stub of RTMW that gives the exact keypoints of the first rendered person."""
    T = crop_transform(people.boxes[0, 0], (WIDTH, HEIGHT))
    points = people.keypoints[0, 0] @ T[:, :2].T + T[:, 2]
    save_always(tmp_path / "closemesh" / "models" / "rtmw" / "rtmw_dw_x_l_256x192.onnx", points)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_hands_and_face_are_in_the_observations_with_their_sigmas(people: RenderedPeople, rtmw_folder: Path) -> None:
    selection = select_models(ObserveConfig(detector="rtmw", mask_model="mediapipe"))
    detector = make_detector(selection, CPU)
    assert detector.name == "movenet+blazepose-heavy+rtmw_dw_x_l_256x192"
    person = people.detection(0)
    pose = detector.refine(people.images[0], person)
    assert pose is not None
    clip = Clip(Path("clip"), "", np.arange(1), np.zeros(1), (640, 480), 30.0)
    record = ObservationBuilder(clip, 1)
    record.add(0, 0, person, CropEstimate(0, person, pose, 1.0))
    seen = record.finish(np.ones((1, 1)), detector.name)
    for part, most in ((FEET, 0.5), (FACE, 0.5), (HANDS, 0.5)):
        assert (seen.keypoints[0, 0, part, 2] > 0.9).all()
        assert np.abs(seen.keypoints[0, 0, part, :2] - people.keypoints[0, 0, part]).max() < most
        assert (seen.sigmas[0, 0, part] > 0).all() and (seen.sigmas[0, 0, part] < 20).all()
    assert seen.sigmas[0, 0, FACE].mean() < seen.sigmas[0, 0, FEET].mean()
    assert (seen.keypoints3d[0, 0, :, 3] > 0).sum() > 15, "3D keypoints still come from BlazePose"


def test_the_pose_of_another_person_is_rejected(people: RenderedPeople, rtmw_folder: Path) -> None:
    """The stub gives the first person's pose to all people."""
    detector = make_detector(select_models(ObserveConfig(detector="rtmw", mask_model="mediapipe")), CPU)
    other = people.detection(0)
    other.keypoints[:, 0] += 90
    pose = detector.refine(people.images[0], other)
    assert pose is not None
    clip = Clip(Path("clip"), "", np.arange(1), np.zeros(1), (640, 480), 30.0)
    record = ObservationBuilder(clip, 1)
    record.add(0, 0, other, CropEstimate(0, other, pose, 1.0))
    seen = record.finish(np.ones((1, 1)), detector.name)
    assert (seen.keypoints[0, 0, FACE, 2] == 0).all() and (seen.keypoints[0, 0, HANDS, 2] == 0).all()
    np.testing.assert_allclose(seen.keypoints[0, 0, :17, :2], other.keypoints[:, :2])


def test_yolox_detects_the_boxes_of_rtmw(people: RenderedPeople, rtmw_folder: Path) -> None:
    """The input is as wide as the image here; low scores and other classes are left out."""
    folder = rtmw_folder / "closemesh" / "models" / "rtmw"
    boxes = np.array([people.boxes[0, 0], people.boxes[0, 1], [0, 0, 9, 9]])
    save_boxes(folder / "yolox_m_humanart.onnx", boxes, [0.9, 0.2, 0.8], [0, 0, 7])
    selection = select_models(ObserveConfig(detector="rtmw", mask_model="mediapipe"))
    assert selection.yolox == folder / "yolox_m_humanart.onnx"
    (found,) = make_detector(selection, CPU).detect(people.images[0], 384)
    np.testing.assert_allclose(found.box, people.boxes[0, 0], atol=1e-3)
    assert np.abs(found.keypoints[:, :2] - people.keypoints[0, 0, :17]).max() < 0.5
    assert found.score == pytest.approx(0.9)
    half = cv2.resize(people.images[0], (320, 240))
    (smaller,) = make_detector(selection, CPU).detect(half, 384)
    np.testing.assert_allclose(smaller.box, people.boxes[0, 0] / 2, atol=1e-3)


def test_damaged_files_are_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "half.onnx").write_bytes(b"half a file")
    with pytest.raises(ModelFileError, match=r"half\.onnx.*closemesh download-weights"):
        Rtmw(tmp_path / "half.onnx", CPU)
    few = Rtmw(save_brightest_red(tmp_path / "few.onnx", keypoints=26), CPU)
    with pytest.raises(ModelFileError, match="26 keypoints, not 133"):
        few.keypoints(np.zeros((40, 40, 3), np.uint8), np.array([5.0, 5, 30, 30]))
    from closemesh.weights.locate import find_model

    with pytest.raises(ModelFileError, match="no YOLOX network"):
        YoloxDetector(find_model("blazepose/blazepose_full_fp16.onnx"), few, CPU)
    with pytest.raises(ModelFileError, match="no RTMW network"):
        Rtmw(find_model("blazepose/blazepose_full_fp16.onnx"), CPU)
