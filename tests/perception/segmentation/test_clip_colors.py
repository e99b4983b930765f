"""Background and colors of people from samples of a clip."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from stick_figures import stick_figure

from closemesh.perception.segmentation.clip_colors import (
    ClipColors,
    FrameSamples,
    clip_colors,
    color_density,
    learn_background,
    skeleton_area,
)
from closemesh.perception.segmentation.label_images import label_image
from closemesh.perception.types import CropEstimate, CropPose, Detection

SIZE = (480, 270)
RED = (200, 60, 50)


def room(shift: tuple[float, float] = (0, 0), seed: int = 0) -> np.ndarray:
    """RGB [H, W, 3] a wall with edges and camera noise, moved by `shift` pixels."""
    rng = np.random.default_rng(7)
    wall = np.full((SIZE[1] + 80, SIZE[0] + 80, 3), 130, np.float32)
    for _ in range(60):
        x, y = rng.integers(0, SIZE[0]), rng.integers(0, SIZE[1])
        cv2.rectangle(wall, (int(x), int(y)), (int(x + 60), int(y + 40)), rng.integers(30, 220, 3).tolist(), -1)
    wall = cv2.GaussianBlur(wall, (0, 0), 1)
    T = np.array([[1, 0, shift[0] - 40], [0, 1, shift[1] - 40]], float)
    moved = cv2.warpAffine(wall, T, SIZE)
    noise = np.random.default_rng(seed).normal(0, 2, moved.shape)
    return np.clip(moved + noise, 0, 255).astype(np.uint8)


def scene(figure: Detection, seed: int, shift: tuple[float, float] = (0, 0)) -> tuple[np.ndarray, np.ndarray]:
    """The room with a red person of thick limbs, and the person's mask [H, W]."""
    image, person = room(shift, seed), skeleton_area(figure, (SIZE[1], SIZE[0]), 0.03)
    image[person] = np.random.default_rng(seed).normal(RED, 4, (int(person.sum()), 3)).clip(0, 255)
    return image, person


def learn(people: list[Detection], shifts: list[tuple[float, float]] | None = None) -> ClipColors:
    samples = FrameSamples(len(people))
    for t, figure in enumerate(people):
        samples.add(t, scene(figure, t, shifts[t] if shifts else (0, 0))[0])
    return clip_colors(samples, [dict(enumerate(people))])


def walking(count: int = 20) -> list[Detection]:
    return [stick_figure(80 + 320 * t / (count - 1), 135, 200) for t in range(count)]


def test_samples_are_small_few_and_evenly_spaced() -> None:
    samples = FrameSamples(1000)
    for frame in range(1000):
        samples.add(frame, np.zeros((108, 1920, 3), np.uint8))
    assert len(samples.images) == 40 and samples.scale == 0.25
    assert all(image.shape == (27, 480, 3) for image in samples.images.values())
    assert min(samples.images) == 0 and max(samples.images) == 999
    assert np.ptp(np.diff(sorted(samples.images))) <= 1
    assert len(FrameSamples(1)._chosen) == 1


def test_the_background_behind_a_walking_person_is_found() -> None:
    colors = learn(walking())
    assert colors.background is not None
    assert np.isfinite(colors.background.std).mean() > 0.95
    known = np.isfinite(colors.background.std)
    assert np.abs(colors.background.mean - room(seed=99))[known].mean() < 4


@pytest.mark.parametrize("speed", [0.3, 2.0])
def test_a_moving_camera_has_no_background(speed: float) -> None:
    people = walking()
    assert learn(people, [(speed * t, 0.3 * speed * t) for t in range(len(people))]).background is None
    shaking = np.random.default_rng(0).normal(0, 1.5 * speed, (len(people), 2))
    assert learn(people, [tuple(one) for one in shaking.tolist()]).background is None


