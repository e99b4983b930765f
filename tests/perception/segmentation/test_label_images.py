"""Label images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from stick_figures import stick_figure

from closemesh.core.errors import OutputError
from closemesh.perception.segmentation.clip_colors import ClipColors, color_density, skeleton_area
from closemesh.perception.segmentation.label_images import (
    MaskWriter,
    guided_filter,
    label_image,
    read_labels,
    write_labels,
)
from closemesh.perception.types import CropEstimate, CropPose, Detection

SIZE = (640, 400)


def estimate(
    person: int, detection: Detection, box: tuple[int, int, int, int], probability: float = 0.9
) -> CropEstimate:
    """A mask that fills the box, in mask pixels of 4 by 4 image pixels."""
    mask = np.zeros((100, 160), np.float32)
    x0, y0, x1, y1 = (side // 4 for side in box)
    mask[y0:y1, x0:x1] = probability
    T_image_mask = np.array([[4.0, 0, 1.5], [0, 4, 1.5]])
    refinement = CropPose(np.zeros((133, 3)), np.zeros((23, 4)), np.zeros(2), mask, T_image_mask, 1.0)
    return CropEstimate(person, detection, refinement, 1.0)


PLAIN = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def textured(color: tuple[int, int, int], seed: int) -> np.ndarray:
    """[H, W, 3] noise around a color, correlated over a few pixels."""
    noise = np.random.default_rng(seed).normal(0, 25, (SIZE[1], SIZE[0], 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5) * 3 + color, 0, 255).astype(np.uint8)


def soft_estimate(person: int, detection: Detection, truth: np.ndarray, blur: float = 7.0) -> CropEstimate:
    """The mask that a network gives: the true one [H, W], blurred and in cells of four pixels."""
    soft = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), blur)
    mask = cv2.resize(soft, (SIZE[0] // 4, SIZE[1] // 4), interpolation=cv2.INTER_AREA)
    T_image_mask = np.array([[4.0, 0, 1.5], [0, 4, 1.5]])
    pose = CropPose(np.zeros((133, 3)), np.zeros((23, 4)), np.zeros(2), mask, T_image_mask, 1.0)
    return CropEstimate(person, detection, pose, 1.0)


def test_a_mask_lies_where_the_person_is() -> None:
    masks = label_image(PLAIN, {0: estimate(0, stick_figure(300), (240, 100, 360, 320))})
    labels = masks.labels
    assert labels.shape == (400, 640) and labels.dtype == np.uint8
    rows, columns = np.nonzero(labels == 1)
    assert columns.min() == pytest.approx(240, abs=3) and columns.max() == pytest.approx(360, abs=3)
    assert rows.min() == pytest.approx(100, abs=3) and rows.max() == pytest.approx(320, abs=3)
    assert 0.7 < masks.confidence[0] <= 1


def test_the_boundary_follows_the_edges_of_the_frame() -> None:
    """A person of capsules, in front of a textured wall: a blurred mask becomes sharp."""
    figure = stick_figure(300)
    truth = skeleton_area(figure, (SIZE[1], SIZE[0]), 0.04)
    image = np.where(truth[..., None], textured((200, 150, 110), 1), textured((60, 70, 80), 2))
    soft = soft_estimate(0, figure, truth)
    network = cv2.warpAffine(soft.pose.mask, soft.pose.T_image_mask, SIZE) > 0.5
    refined = label_image(image, {0: soft}).labels == 1
    assert iou(network, truth) < 0.93
    assert iou(refined, truth) > iou(network, truth) + 0.03


def test_where_two_masks_meet_each_person_keeps_the_own_side() -> None:
    """Both masks cover both people; the skeletons decide, in any order of people."""
    both = (200, 100, 440, 320)
    estimates = {0: estimate(0, stick_figure(260), both), 1: estimate(1, stick_figure(380), both)}
    for order in ((0, 1), (1, 0)):
        labels = label_image(PLAIN, {p: estimates[p] for p in order}).labels
        assert (labels[150:300, 245:275] == 1).all()
        assert (labels[150:300, 365:395] == 2).all()
        assert (labels[110:310, 210:430] > 0).all()


def test_three_people_each_get_the_own_mask() -> None:
    people = {p: stick_figure(150 + 150 * p) for p in range(3)}
    estimates = {p: estimate(p, f, (90 + 150 * p, 100, 210 + 150 * p, 320)) for p, f in people.items()}
    labels = label_image(PLAIN, estimates).labels
    for p in range(3):
        assert (labels[150:300, 135 + 150 * p : 165 + 150 * p] == p + 1).all()


def test_at_contact_the_boundary_follows_the_clothes() -> None:
    """An arm of the red person over the blue one: both networks claim it, the skeleton knows nothing of it."""
    left, right = stick_figure(260), stick_figure(360)
    red, blue = textured((190, 60, 60), 3), textured((60, 60, 190), 4)
    is_right = np.zeros((SIZE[1], SIZE[0]), bool)
    is_right[110:310, 310:420] = True
    is_left = np.zeros_like(is_right)
    is_left[110:310, 200:310] = True
    arm = np.zeros_like(is_right)
    arm[180:205, 310:370] = True
    image = np.where(is_right[..., None], blue, PLAIN)
    image = np.where((is_left | arm)[..., None], red, image)
    estimates = {
        0: soft_estimate(0, left, is_left | arm),
        1: soft_estimate(1, right, is_right),  # With the arm.
    }
    colors = ClipColors(None, {0: color_density(red[is_left]), 1: color_density(blue[is_right])})
    plain, colored = label_image(image, estimates), label_image(image, estimates, colors)
    assert (plain.labels[arm] == 1).mean() < 0.6
    assert (colored.labels[arm] == 1).mean() > 0.75
    assert iou(colored.labels == 2, is_right & ~arm) > iou(plain.labels == 2, is_right & ~arm)
    assert iou(colored.labels == 1, is_left | arm) > 0.9


def test_mask_confidence() -> None:
    """Soft masks, masks that overlap and people who hardly seem present are less sure."""
    left, right = stick_figure(200), stick_figure(440)
    apart = label_image(
        PLAIN, {0: estimate(0, left, (140, 100, 260, 320)), 1: estimate(1, right, (380, 100, 500, 320))}
    )
    both = (140, 100, 500, 320)
    overlapping = label_image(PLAIN, {0: estimate(0, left, both), 1: estimate(1, right, both)})
    soft = label_image(PLAIN, {0: estimate(0, left, (140, 100, 260, 320), 0.6)})
    assert all(0 <= one <= 1 for masks in (apart, overlapping, soft) for one in masks.confidence.values())
    assert overlapping.confidence[0] < apart.confidence[0] - 0.2
    assert soft.confidence[0] < apart.confidence[0] - 0.1
    absent = estimate(0, left, (140, 100, 260, 320))
    absent = replace(absent, pose=replace(absent.pose, presence=0.3))
    assert label_image(PLAIN, {0: absent}).confidence[0] < 0.4


def test_a_mask_is_drawn_inside_the_image_only() -> None:
    shifted = estimate(1, stick_figure(620), (560, 100, 640, 320))
    labels = label_image(PLAIN, {1: shifted}).labels
    assert (labels[150:300, 580:630] == 2).all()
    outside = estimate(0, stick_figure(300), (240, 100, 360, 320))
    outside.pose.T_image_mask[0, 2] += 2000
    assert not label_image(PLAIN, {0: outside}).labels.any()
    assert not label_image(PLAIN, {}).labels.any()
    beside = label_image(PLAIN, {0: outside, 1: shifted})
    np.testing.assert_array_equal(beside.labels, labels)
    assert beside.confidence[0] == 0 and beside.confidence[1] > 0.5


def test_an_empty_mask_is_no_person() -> None:
    empty = estimate(0, stick_figure(300), (240, 100, 360, 320), probability=0.0)
    masks = label_image(PLAIN, {0: empty})
    assert not masks.labels.any() and masks.confidence == {0: 0.0}


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (64, 64), (7, 200)])
def test_tiny_images(size: tuple[int, int]) -> None:
    width, height = size
    pose = CropPose(np.zeros((133, 3)), np.zeros((23, 4)), np.zeros(2), np.ones((16, 16)), np.eye(2, 3), 1.0)
    one = CropEstimate(0, stick_figure(width / 2, height / 2, height), pose, 1.0)
    labels = label_image(np.zeros((height, width, 3), np.uint8), {0: one}).labels
    assert labels.shape == (height, width) and labels[0, 0] == 1


def test_the_guided_filter_keeps_values_of_a_plain_image_and_edges_of_a_step() -> None:
    plain = np.full((40, 60), 0.5, np.float32)
    values = np.full((20, 30), 0.3, np.float32)
    np.testing.assert_allclose(guided_filter(plain[::2, ::2], plain, values, 2, 1e-3), 0.3, atol=1e-5)
    step = np.zeros((40, 60), np.float32)
    step[:, 30:] = 1
    blurred = cv2.GaussianBlur(step[::2, ::2], (0, 0), 2)
    filtered = guided_filter(np.ascontiguousarray(step[::2, ::2]), step, blurred, 4, 1e-3)
    assert filtered[:, 29].max() < 0.35 and filtered[:, 30].min() > 0.65


def test_the_writer_learns_from_samples_and_writes_each_frame(tmp_path: Path) -> None:
    figure = stick_figure(300)
    writer = MaskWriter(tmp_path / "masks", 3)
    for frame in range(3):
        writer.samples.add(frame, PLAIN)
    writer.learn_colors([{0: figure}])
    assert not writer.samples.images, "samples are freed"
    confidence = writer.write(0, PLAIN, {0: estimate(0, figure, (240, 100, 360, 320))})
    assert confidence[0] > 0.7
    assert writer.write(1, PLAIN, {}) == {}
    assert (read_labels(tmp_path / "masks" / "000000.png") == 1).any()
    assert not read_labels(tmp_path / "masks" / "000001.png").any()


def test_labels_survive_the_file(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (97, 131)).astype(np.uint8)
    write_labels(tmp_path / "000000.png", labels)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "000000.png"), cv2.IMREAD_UNCHANGED), labels)
    assert [file.name for file in tmp_path.iterdir()] == ["000000.png"]


def test_an_unwritable_path_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_labels(tmp_path / "file" / "000000.png", np.zeros((4, 4), np.uint8))
