"""Focal lengths in the metadata of photos and of videos, made as cameras and phones write them."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numbered_videos import HEIGHT, WIDTH, numbered_image, write_numbered_video

from closemesh.config.schema import ClipConfig
from closemesh.structures import Clip
from closemesh.video import open_clip
from closemesh.video.focal_metadata import equivalent_focal, photo_focal, quicktime_keys

APPLE = "com.apple.quicktime.camera."
DIAGONAL = float(np.hypot(WIDTH, HEIGHT))


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def keyed(values: dict[str, str | int], full: bool = False) -> bytes:
    """The box `meta` of QuickTime, or of MP4 with version and flags."""
    keys = b"".join(struct.pack(">I4s", 8 + len(name), b"mdta") + name.encode() for name in values)
    items = b""
    for index, value in enumerate(values.values(), 1):
        text = isinstance(value, str)
        data = struct.pack(">II", 1, 0) + value.encode() if text else struct.pack(">IIi", 67, 0, value)
        items += box(struct.pack(">I", index), box(b"data", data))
    parts = box(b"hdlr", bytes(8) + b"mdta" + bytes(13)), box(b"keys", struct.pack(">II", 0, len(values)) + keys)
    return box(b"meta", bytes(4 * full) + b"".join(parts) + box(b"ilst", items))


def phone_video(folder: Path, values: dict[str, str | int], in_track: bool = True, full: bool = False) -> Path:
    """A video whose track, or whose file, has keyed metadata."""
    video = bytearray(write_numbered_video(folder / "a.mp4", [0, 33]).read_bytes())
    index = video.find(b"moov") - 4
    owner = video.find(b"trak") - 4 if in_track else index
    added = keyed(values, full)
    end = owner + struct.unpack_from(">I", video, owner)[0]
    video[end:end] = added
    for start in {index, owner}:  # The index comes after the frames, so no offset changes.
        struct.pack_into(">I", video, start, struct.unpack_from(">I", video, start)[0] + len(added))
    path = folder / "phone.mov"
    path.write_bytes(video)
    return path


@pytest.mark.parametrize("in_track", [True, False])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("value", [26, "26"])
def test_equivalent_of_a_phone_video(tmp_path: Path, in_track: bool, full: bool, value: str | int) -> None:
    """FFmpeg does not show the keys of tracks, where iPhones write them."""
    values = {f"{APPLE}lens_model": "iPhone 13 back camera 9mm f/2.8", f"{APPLE}focal_length.35mm_equivalent": value}
    clip = open_clip(phone_video(tmp_path, values, in_track, full), ClipConfig())
    assert clip.focal_px == pytest.approx(26 / 43.27 * DIAGONAL)
    assert clip.focal_log_std == 0.1 and len(clip) == 2


@pytest.mark.parametrize(
    ("lens", "equivalent"),
    [
        ("iPhone 14 Pro back triple camera 6.86mm f/1.78", 24),
        ("iPhone 16 Pro back camera 6.765mm f/1.78", 24),
        ("iPhone 13 mini back dual wide camera 1.54mm f/2.4", 13),
        ("iPhone 15 front TrueDepth camera 2.69mm f/1.9", 23),
        ("iPhone 30 back camera 6.123mm f/1", None),
        ("iPad Pro back camera 6.86mm f/1.8", None),
    ],
)
def test_lens_of_a_phone_video(tmp_path: Path, lens: str, equivalent: float | None) -> None:
    clip = open_clip(phone_video(tmp_path, {f"{APPLE}lens_model": lens}), ClipConfig())
    expected = equivalent and pytest.approx(equivalent / 43.27 * DIAGONAL)
    assert clip.focal_px == expected and (equivalent is None or clip.focal_log_std == 0.12)


def test_equivalent_in_the_metadata_that_ffmpeg_shows(tmp_path: Path) -> None:
    path = tmp_path / "phone.mov"
    plain = write_numbered_video(tmp_path / "a.mp4", [0, 33])
    with av.open(str(plain)) as source, av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as target:
        target.metadata[f"{APPLE}focal_length.35mm_equivalent"] = "26"
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert open_clip(path, ClipConfig()).focal_px == pytest.approx(26 / 43.27 * DIAGONAL)


@pytest.mark.parametrize(
    "content", [b"", b"abc", bytes(64), struct.pack(">I4s", 3, b"moov"), b"\0\0\0\1ftyp" + bytes(3)]
)
def test_other_files_have_no_keys(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mov"
    path.write_bytes(content)
    assert quicktime_keys(path) == {} and quicktime_keys(tmp_path / "none.mov") == {}


def test_a_truncated_index_has_no_keys(tmp_path: Path) -> None:
    video = phone_video(tmp_path, {f"{APPLE}lens_model": "iPhone"}).read_bytes()
    start = video.find(b"moov") - 4
    for end in range(start, len(video), 7):
        (tmp_path / "cut.mov").write_bytes(video[:end])
        assert set(quicktime_keys(tmp_path / "cut.mov").values()) <= {"iPhone"[:n] for n in range(7)}


def exif(entries: dict[int, tuple[int, object]]) -> np.ndarray:
    """EXIF with these tags -> (type, value); type 3 is a number of 16 bits, 5 a ratio."""
    first = struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0)
    directory, extra = struct.pack("<H", len(entries)), b""
    place = 26 + 2 + 12 * len(entries) + 4
    for tag, (kind, value) in sorted(entries.items()):
        if kind == 5:
            directory += struct.pack("<HHII", tag, kind, 1, place + len(extra))
            extra += struct.pack("<II", *value)  # type: ignore[misc]
        else:
            directory += struct.pack("<HHIHH", tag, kind, 1, value, 0)
    return np.frombuffer(b"II*\0" + struct.pack("<I", 8) + first + directory + bytes(4) + extra, np.uint8)


def photo(folder: Path, entries: dict[int, tuple[int, object]]) -> Clip:
    image = cv2.cvtColor(numbered_image(3), cv2.COLOR_RGB2BGR)
    cv2.imwriteWithMetadata(str(folder / "0.jpg"), image, [cv2.IMAGE_METADATA_EXIF], [exif(entries)])
    return open_clip(folder / "0.jpg", ClipConfig())


@pytest.mark.skipif(not hasattr(cv2, "imwriteWithMetadata"), reason="this OpenCV cannot write EXIF")
def test_photos_without_equivalent_have_the_size_of_their_pixels(tmp_path: Path) -> None:
    """A lens of 10 mm on a sensor with 2000 pixels per centimeter and 4000 pixels, resized to WIDTH."""
    sensor = {0x920A: (5, (100, 10)), 0xA20E: (5, (20000, 10)), 0xA210: (3, 3), 0xA002: (3, 4000), 0xA003: (3, 3000)}
    clip = photo(tmp_path, sensor)
    assert clip.focal_px == pytest.approx(2000 * WIDTH / 4000) and clip.focal_log_std == 0.03
    assert photo(tmp_path, {0x920A: (5, (100, 10))}).focal_px is None
    both = photo(tmp_path, {**sensor, 0xA405: (3, 28)})
    assert both.focal_px == pytest.approx(28 / 43.27 * DIAGONAL)


@pytest.mark.parametrize("value", ["0", "", "9999", "wide"])
def test_absurd_numbers_are_ignored(value: str) -> None:
    assert photo_focal({"ExifIFD/FocalLengthIn35mmFilm": value}, (640, 480)) is None
    absurd = {"FocalLength": value, "FocalPlaneXResolution": "1:0", "FocalPlaneResolutionUnit": "2"}
    assert photo_focal(absurd, (640, 480)) is None


def test_the_diagonal_is_that_of_the_whole_sensor() -> None:
    """Measured: an iPhone 13 mini of 26 mm sees 67.8 degrees across its photos of 4:3, 69.5 across video of 16:9."""
    assert equivalent_focal(26, (4032, 3024)) == pytest.approx(4032 / 2 / np.tan(np.radians(67.8 / 2)), rel=0.02)
    assert equivalent_focal(26, (2160, 3840)) == pytest.approx(3840 / 2 / np.tan(np.radians(69.5 / 2)), rel=0.05)
    assert equivalent_focal(50, (6000, 4000)) == pytest.approx(50 / 36 * 6000, rel=0.01)
    assert equivalent_focal(26, (3024, 3024)) == pytest.approx(equivalent_focal(26, (4032, 3024)))


def test_boxes_nested_without_end_have_no_keys(tmp_path: Path) -> None:
    data = b""
    for _ in range(3000):
        data = (8 + len(data)).to_bytes(4, "big") + b"trak" + data
    path = tmp_path / "nested.mp4"
    path.write_bytes((8 + len(data)).to_bytes(4, "big") + b"moov" + data)
    assert quicktime_keys(path) == {}
