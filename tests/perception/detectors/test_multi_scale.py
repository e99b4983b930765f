"""Search for missing people in other crops and scales."""

from __future__ import annotations

import numpy as np
import pytest
from stick_figures import stick_figure

from closemesh.perception.detectors.multi_scale import (
    View,
    boxes_overlap,
    detect_multi_scale,
    detect_view,
    quarter_turns,
    search_people,
    union_region,
    unmirror,
    without_chimeras,
)
from closemesh.perception.types import CropPose, Detection, Image

IMAGE = np.zeros((400, 640, 3), np.uint8)


class Scripted:
    """Detects people at known positions, each only in views of the given long sides."""

    name = "scripted"

    def __init__(self, people: list[tuple[Detection, set[int]]]) -> None:
        self.people = people
        self.views: list[tuple[tuple[int, int], int, bool]] = []

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        corner, mirrored = self._place(image)
        self.views.append((image.shape[1::-1], long_side, mirrored))
        width = image.shape[1]
        seen = [person.translated(-corner) for person, sides in self.people if long_side in sides]
        return [unmirror(person, width) for person in seen] if mirrored else seen

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        return None

    @staticmethod
    def _place(image: Image) -> tuple[np.ndarray, bool]:
        """Pixels of `coordinates` hold their own position, so that a crop gives its corner."""
        first, second = image[0, 0].astype(int), image[0, 1].astype(int)
        mirrored = bool(_column(second) < _column(first))
        column = _column(image[0, -1].astype(int)) if mirrored else _column(first)
        return np.array([column, first[2] * 2.0]), mirrored


def _column(pixel: np.ndarray) -> int:
    return int(pixel[0]) * 256 + int(pixel[1])


