"""Video files: times, rotation, pixel formats, and everything that is wrong with real files."""

from __future__ import annotations

import struct
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import HEIGHT, WIDTH, number_of, write_numbered_video

from closemesh.config.schema import ClipConfig
from closemesh.core.errors import InputError
from closemesh.video import open_clip, read_frames

STEADY = [round(index * 1000 / 30) for index in range(30)]


def numbers(path: Path, **config: float) -> list[int]:
    clip = open_clip(path, ClipConfig(**config))
    frames = [number_of(frame) for frame in read_frames(clip)]
    assert len(frames) == len(clip) == len(clip.times)
    assert frames == clip.frame_indices.tolist()
    return frames


def test_all_frames_come_in_order(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "a.mp4", STEADY)
    assert numbers(path) == list(range(30))
    clip = open_clip(path, ClipConfig())
    assert clip.size == (WIDTH, HEIGHT)
    assert clip.fps == pytest.approx(30, rel=0.01)
    assert clip.focal_px is None


def test_times_of_a_variable_rate_are_the_true_ones(tmp_path: Path) -> None:
    times = [0, 33, 66, 200, 233, 500, 520]
    clip = open_clip(write_numbered_video(tmp_path / "variable.mp4", times), ClipConfig())
    np.testing.assert_allclose(clip.times, np.array(times) / 1000)


def test_start_end_and_rate_choose_frames_by_time(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "a.mp4", STEADY)
    assert numbers(path, start=0.2, end=0.4) == list(range(6, 12))
    assert numbers(path, fps=10) == list(range(0, 30, 3))
    assert numbers(path, fps=120) == list(range(30))


def test_size_follows_rotation_and_pixel_aspect(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "a.mp4", STEADY[:2])
    video = bytearray(path.read_bytes())
    matrix = video.find(b"tkhd") + 44
    # A quarter turn clockwise, as a phone held upright writes it.
    video[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30)
    path.write_bytes(video)
    clip = open_clip(path, ClipConfig())
    frame = next(read_frames(clip))
    assert clip.size == (HEIGHT, WIDTH)
    assert frame.shape == (WIDTH, HEIGHT, 3)
    assert frame[10, -10, 0] > 200 and frame[10, 10, 0] < 50, "the red corner goes from top left to top right"

    wide = write_numbered_video(tmp_path / "wide.mp4", STEADY[:2], sample_aspect_ratio=Fraction(2, 1))
    clip = open_clip(wide, ClipConfig())
    assert clip.size == (2 * WIDTH, HEIGHT)
    assert next(read_frames(clip)).shape == (HEIGHT, 2 * WIDTH, 3)


def test_odd_sizes_and_ten_bits_become_eight_bit_rgb(tmp_path: Path) -> None:
    odd = write_numbered_video(tmp_path / "odd.mp4", STEADY[:2], size=(131, 97), pixel_format="yuv444p")
    assert next(read_frames(open_clip(odd, ClipConfig()))).shape == (97, 131, 3)
    deep = write_numbered_video(tmp_path / "deep.mp4", STEADY[:4], pixel_format="yuv420p10le")
    frame = next(read_frames(open_clip(deep, ClipConfig())))
    assert frame.dtype == np.uint8
    assert frame[10, 10, 0] > 240 and frame[10, 10, 1:].max() < 15


def test_high_dynamic_range_is_brought_to_the_range_of_a_screen(tmp_path: Path) -> None:
    """Diffuse white, code 0.58 of PQ, becomes white; codes stay in order."""
    plain = write_numbered_video(tmp_path / "plain.mp4", STEADY[:30])
    bright = write_numbered_video(tmp_path / "bright.mp4", STEADY[:30], pixel_format="yuv420p10le", color_trc=16)
    before = [frame[-8, -8, 1] for frame in read_frames(open_clip(plain, ClipConfig()))]
    after = [frame[-8, -8, 1] for frame in read_frames(open_clip(bright, ClipConfig()))]
    assert (np.diff(np.array(after, int)) >= 0).all()
    assert min(b for b, a in zip(before, after, strict=True) if a == 255) == pytest.approx(0.58 * 255, abs=10)


def test_identity_is_that_of_the_bytes(tmp_path: Path) -> None:
    a = write_numbered_video(tmp_path / "a.mp4", STEADY[:3])
    b = write_numbered_video(tmp_path / "b.mp4", STEADY[:4])
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(a.read_bytes())
    sha = [open_clip(path, ClipConfig()).sha256 for path in (a, b, copy)]
    assert sha[0] == sha[2] != sha[1]


@pytest.mark.parametrize("whole", [True, False], ids=["garbled", "cut"])
def test_damage_in_the_middle_ends_the_clip_there_with_a_warning(tmp_path: Path, whole: bool) -> None:
    path = write_numbered_video(tmp_path / "a.mp4", STEADY, muxer_options={"movflags": "faststart"})
    video = bytearray(path.read_bytes())
    middle = (video.find(b"mdat") + len(video)) // 2
    video[middle : middle + 200] = b"\xff" * 200
    path.write_bytes(video if whole else video[:middle])
    with pytest.warns(UserWarning, match="damaged after"):
        clip = open_clip(path, ClipConfig())
    assert 0 < len(clip) < 30
    assert [number_of(frame) for frame in read_frames(clip)] == list(range(len(clip)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        open_clip(path, ClipConfig(end=float(clip.times[-1]) / 2))  # Damage after the end does not matter.


def test_bad_files_give_one_line(tmp_path: Path) -> None:
    video = write_numbered_video(tmp_path / "a.mp4", STEADY)
    cut, text, empty = tmp_path / "cut.mp4", tmp_path / "text.mp4", tmp_path / "empty.mp4"
    cut.write_bytes(video.read_bytes()[:-1500])
    text.write_text("not a video at all\n" * 50)
    empty.write_bytes(b"")
    small = write_numbered_video(tmp_path / "small.mp4", STEADY[:2], size=(32, 32))
    for path in (cut, text, empty, small, tmp_path / "absent.mp4"):
        with pytest.raises(InputError) as caught:
            open_clip(path, ClipConfig())
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert "64 pixels" in _message(small)
    assert "--start" in _message(video, start=9)
    assert "--fps" in _message(video, fps=0)


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = write_numbered_video(tmp_path / "a.mp4", STEADY)
    clip = open_clip(path, ClipConfig())
    write_numbered_video(path, STEADY[:10])
    with pytest.raises(InputError, match="10 of 30"):
        list(read_frames(clip))


def _message(path: Path, **config: float) -> str:
    with pytest.raises(InputError) as caught:
        open_clip(path, ClipConfig(**config))
    return str(caught.value)
