"""Keypoints carried by optical flow, on textures with known motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from closemesh.config.schema import ClipConfig
from closemesh.core.progress import NullProgress
from closemesh.perception.keypoints.flow import carry_keypoints, clear_keypoints, fuse_carried
from closemesh.structures import Clip, Observations
from closemesh.video import open_clip

SIZE = (640, 360)
FRAMES = 16
NEAR = range(5, 11)  # Frames in which the partner's arm is beside the wrist.
WRIST = 9


def texture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """[H, W, 3] smooth noise, RGB."""
    noise = np.random.default_rng(seed).normal(0, 1, (size[1], size[0], 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2) * 6
    return np.clip(128 + 50 * smooth, 0, 255).astype(np.uint8)


def motion(turn: float, step: tuple[float, float]) -> np.ndarray:
    """[T, 2, 3] maps of the patch from the first frame to each frame: degrees and pixels per frame."""
    maps = []
    for t in range(FRAMES):
        T = cv2.getRotationMatrix2D((200.0, 180.0), turn * t, 1.0)
        T[:, 2] += np.array(step) * t
        maps.append(T)
    return np.array(maps)


def moving_patch(folder: Path, maps: np.ndarray, cover: range = range(0)) -> Clip:
    """A clip of a textured disk that moves over a textured wall; something covers the wrist in the frames `cover`."""
    folder.mkdir()
    wall, skin, other = texture(0), texture(1), texture(2)
    disk = cv2.circle(np.zeros(SIZE[::-1], np.uint8), (200, 180), 90, 255, -1)
    for t, T in enumerate(maps):
        inside = cv2.warpAffine(disk, T, SIZE)[..., None] > 127
        image = np.where(inside, cv2.warpAffine(skin, T, SIZE), wall)
        if t in cover:
            x, y = wrist(maps)[t].round().astype(int)
            image[y - 60 : y + 60, x - 60 : x + 60] = other[y - 60 : y + 60, x - 60 : x + 60]
        cv2.imwrite(str(folder / f"{t:03d}.png"), image[..., ::-1])
    return open_clip(folder, ClipConfig())


def wrist(maps: np.ndarray) -> np.ndarray:
    """[T, 2] where the point of the patch is."""
    return maps @ np.array([220.0, 200.0, 1.0])


def observed(points: np.ndarray, clip: Clip) -> Observations:
    """One person whose wrist is at `points` [T, 2], and a partner whose arm is beside it in the frames `NEAR`."""
    T = len(clip)
    keypoints, boxes = np.zeros((T, 2, 133, 3)), np.zeros((T, 2, 4))
    keypoints[:, 0, WRIST] = np.column_stack([points, np.full(T, 0.9)])
    for t in range(T):
        beside = points[t] + (8, 0) if t in NEAR else np.array([600.0, 40])
        for k, offset in ((5, -30), (7, 30)):
            keypoints[t, 1, k] = (beside[0], beside[1] + offset, 0.9)
    boxes[:] = (100, 50, 400, 310)
    return Observations(
        boxes=boxes,
        keypoints=keypoints,
        sigmas=np.full((T, 2, 133), 2.0),
        keypoints3d=np.zeros((T, 2, 23, 4)),
        detected=np.ones((T, 2), bool),
        track_confidence=np.ones((T, 2)),
        detector="test",
    )


@pytest.mark.parametrize(("turn", "step"), [(0.0, (3.0, 1.5)), (1.5, (0.0, 0.0)), (-1.0, (2.0, -1.0))])
def test_a_patch_is_followed(turn: float, step: tuple[float, float], tmp_path: Path) -> None:
    maps = motion(turn, step)
    clip = moving_patch(tmp_path / "clip", maps)
    carried = carry_keypoints(clip, observed(wrist(maps), clip), NullProgress())
    assert carried.shape == (FRAMES, 2, 23, 3)
    frames = list(NEAR)
    assert (carried[frames, 0, WRIST, 2] > 0).all()
    assert np.linalg.norm(carried[frames, 0, WRIST, :2] - wrist(maps)[frames], axis=-1).max() < 1
    others = [t for t in range(FRAMES) if t not in NEAR]
    assert (carried[others] == 0).all(), "only keypoints near a partner are carried"


def test_sigmas_grow_away_from_clear_frames(tmp_path: Path) -> None:
    maps = motion(0.0, (2.0, 0.0))
    clip = moving_patch(tmp_path / "clip", maps)
    seen = observed(wrist(maps), clip)
    sigmas = carry_keypoints(clip, seen, NullProgress())[list(NEAR), 0, WRIST, 2]
    assert sigmas[0] < sigmas[1] < sigmas[2] and sigmas[-1] < sigmas[-2] < sigmas[-3]
    only_before = seen.keypoints.copy()
    only_before[NEAR.stop :, 0, WRIST, 2] = 0
    one_way = carry_keypoints(clip, replace(seen, keypoints=only_before), NullProgress())[list(NEAR), 0, WRIST, 2]
    assert (np.diff(one_way) > 0).all() and one_way[-1] > sigmas[-1]


def test_a_point_that_gets_covered_is_dropped(tmp_path: Path) -> None:
    maps = motion(0.0, (3.0, 0.0))
    cover = range(7, 9)
    clip = moving_patch(tmp_path / "clip", maps, cover)
    carried = carry_keypoints(clip, observed(wrist(maps), clip), NullProgress())[:, 0, WRIST]
    assert (carried[[5, 6], 2] > 0).all(), "from before"
    assert (carried[[9, 10], 2] > 0).all(), "from after"
    assert (carried[list(cover), 2] == 0).all()


def test_distant_people_need_no_flow(tmp_path: Path) -> None:
    maps = motion(0.0, (0.0, 0.0))
    clip = moving_patch(tmp_path / "clip", maps)
    seen = observed(wrist(maps), clip)
    distant = replace(seen, detected=np.broadcast_to([True, False], (FRAMES, 2)).copy())
    (tmp_path / "clip" / "000.png").unlink()  # Frames are not read.
    assert not carry_keypoints(clip, distant, NullProgress()).any()


def test_which_keypoints_are_clear(tmp_path: Path) -> None:
    maps = motion(0.0, (0.0, 0.0))
    clip = moving_patch(tmp_path / "clip", maps)
    seen = observed(wrist(maps), clip)
    clear, near = clear_keypoints(seen)
    assert near[list(NEAR), 0, WRIST].all() and not clear[list(NEAR), 0, WRIST].any()
    assert clear[0, 0, WRIST] and not near[0, 0, WRIST]
    outside = np.zeros((FRAMES, 2, 23), bool)
    outside[:, 0, WRIST] = True
    assert not np.any([one[:, 0, WRIST] for one in clear_keypoints(replace(seen, outside=outside))])


def test_fusion_of_carried_and_detected_points() -> None:
    clip_length = 4
    keypoints, sigmas = np.zeros((clip_length, 1, 133, 3)), np.full((clip_length, 1, 133), 10.0)
    keypoints[:, 0, WRIST] = (100, 100, 0.5)
    boxes = np.broadcast_to(np.array([0.0, 0, 300, 400]), (clip_length, 1, 4)).copy()
    seen = Observations(
        boxes, keypoints, sigmas, np.zeros((clip_length, 1, 23, 4)), np.ones((clip_length, 1), bool),
        np.ones((clip_length, 1)), "test",
    )  # fmt: skip
    carried = np.zeros((clip_length, 1, 23, 3))
    carried[0, 0, WRIST] = (110, 100, 10)  # Agrees.
    carried[1, 0, WRIST] = (180, 100, 5)  # Disagrees, certain.
    carried[2, 0, WRIST] = (180, 100, 14)  # Disagrees, less certain than the detection.
    fused = fuse_carried(seen, carried)
    np.testing.assert_allclose(fused.keypoints[:, 0, WRIST, 0], [105, 180, 100, 100])
    np.testing.assert_allclose(fused.sigmas[:, 0, WRIST], [10 / np.sqrt(2), 5, 10, 10])
    np.testing.assert_array_equal(fused.flow_keypoints, carried)
    np.testing.assert_array_equal(seen.keypoints[:, 0, WRIST, 0], 100)