def test_a_plain_wall_needs_no_edges() -> None:
    plain = [np.full((60, 80, 3), 100, np.uint8)] * 5
    assert learn_background(plain, [np.ones((60, 80), bool)] * 5) is not None
    assert learn_background(plain[:2], [np.ones((60, 80), bool)] * 2) is None
    assert learn_background(plain, [np.zeros((60, 80), bool)] * 5) is None


def network_mask(truth: np.ndarray, figure: Detection) -> dict[int, CropEstimate]:
    """A network that is unsure about the person and about a stripe of the wall beside the person."""
    soft = 0.7 * cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 3)
    x = int(figure.keypoints[5, 0]) + 25
    soft[100:200, x : x + 40] = np.maximum(soft[100:200, x : x + 40], 0.6)
    pose = CropPose(np.zeros((133, 3)), np.zeros((23, 4)), np.zeros(2), soft, np.eye(2, 3), 1.0)
    return {0: CropEstimate(0, figure, pose, 1.0)}


def test_the_background_takes_away_what_the_network_added() -> None:
    people = walking()
    colors = learn(people)
    image, truth = scene(people[10], 50)
    estimates = network_mask(truth, people[10])
    before, after = (label_image(image, estimates, c).labels > 0 for c in (ClipColors(), colors))
    overlap = [(one & truth).sum() / (one | truth).sum() for one in (before, after)]
    assert overlap[0] < 0.7 and overlap[1] > 0.85


def test_a_person_who_stands_still_stays() -> None:
    """The same place in all samples is the median color there; it was never seen uncovered, so it is no background."""
    people = [stick_figure(240, 135, 200)] * 20
    colors = learn(people)
    assert colors.background is not None
    image, truth = scene(people[0], 50)
    assert not np.isfinite(colors.background.std)[truth].any()
    estimates = network_mask(truth, people[0])
    before, after = (label_image(image, estimates, c).labels > 0 for c in (ClipColors(), colors))
    assert (after & truth).sum() >= 0.99 * (before & truth).sum()


def test_frames_in_which_a_person_is_missing_are_no_background() -> None:
    """The second person is not detected at first and stands in the picture all the same."""
    samples = FrameSamples(20)
    first, second = walking(), stick_figure(400, 135, 200)
    for t, figure in enumerate(first):
        image = scene(figure, t)[0]
        image[skeleton_area(second, image.shape, 0.03)] = (40, 60, 200)
        samples.add(t, image)
    colors = clip_colors(samples, [dict(enumerate(first)), {t: second for t in range(10, 20)}])
    assert colors.background is not None
    assert not np.isfinite(colors.background.std)[skeleton_area(second, (SIZE[1], SIZE[0]), 0.03)].any()


def test_colors_of_people_come_from_where_each_is_alone() -> None:
    samples = FrameSamples(10)
    left = [stick_figure(100, 135, 200)] * 5 + [stick_figure(300, 135, 200)] * 5
    right = [stick_figure(300, 135, 200)] * 10  # Behind the left one in the second half.
    for t in range(10):
        image = room(seed=t)
        image[skeleton_area(right[t], image.shape, 0.03)] = (30, 60, 200)
        image[skeleton_area(left[t], image.shape, 0.03)] = RED
        samples.add(t, image)
    colors = clip_colors(samples, [dict(enumerate(left)), dict(enumerate(right))])
    red, blue = np.array([[RED]], np.uint8), np.array([[(30, 60, 200)]], np.uint8)
    assert colors.person_density(0, red)[0, 0] > 20 * colors.person_density(0, blue)[0, 0]
    assert colors.person_density(1, blue)[0, 0] > 20 * colors.person_density(1, red)[0, 0]
    assert colors.person_density(5, red) is None
    always = clip_colors(samples, [dict(enumerate(right)), dict(enumerate(right))])
    assert not always.people, "people who are never alone have no colors"


def test_a_color_density_is_one_on_average() -> None:
    density = color_density(np.random.default_rng(0).integers(0, 256, (5000, 3)).astype(np.uint8))
    assert density.shape == (4096,) and density.mean() == pytest.approx(1, abs=0.01) and density.min() > 0