@pytest.fixture
def coordinates() -> Image:
    """An image whose pixels hold their column, and their row to within two."""
    columns, rows = np.meshgrid(np.arange(640), np.arange(400))
    return np.stack([columns // 256, columns % 256, rows // 2], -1).astype(np.uint8)


def test_one_view_is_enough_when_all_people_are_found(coordinates: Image) -> None:
    people = [stick_figure(200), stick_figure(450)]
    detector = Scripted([(person, {256, 320, 384, 512}) for person in people])
    found = detect_multi_scale(detector, coordinates, people, frame=7)
    assert len(detector.views) == 1 and len(found) == 2
    for person in people:
        nearest = min(found, key=lambda other: abs(other.box[0] - person.box[0]))
        np.testing.assert_allclose(nearest.keypoints[:, :2], person.keypoints[:, :2], atol=2)


@pytest.mark.parametrize("side", [256, 512])
def test_missing_people_are_searched_for_at_other_scales(coordinates: Image, side: int) -> None:
    people = [stick_figure(200), stick_figure(450)]
    detector = Scripted([(people[0], {256, 320, 384, 512}), (people[1], {side})])
    found = detect_multi_scale(detector, coordinates, people, frame=7)
    assert len(found) == 2
    assert detector.views[-1][1] == side
    newcomer = max(found, key=lambda person: person.box[0])
    np.testing.assert_allclose(newcomer.keypoints[:, :2], people[1].keypoints[:, :2], atol=2)


def test_overlapping_people_are_detected_in_a_mirrored_view_too(coordinates: Image) -> None:
    people = [stick_figure(300), stick_figure(330)]
    assert boxes_overlap(*people)
    detector = Scripted([(person, {256, 320, 384, 512}) for person in people])
    detect_multi_scale(detector, coordinates, people, frame=7)
    assert [mirrored for _, _, mirrored in detector.views] == [False, True]


def test_the_full_image_is_searched_for_new_people_periodically(coordinates: Image) -> None:
    known, newcomer = stick_figure(200), stick_figure(560)
    detector = Scripted([(known, {256, 320, 384, 512}), (newcomer, {384, 512})])
    assert len(detect_multi_scale(detector, coordinates, [known], frame=14)) == 1
    assert len(detect_multi_scale(detector, coordinates, [known], frame=15)) == 2


def test_the_region_holds_all_people_and_stays_in_the_image() -> None:
    people = [stick_figure(40), stick_figure(450)]
    x0, y0, x1, y1 = union_region(people, IMAGE)
    assert (x0, y1) == (0, 380) or x0 == 0
    assert 0 <= y0 < 94 and 296 < y1 <= 400 and 490 < x1 <= 640


def test_mirroring_twice_is_identity() -> None:
    person = stick_figure(130)
    again = unmirror(unmirror(person, 640), 640)
    np.testing.assert_allclose(again.keypoints, person.keypoints)
    np.testing.assert_allclose(again.box, person.box)
    assert unmirror(person, 640).keypoints[5, 0] == pytest.approx(639 - person.keypoints[6, 0])


class Dots:
    """Detects one person at the three bright dots of an image: nose, left ankle, right ankle."""

    name = "dots"

    def detect(self, image: Image, long_side: int) -> list[Detection]:
        points = np.zeros((17, 3))
        for channel, keypoint in enumerate((0, 15, 16)):
            row, column = np.unravel_index(image[..., channel].argmax(), image.shape[:2])
            points[keypoint] = column, row, 0.9
        box = np.concatenate([points[[0, 15, 16], :2].min(0), points[[0, 15, 16], :2].max(0)])
        return [Detection(box, points, 0.9)]

    def refine(self, image: Image, person: Detection) -> CropPose | None:
        return None


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_view_gives_pixels_of_the_image_whatever_its_rotation(turns: int, mirrored: bool) -> None:
    image = np.zeros((120, 90, 3), np.uint8)
    image[40, 50, 0], image[80, 30, 1], image[85, 61, 2] = 255, 255, 255
    [person] = detect_view(Dots(), image, View((10, 20, 88, 110), 64, mirrored, turns))
    feet = (15, 16) if not mirrored else (16, 15)  # A mirrored person has left and right exchanged.
    np.testing.assert_allclose(person.keypoints[[0, *feet], :2], [(50, 40), (30, 80), (61, 85)])
    np.testing.assert_allclose(person.box, [30, 40, 61, 85])


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_rotation_that_makes_a_person_upright(turns: int) -> None:
    """A clockwise turn of the image is undone by as many counterclockwise ones."""
    upright = stick_figure(300)
    keypoints = upright.keypoints.copy()
    for _ in range(turns):
        keypoints[:, :2] = np.column_stack([-keypoints[:, 1], keypoints[:, 0]])
    assert quarter_turns(Detection(upright.box, keypoints, 0.8)) == turns


@pytest.mark.parametrize("side", [256, 320, 384, 512])
def test_people_in_an_unknown_image_are_searched_for_at_all_scales(coordinates: Image, side: int) -> None:
    """Two people in each other's arms score highest in small images, people in the background in large ones."""
    people = [stick_figure(200), stick_figure(450)]
    detector = Scripted([(people[0], {384}), (people[1], {side})])
    assert len(search_people(detector, coordinates, 0)) == 2


def test_a_partner_is_searched_for_around_each_person(coordinates: Image) -> None:
    class OnlyNear(Scripted):
        """The second person is detected only in crops."""

        def detect(self, image: Image, long_side: int) -> list[Detection]:
            everyone = super().detect(image, long_side)
            return everyone if image.shape[1] < 640 else everyone[:1]

    people = [stick_figure(300), stick_figure(360)]
    detector = OnlyNear([(person, {256, 320, 384, 512}) for person in people])
    assert len(search_people(detector, coordinates, 0)) == 2


def test_a_detection_joined_from_two_people_is_dropped() -> None:
    left, right = stick_figure(200, score=0.8), stick_figure(290, score=0.7)
    keypoints = left.keypoints.copy()
    keypoints[9:] = right.keypoints[9:]  # Its head and one arm belong to one, the rest to the other.
    both = Detection(np.array([160.0, 100, 330, 300]), keypoints, 0.4)
    assert without_chimeras([both, left, right]) == [left, right]
    behind = stick_figure(222, score=0.4)  # A third of a shoulder's width aside: another person.
    assert len(without_chimeras([behind, left, right])) == 3
