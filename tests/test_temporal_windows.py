"""Windows cover the clip, blend without a seam, and gaps are filled."""

from __future__ import annotations

import itertools

import pytest
import torch

from closemesh.body.motion import MotionParameters
from closemesh.temporal import crossfade_window, interpolate_missing, split_windows


def _ramp(frames: int, people: int = 1, slope: float = 1.0) -> MotionParameters:
    """Variables whose every number equals slope * frame."""
    t = slope * torch.arange(frames, dtype=torch.float32)

    def fill(*shape: int) -> torch.Tensor:
        return t.reshape(-1, 1, *([1] * len(shape))).expand(frames, people, *shape).clone()

    return MotionParameters(fill(6), fill(21, 3), fill(3), fill(30, 3), fill(2), fill(), torch.zeros(people, 10))


@pytest.mark.parametrize("length", [1, 5, 64, 65, 100, 112, 113, 500])
def test_windows_cover_every_frame_and_overlap(length: int):
    windows = split_windows(length, 64, 16)
    assert windows[0].start == 0 and windows[-1].stop == length
    for before, after in itertools.pairwise(windows):
        assert before.stop - after.start == 16
    assert all(w.stop - w.start <= 64 for w in windows)


def test_blending_equal_windows_changes_nothing():
    clip = _ramp(100)
    for window in split_windows(100, 40, 10):
        clip = crossfade_window(clip, clip.frames(window), window, 10)
    assert torch.allclose(clip.pelvis_ray, _ramp(100).pelvis_ray)


def test_a_window_that_is_off_fades_in_without_a_jump():
    clip = _ramp(60)
    shifted = clip.frames(slice(30, 60))
    shifted = shifted.with_tensors(log_depth=shifted.log_depth + 1.1)
    blended = crossfade_window(clip, shifted, slice(30, 60), 10)
    steps = blended.log_depth[1:, 0] - blended.log_depth[:-1, 0]
    assert steps.max() < 1 + 1.1 / 10
    assert torch.allclose(blended.log_depth[40:], clip.log_depth[40:] + 1.1)


def test_gaps_are_interpolated_and_ends_hold():
    parameters = _ramp(10)
    seen = torch.tensor([0, 0, 1, 1, 0, 0, 0, 1, 0, 0], dtype=torch.bool)[:, None]
    broken = parameters.with_tensors(log_depth=torch.where(seen, parameters.log_depth, 99.0))
    filled = interpolate_missing(broken, seen).log_depth[:, 0]
    assert filled.tolist() == [2, 2, 2, 3, 4, 5, 6, 7, 7, 7]


def test_pieces_join():
    whole = _ramp(9)
    parts = [whole.frames(slice(0, 4)), whole.frames(slice(4, 9))]
    assert torch.equal(MotionParameters.concat(parts).root, whole.root)
