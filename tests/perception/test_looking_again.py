"""Where to look again: for someone who is missing, and past a partner who draws the attention."""

from __future__ import annotations

import numpy as np
import pytest
from figures import stick_figure

from closemesh.perception.detectors.multi_scale import boxes_overlap, detect_multi_scale, union_region, unmirror
from closemesh.perception.keypoints.topdown import estimate_frame, keypoint_agreement
from closemesh.perception.types import CropPose, Detection, Image

IMAGE = np.zeros((400, 640, 3), np.uint8)


class Scripted:
    """Sees people standing at known places of IMAGE, but each only in looks of the sizes it is given with."""

    name = "scripted"

    def __init__(self, people: list[tuple[Detection, set[int]]]) -> None:
        self.people = people
        self.looks: list[tuple[tuple[int, int], int, bool]] = []

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        corner, mirrored = self._place(image)
        self.looks.append((image.shape[1::-1], long_side, mirrored))
        width = image.shape[1]
        seen = [person.translated(-corner) for person, sides in self.people if long_side in sides]
        return [unmirror(person, width) for person in seen] if mirrored else seen

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        return None

    @staticmethod
    def _place(image: Image) -> tuple[np.ndarray, bool]:
        """Pixels of `where` hold their own position, so a crop tells where it was cut out."""
        first, second = image[0, 0].astype(int), image[0, 1].astype(int)
        mirrored = bool(_column(second) < _column(first))
        column = _column(image[0, -1].astype(int)) if mirrored else _column(first)
        return np.array([column, first[2] * 2.0]), mirrored


def _column(pixel: np.ndarray) -> int:
    return int(pixel[0]) * 256 + int(pixel[1])


@pytest.fixture
def where() -> Image:
    """An image whose pixels tell their column, and their row to within two."""
    columns, rows = np.meshgrid(np.arange(640), np.arange(400))
    return np.stack([columns // 256, columns % 256, rows // 2], -1).astype(np.uint8)


def test_one_look_is_enough_when_everybody_is_found(where: Image) -> None:
    people = [stick_figure(200), stick_figure(450)]
    detector = Scripted([(person, {256, 320, 384, 512}) for person in people])
    found = detect_multi_scale(detector, where, people, frame=7)
    assert len(detector.looks) == 1 and len(found) == 2
    for person in people:
        nearest = min(found, key=lambda other: abs(other.box[0] - person.box[0]))
        np.testing.assert_allclose(nearest.keypoints[:, :2], person.keypoints[:, :2], atol=2)


@pytest.mark.parametrize("side", [256, 512])
def test_who_is_missing_is_looked_for_in_other_sizes(where: Image, side: int) -> None:
    people = [stick_figure(200), stick_figure(450)]
    detector = Scripted([(people[0], {256, 320, 384, 512}), (people[1], {side})])
    found = detect_multi_scale(detector, where, people, frame=7)
    assert len(found) == 2
    assert detector.looks[-1][1] == side
    newcomer = max(found, key=lambda person: person.box[0])
    np.testing.assert_allclose(newcomer.keypoints[:, :2], people[1].keypoints[:, :2], atol=2)


def test_overlapping_people_are_seen_twice_once_in_a_mirror(where: Image) -> None:
    people = [stick_figure(300), stick_figure(330)]
    assert boxes_overlap(*people)
    detector = Scripted([(person, {256, 320, 384, 512}) for person in people])
    detect_multi_scale(detector, where, people, frame=7)
    assert [mirrored for _, _, mirrored in detector.looks] == [False, True]


def test_now_and_then_the_whole_frame_is_looked_at_for_newcomers(where: Image) -> None:
    known, newcomer = stick_figure(200), stick_figure(560)
    detector = Scripted([(known, {256, 320, 384, 512}), (newcomer, {384, 512})])
    assert len(detect_multi_scale(detector, where, [known], frame=14)) == 1
    assert len(detect_multi_scale(detector, where, [known], frame=15)) == 2


def test_the_region_holds_everybody_and_stays_in_the_image() -> None:
    people = [stick_figure(40), stick_figure(450)]
    x0, y0, x1, y1 = union_region(people, IMAGE)
    assert (x0, y1) == (0, 380) or x0 == 0
    assert 0 <= y0 < 94 and 296 < y1 <= 400 and 490 < x1 <= 640


class Distracted:
    """Sees the nearer figure wherever its red shirt shows, else the one who is meant."""

    name = "distracted"

    def __init__(self, nearer: Detection) -> None:
        self.nearer = nearer

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        return []

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        red_shows = (image == (255, 0, 0)).all(-1).any()
        seen = self.nearer if red_shows else person
        keypoints = np.zeros((133, 3))
        keypoints[:17] = seen.keypoints
        mask = np.zeros((400, 640), np.float32)
        x0, y0, x1, y1 = seen.box.astype(int)
        mask[y0:y1, x0:x1] = 0.9
        return CropPose(keypoints, np.zeros((23, 4)), np.zeros(2), mask, np.eye(2, 3), 1.0)


def test_the_one_behind_is_looked_at_without_the_one_in_front() -> None:
    nearer, farther = stick_figure(300, height=250), stick_figure(360)
    image = IMAGE.copy()
    image[180:220, 280:320] = (255, 0, 0)
    looks = estimate_frame(Distracted(nearer), image, {0: nearer, 1: farther})
    assert looks[0].agreement == looks[1].agreement == 1
    np.testing.assert_array_equal(looks[1].pose.keypoints[:17], farther.keypoints)
    hidden = looks[1].pose.mask[150:250, 310:325]
    assert (hidden == 0).all(), "what the one in front covers is not the other's"
    assert looks[1].pose.mask.max() > 0.5
    assert (image[180:220, 280:320] == (255, 0, 0)).all(), "the frame itself is left alone"


def test_agreement_counts_confident_limbs() -> None:
    person = stick_figure(300)
    keypoints = np.zeros((133, 3))
    keypoints[:17] = person.keypoints
    keypoints[[9, 10, 15], :2] += 100
    look = CropPose(keypoints, np.zeros((23, 4)), np.zeros(2), np.zeros((4, 4)), np.eye(2, 3), 1.0)
    assert keypoint_agreement(person, look) == pytest.approx(9 / 12)
    person.keypoints[[9, 10, 15], 2] = 0.1
    assert keypoint_agreement(person, look) == 1
    assert keypoint_agreement(person.flip_left_right(), look) == 1, (
        "who is taken to face the other way is the same person"
    )
    assert keypoint_agreement(stick_figure(300, confidence=0.0), look) == 0
