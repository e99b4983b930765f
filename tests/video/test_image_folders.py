"""Folders of images."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from numbered_videos import HEIGHT, WIDTH, number_of, numbered_image

from closemesh.config.schema import ClipConfig
from closemesh.core.errors import InputError
from closemesh.video import open_clip, read_frames
from closemesh.video.image_folders import photo_files


def save(path: Path, rgb: np.ndarray) -> None:
    assert cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))


def exif(orientation: int, focal_35mm: int) -> np.ndarray:
    """The smallest EXIF block that holds both."""
    first = struct.pack("<HHHIHHHHIII", 2, 0x0112, 3, 1, orientation, 0, 0x8769, 4, 1, 38, 0)
    second = struct.pack("<HHHIHHI", 1, 0xA405, 3, 1, focal_35mm, 0, 0)
    return np.frombuffer(b"II*\0" + struct.pack("<I", 8) + first + second, np.uint8)


def test_numbers_in_names_count_as_numbers(tmp_path: Path) -> None:
    for index in (0, 1, 2, 9, 10, 11):
        save(tmp_path / f"frame{index}.png", numbered_image(index))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._frame1.png").write_bytes(b"what another system leaves behind")
    clip = open_clip(tmp_path, ClipConfig(fps=25))
    assert [number_of(frame) for frame in read_frames(clip)] == [0, 1, 2, 9, 10, 11]
    assert clip.fps == pytest.approx(25)
    np.testing.assert_allclose(clip.times, np.arange(6) / 25)
    later = open_clip(tmp_path, ClipConfig(fps=25, start=0.1))
    assert later.frame_indices.tolist() == [3, 4, 5]


def test_gray_and_sixteen_bits_become_eight_bit_rgb(tmp_path: Path) -> None:
    gray = np.full((HEIGHT, WIDTH), 40, np.uint8)
    cv2.imwrite(str(tmp_path / "0.png"), gray)
    cv2.imwrite(str(tmp_path / "1.png"), gray.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "2.tiff"), np.dstack([gray.astype(np.uint16) * 257] * 3))
    for frame in read_frames(open_clip(tmp_path, ClipConfig())):
        assert frame.dtype == np.uint8
        assert frame.shape == (HEIGHT, WIDTH, 3)
        assert (frame == 40).all()


def test_colors_are_not_exchanged(tmp_path: Path) -> None:
    save(tmp_path / "0.png", numbered_image(1))
    frame = next(read_frames(open_clip(tmp_path / "0.png", ClipConfig())))
    assert frame[0, 0].tolist() == [255, 0, 0]


@pytest.mark.skipif(not hasattr(cv2, "imwriteWithMetadata"), reason="this OpenCV cannot write EXIF")
def test_exif_turns_the_image_and_has_the_focal_length(tmp_path: Path) -> None:
    image = cv2.cvtColor(numbered_image(3), cv2.COLOR_RGB2BGR)
    cv2.imwriteWithMetadata(str(tmp_path / "0.jpg"), image, [cv2.IMAGE_METADATA_EXIF], [exif(6, 28)])
    clip = open_clip(tmp_path, ClipConfig())
    frame = next(read_frames(clip))
    assert clip.size == (HEIGHT, WIDTH)
    assert frame[10, -10, 0] > 200 and frame[10, 10, 0] < 50, "the red corner goes from top left to top right"
    assert clip.focal_px == pytest.approx(28 / 43.27 * np.hypot(WIDTH, HEIGHT))
    assert clip.focal_log_std == 0.03


@pytest.mark.skipif(not hasattr(cv2, "imwriteWithMetadata"), reason="this OpenCV cannot write EXIF")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    """The quarter at the top left of the stored image is red; EXIF says where that is in the upright one."""
    image = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    image[: HEIGHT // 2, : WIDTH // 2] = 0, 0, 255
    photo = tmp_path / f"0{suffix}"
    cv2.imwriteWithMetadata(str(photo), image, [cv2.IMAGE_METADATA_EXIF], [exif(orientation, 28)])
    clip = open_clip(photo, ClipConfig())
    (frame,) = read_frames(clip)
    width, height = clip.size
    assert frame.shape == (height, width, 3) and (height > width) == (orientation > 4)
    halves = np.array_split(frame[..., 0], 2)
    quarters = [quarter.mean() for half in halves for quarter in np.array_split(half, 2, axis=1)]
    assert int(np.argmax(quarters)) == (0, 1, 3, 2, 0, 1, 3, 2)[orientation - 1]


def test_photos_are_files_of_one_folder(tmp_path: Path) -> None:
    names = ["10.jpg", "9.JPG", "11.heic", "notes.txt", ".1.jpg", "12.jpg.txt"]
    for name in names:
        (tmp_path / name).write_bytes(b"photo")
    (tmp_path / "8.jpg").mkdir()
    assert [file.name for file in photo_files(tmp_path)] == ["9.JPG", "10.jpg", "11.heic"]
    assert photo_files(tmp_path / "10.jpg") == [tmp_path / "10.jpg"]
    with pytest.raises(InputError, match="JPEG"):
        open_clip(tmp_path / "11.heic", ClipConfig())


def test_bad_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no images"):
        open_clip(tmp_path, ClipConfig())
    save(tmp_path / "0.png", numbered_image(0))
    save(tmp_path / "1.png", numbered_image(1, (WIDTH + 2, HEIGHT)))
    with pytest.raises(InputError, match=r"1\.png.*130x96.*--photos"):
        open_clip(tmp_path, ClipConfig())
    (tmp_path / "1.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"1\.png.*cannot? be read|1\.png: not an image"):
        open_clip(tmp_path, ClipConfig())


def test_identity_changes_with_names_and_bytes(tmp_path: Path) -> None:
    save(tmp_path / "0.png", numbered_image(0))
    before = open_clip(tmp_path, ClipConfig()).sha256
    (tmp_path / "0.png").rename(tmp_path / "1.png")
    renamed = open_clip(tmp_path, ClipConfig()).sha256
    save(tmp_path / "1.png", numbered_image(1))
    assert len({before, renamed, open_clip(tmp_path, ClipConfig()).sha256}) == 3
