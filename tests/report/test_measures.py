"""Motion of the background, measured on images with a known shift."""

from __future__ import annotations

import cv2
import numpy as np

from closemesh.report.measures import BackgroundMotion

SIZE = (320, 240)


def textured(size: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (size[1] // 8, size[0] // 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC))


def shifts(images: list[np.ndarray], boxes: np.ndarray) -> list[float]:
    motion = BackgroundMotion(boxes, fps=2.0)  # Every frame is compared with the one before.
    for frame, image in enumerate(images):
        motion.add(frame, image)
    return list(motion.shifts.values())


def test_a_camera_that_turns_moves_the_background() -> None:
    world = textured((400, 240))
    images = [world[:, 6 * t : 6 * t + SIZE[0]] for t in range(4)]
    np.testing.assert_allclose(shifts(images, np.zeros((4, 1, 4))), 6 / np.hypot(*SIZE), rtol=0.05)


def test_people_who_move_do_not_count() -> None:
    still, person = textured(SIZE), textured((100, 200))
    images = []
    for t in range(4):
        image = still.copy()
        image[20:220, 40 * t : 40 * t + 100] = person
        images.append(image)
    boxes = np.array([[[40 * t, 20, 40 * t + 100, 220]] for t in range(4)], np.float32)
    assert max(shifts(images, boxes)) < 1e-3


def test_a_plain_background_shows_nothing() -> None:
    assert shifts([np.full((240, 320, 3), 90, np.uint8)] * 3, np.zeros((3, 1, 4))) == []
