"""Label images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from stick_figures import stick_figure

from closemesh.core.errors import OutputError
from closemesh.perception.segmentation.label_images import label_image, write_labels
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


def test_a_mask_lies_where_the_person_is() -> None:
    labels = label_image({0: estimate(0, stick_figure(300), (240, 100, 360, 320))}, SIZE)
    assert labels.shape == (400, 640) and labels.dtype == np.uint8
    rows, columns = np.nonzero(labels == 1)
    assert columns.min() == pytest.approx(240, abs=3) and columns.max() == pytest.approx(360, abs=3)
    assert rows.min() == pytest.approx(100, abs=3) and rows.max() == pytest.approx(320, abs=3)


def test_where_two_masks_meet_each_person_keeps_the_own_side() -> None:
    """Both masks cover both people; the skeletons decide, in any order of people."""
    both = (200, 100, 440, 320)
    estimates = {0: estimate(0, stick_figure(260), both), 1: estimate(1, stick_figure(380), both)}
    for order in ((0, 1), (1, 0)):
        labels = label_image({p: estimates[p] for p in order}, SIZE)
        assert (labels[150:300, 245:275] == 1).all()
        assert (labels[150:300, 365:395] == 2).all()
        assert (labels[110:310, 210:430] > 0).all()


def test_a_mask_is_drawn_inside_the_image_only() -> None:
    shifted = estimate(1, stick_figure(620), (560, 100, 640, 320))
    labels = label_image({1: shifted}, SIZE)
    assert (labels[150:300, 580:630] == 2).all()
    outside = estimate(0, stick_figure(300), (240, 100, 360, 320))
    outside.pose.T_image_mask[0, 2] += 2000
    assert not label_image({0: outside}, SIZE).any()
    assert not label_image({}, SIZE).any()


def test_labels_survive_the_file(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (97, 131)).astype(np.uint8)
    write_labels(tmp_path / "000000.png", labels)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "000000.png"), cv2.IMREAD_UNCHANGED), labels)
    assert [file.name for file in tmp_path.iterdir()] == ["000000.png"]


def test_an_unwritable_path_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_labels(tmp_path / "file" / "000000.png", np.zeros((4, 4), np.uint8))
