"""SAM 2.1 with prompts; the network has the real shape and is trained here on one image."""

from __future__ import annotations

import gc
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rendered_people import RenderedPeople
from stick_figures import stick_figure

from closemesh.core.errors import ModelFileError
from closemesh.perception.detectors.ultralytics_backend import SamNetwork
from closemesh.perception.segmentation.label_images import label_image
from closemesh.perception.segmentation.mask_models import SamMasks, make_prompts
from closemesh.perception.segmentation.mask_models import normalized_pixels as as_pixels

pytest.importorskip("ultralytics")
from trained_sam import SIDE

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network(sam_file: Path) -> SamNetwork:
    return SamNetwork(sam_file, CPU, SIDE)


def test_each_person_gets_the_mask_of_the_own_prompts(people: RenderedPeople, sam_file: Path) -> None:
    maker = SamMasks(sam_file, CPU, SIDE)
    estimates = people.estimates()
    new = maker.refine_masks(people.images[0], estimates)
    assert min(people.agreement(label_image(people.images[0], new).labels)) > 0.6
    reversed_order = maker.refine_masks(people.images[0], {1: estimates[1], 0: estimates[0]})
    for person in range(2):
        np.testing.assert_allclose(reversed_order[person].pose.mask, new[person].pose.mask, atol=1e-4)
    assert maker.refine_masks(people.images[0], {}) == {}


def test_no_tensors_remain_after_an_image(people: RenderedPeople, sam_file: Path) -> None:
    """Memory does not grow with the clip."""
    maker = SamMasks(sam_file, CPU, SIDE)

    def tensors_after(count: int) -> int:
        for _ in range(count):
            maker.refine_masks(people.images[0], people.estimates())
        gc.collect()
        return sum(1 for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor))

    assert tensors_after(1) == tensors_after(2)


def test_the_same_as_ultralytics_own_predictor(people: RenderedPeople, sam_file: Path, network: SamNetwork) -> None:
    from ultralytics.models.sam import SAM2Predictor

    image = cv2.resize(people.images[0], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    boxes = people.boxes[0] * np.tile([SIDE / 640, SIDE / 480], 2)
    mine = network.segment(network.encode(as_pixels(image, SIDE)), boxes.reshape(-1, 2, 2), np.tile([2, 3], (2, 1)))
    predictor = SAM2Predictor(overrides={"model": str(sam_file), "imgsz": SIDE, "device": "cpu", "save": False})
    predictor.set_image(image[..., ::-1].copy())
    given = predictor._prepare_prompts((SIDE, SIDE), (SIDE, SIDE), boxes)
    theirs, _ = predictor._inference_features(predictor.features, *given)
    np.testing.assert_allclose(mine, theirs.detach().numpy(), atol=1e-3)


def test_prompts_are_positive_on_the_person_and_negative_on_the_partner() -> None:
    left, right = stick_figure(250), stick_figure(330)
    points, labels = make_prompts([left, right])
    assert points.shape[:2] == labels.shape and labels[0, :2].tolist() == [2, 3]
    np.testing.assert_allclose(points[0, :2].ravel(), left.box)
    own, other = points[0, labels[0] == 1], points[0, labels[0] == 0]
    assert len(own) == 9 and 0 < len(other) <= 6
    assert (own[:, 0] < 290).all() and (other[:, 0] > 290).all()


def test_where_two_people_coincide_there_are_no_negative_prompts() -> None:
    _, labels = make_prompts([stick_figure(250), stick_figure(252)])
    assert not (labels == 0).any()


def test_people_with_fewer_points_are_padded() -> None:
    blurred = stick_figure(400, confidence=0.2)
    _, labels = make_prompts([stick_figure(250), blurred])
    assert (labels[1] == -1).any() and (labels[1] == 1).sum() == 0


def test_damaged_files_are_reported_in_one_line(tmp_path: Path, sam_file: Path) -> None:
    torch.save({"model": {"weight": torch.zeros(3)}}, tmp_path / "sam2.1_s.pt")
    (tmp_path / "sam2.1_t.pt").write_bytes(sam_file.read_bytes()[:1000])
    torch.save({}, tmp_path / "mobile_sam.pt")
    for name in ("sam2.1_s.pt", "sam2.1_t.pt", "mobile_sam.pt"):
        with pytest.raises(ModelFileError, match=name) as caught:
            SamNetwork(tmp_path / name, CPU)
        assert "\n" not in str(caught.value)
