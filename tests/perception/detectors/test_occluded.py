"""People behind others are found once those in front are painted over; no one is found twice."""

from __future__ import annotations

import numpy as np
import pytest
from stick_figures import stick_figure

from closemesh.perception.detectors.occluded import find_occluded
from closemesh.perception.types import CropPose, Detection, Image

FRONT, BEHIND = stick_figure(300, height=250), stick_figure(350, height=250)
RED = (255, 0, 0)


class OneAtATime:
    """Detects `behind` where no red pixel is left, else no person; every mask is the box."""

    name = "one at a time"

    def __init__(self, behind: Detection) -> None:
        self.behind = behind

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        """The view is not scaled back here, so it must have the scale and corner of the image."""
        twice = [self.behind, self.behind.translated(np.array([2.0, 0.0]))]
        return [] if (image == RED).all(-1).any() else twice

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        mask = np.zeros((400, 640), np.float32)
        x0, y0, x1, y1 = person.box.astype(int)
        mask[y0:y1, x0:x1] = 0.9
        return CropPose(np.zeros((133, 3)), np.zeros((23, 4)), np.zeros(2), mask, np.eye(2, 3), 1.0)


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch) -> Image:
    monkeypatch.setattr("closemesh.perception.detectors.occluded.union_region", lambda *_: (0, 0, 640, 400))
    image = np.full((400, 640, 3), 90, np.uint8)
    x0, y0, x1, y1 = FRONT.box.astype(int)
    image[y0:y1, x0:x1] = RED
    return image


def test_the_person_behind_is_found_once(image: Image) -> None:
    assert [found.score for found in find_occluded(OneAtATime(BEHIND), image, [FRONT])] == [BEHIND.score]


@pytest.mark.parametrize("same", [FRONT, stick_figure(305, height=250), Detection(BEHIND.box, BEHIND.keypoints, 0.1)])
def test_the_person_in_front_and_noise_are_not(image: Image, same: Detection) -> None:
    assert find_occluded(OneAtATime(same), image, [FRONT]) == []


def test_people_whose_partner_is_found_are_left_out(image: Image) -> None:
    assert find_occluded(OneAtATime(BEHIND), image, [FRONT, stick_figure(310, height=250)]) == []
