"""Videos come back from a decoder with their size, number, times and colors."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from closemesh.core.errors import OutputError
from closemesh.core.output_folder import OutputFolder
from closemesh.video.video_files import presentation_ticks, write_images, write_video

TIMES = np.array([2.0, 2.04, 2.05, 2.2, 2.25])


def plain_frames(count: int, size: tuple[int, int], color: tuple[int, int, int] = (200, 60, 30)) -> list[np.ndarray]:
    return [np.full((size[1], size[0], 3), color, dtype=np.uint8) for _ in range(count)]


def noisy_frames(count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.integers(0, 255, (256, 256, 3), dtype=np.uint8)


def test_what_is_decoded(tmp_path: Path) -> None:
    write_video(plain_frames(5, (64, 48)), tmp_path / "a.mp4", TIMES)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = list(container.decode(stream))
    assert [(f.width, f.height) for f in frames] == [(64, 48)] * 5
    np.testing.assert_allclose([f.time for f in frames], TIMES - TIMES[0], atol=1e-4)
    shown = frames[2].reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
    assert np.abs(shown.astype(int) - [200, 60, 30]).max() <= 4


def test_the_index_comes_first(tmp_path: Path) -> None:
    write_video(plain_frames(5, (64, 48)), tmp_path / "a.mp4", TIMES)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_odd_sizes_lose_one_pixel(tmp_path: Path) -> None:
    write_video(plain_frames(5, (65, 49)), tmp_path / "a.mp4", TIMES)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert [(f.width, f.height) for f in container.decode(video=0)] == [(64, 48)] * 5


def test_one_frame(tmp_path: Path) -> None:
    write_video(plain_frames(1, (64, 48)), tmp_path / "a.mp4", TIMES[:1])
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(list(container.decode(video=0))) == 1


def test_ticks_always_rise() -> None:
    assert presentation_ticks(np.array([1.0, 1.5, 1.5, 1.5, 2.0])) == [0, 45000, 45001, 45002, 90000]


def test_frames_and_times_must_agree(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_video(plain_frames(4, (64, 48)), tmp_path / "a.mp4", TIMES)
    assert not list(tmp_path.iterdir())


def test_no_frame_at_all(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frame"):
        write_video([], tmp_path / "a.mp4", np.zeros(0))


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_video(plain_frames(5, (64, 48)), tmp_path / "out" / "a.mp4", TIMES)


@pytest.fixture
def little_space() -> Iterator[None]:
    """The system refuses files beyond 100 kB, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("little_space")
def test_no_space_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("of an earlier run")
    with pytest.raises(OutputError, match="free some space"):
        write_video(noisy_frames(30), tmp_path / "a.mp4", np.arange(30) / 30)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_text() == "of an earlier run"


@pytest.mark.usefixtures("little_space")
def test_no_space_leaves_no_half_images(tmp_path: Path) -> None:
    with pytest.raises(OutputError), OutputFolder(tmp_path / "images").staging() as staged:
        write_images(noisy_frames(2), staged)
    assert not list(tmp_path.iterdir())


def test_images(tmp_path: Path) -> None:
    write_images(plain_frames(3, (64, 48)), tmp_path / "images")
    files = sorted((tmp_path / "images").iterdir())
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    assert np.asarray(cv2.imread(str(files[0])))[0, 0].tolist() == [30, 60, 200]
