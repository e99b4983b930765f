"""Camera files in the formats of the tools: the focal length comes back, wrong files are one clear line."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest

from closemesh.core.errors import InputError
from closemesh.initialization.camera_files import NETWORK_LOG_STD, CameraFile, read_camera_file

SIZE, FOCAL = (1920, 1080), 1500.0
UPRIGHT = (1080, 1920)


def matrix(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float32)


def read_json(path: Path, values: object, size: tuple[int, int] = SIZE) -> CameraFile:
    path = path / "camera.json"
    path.write_text(json.dumps(values))
    return read_camera_file(path, size)


def read_npz(path: Path, size: tuple[int, int] = SIZE, **arrays: object) -> CameraFile:
    path = path / "camera.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return read_camera_file(path, size)


def test_intrinsics_are_scaled_to_the_clip(tmp_path):
    values = {"fx": 990, "fy": 1010, "cx": 640, "cy": 350, "width": 1280, "height": 720, "focal_std": 20}
    camera = read_json(tmp_path, {**values, "up": [0, -3, 4], "up_std": 0.02})
    assert camera.focal == pytest.approx(FOCAL) and camera.principal_point == (960, 525)
    assert camera.focal_log_std == pytest.approx(0.02) and camera.up_std == 0.02
    assert camera.up_cam == pytest.approx((0, -0.6, 0.8))
    assert read_json(tmp_path, {"fx": FOCAL}) == CameraFile(FOCAL, 0.0)


def test_moge(tmp_path):
    """fov.json has degrees with two decimals; intrinsics are divided by width and height."""
    fov_x, fov_y = (round(math.degrees(2 * math.atan(side / 2 / FOCAL)), 2) for side in SIZE)
    camera = read_json(tmp_path, {"fov_x": fov_x, "fov_y": fov_y})
    assert camera.focal == pytest.approx(FOCAL, rel=1e-3) and camera.focal_log_std == NETWORK_LOG_STD
    K = matrix(FOCAL / 1920, FOCAL / 1080, 0.5, 0.5)
    for camera in (read_npz(tmp_path, intrinsics=K, mask=np.ones(3)), read_json(tmp_path, {"intrinsics": K.tolist()})):
        assert camera.focal == pytest.approx(FOCAL) and camera.principal_point == (960, 540)


def test_frames_that_disagree_are_less_certain(tmp_path):
    stack = np.stack([matrix(f / 1920, f / 1080, 0.5, 0.5) for f in (1000, 1500, 2250)])
    camera = read_npz(tmp_path, intrinsics=stack)
    assert camera.focal == pytest.approx(1500) and camera.focal_log_std == pytest.approx(0.331, abs=0.001)


def test_geocalib(tmp_path):
    """`camera` is [1, 8] width, height, fx, fy, cx, cy, k1, k2; `gravity` is against gravity."""
    data = np.array([[1280, 720, 1000, 1000, 640, 360, 0, 0]], np.float32)
    up, uncertainty = np.array([[0, -0.8, 0.6]]), {"focal_uncertainty": [100.0], "gravity_uncertainty": [0.03]}
    camera = read_npz(tmp_path, camera=data, gravity=up, **uncertainty)
    assert camera.focal == pytest.approx(FOCAL) and camera.focal_log_std == pytest.approx(0.1)
    assert camera.up_cam == pytest.approx((0, -0.8, 0.6)) and camera.up_std == pytest.approx(0.03)
    vfov, pitch = 2 * math.atan(540 / FOCAL), math.asin(0.6)
    camera = read_json(tmp_path, {"camera": {"vfov": vfov}, "gravity": {"roll": 0.0, "pitch": pitch}})
    assert camera.focal == pytest.approx(FOCAL) and camera.focal_log_std == 0.05
    assert camera.up_cam == pytest.approx((0, -0.8, 0.6)) and camera.up_std == 0.05
    sized = {"camera": {"width": 1280, "height": 720, "f": [1000.0, 1000.0]}, "gravity": {"vec3d": [0, -0.8, 0.6]}}
    assert read_json(tmp_path, sized).focal == pytest.approx(FOCAL)


def test_vggt_predictions(tmp_path):
    """The input of VGGT is 518 wide; an upright clip is cropped to a square."""
    stack = np.stack([matrix(FOCAL * 518 / 1920, 400, 259, 147)] * 3)  # 291 rows become 294.
    assert read_npz(tmp_path, intrinsic=stack, depth=np.zeros(2)).focal == pytest.approx(FOCAL)
    cropped = matrix(FOCAL * 518 / 1080, 700, 259, 259)
    assert read_npz(tmp_path, UPRIGHT, intrinsic=cropped).focal == pytest.approx(FOCAL)
    with pytest.raises(InputError, match="times as wide as high"):
        read_npz(tmp_path, UPRIGHT, intrinsic=stack)


@pytest.mark.parametrize(
    ("model", "number", "parameters"),
    [
        ("SIMPLE_PINHOLE", 0, (1000, 640, 360)),
        ("PINHOLE", 1, (990, 1010, 640, 360)),
        ("SIMPLE_RADIAL", 2, (1000, 640, 360, 0.1)),
        ("OPENCV", 4, (990, 1010, 640, 360, 0.1, 0, 0, 0)),
    ],
)
def test_colmap(tmp_path, model: str, number: int, parameters: tuple[float, ...]):
    text, binary = tmp_path / "cameras.txt", tmp_path / "cameras.bin"
    line = f"{model} 1280 720 {' '.join(map(str, parameters))}"
    text.write_text(f"# Camera list with one line of data per camera:\n# Number of cameras: 2\n1 {line}\n2 {line}\n")
    packed = b"".join(struct.pack(f"<IiQQ{len(parameters)}d", i, number, 1280, 720, *parameters) for i in (1, 2))
    binary.write_bytes(struct.pack("<Q", 2) + packed)
    for path in (text, binary):
        camera = read_camera_file(path, SIZE)
        assert camera.focal == pytest.approx(FOCAL) and camera.principal_point == (960, 540)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"f": 3}', '{"fx": "wide"}', '{"fx": -5}', '{"fx": 5, "width": 0}', '{"fx": NaN}'),
        *('{"fx": 5, "width": 640, "height": 480}', '{"fx": 5, "up": [0, 0, 0]}', '{"fx": 5, "up": [1, 2]}'),
        *('{"fx": 5, "focal_std": -1}', '{"fov_x": 200}', '{"fov_x": 60, "fov_y": 60}', '{"fx": []}'),
        *('{"intrinsics": [[1500, 0, 960], [0, 1500, 540], [0, 0, 1]]}', '{"intrinsics": [1, 2]}'),
        *('{"camera": {}}', '{"camera": {"f": "x"}}', '{"camera": [1, 2]}', '{"camera": "pinhole"}'),
        *('{"fx": 1e999}', '{"fx": [600, Infinity]}', '{"fx": 600, "cx": 1e300, "cy": 0}', '{"fx": ["600"]}'),
        *(f'{{"fx": {"9" * 400}}}', f'{{"fx": {"9" * 5000}}}', '{"intrinsics": [[], [1]]}', '{"fx": 600, "up": [[]]}'),
        *('{"camera": {"f": 900}, "gravity": {"roll": 0}}', '{"intrinsic": [[0, 0, 0], [0, 0, 0], [0, 0, 1]]}'),
    ],
)
def test_a_wrong_file_is_one_clear_line(text: str, tmp_path):
    path = tmp_path / "a.mp4.intrinsics.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"a\.mp4\.intrinsics\.json") as caught:
        read_camera_file(path, SIZE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cameras.txt", b"1 PINHOLE 1280\n"),
        ("cameras.txt", b"1 FISHEYE 1280 720 1000 640 360\n"),
        ("cameras.txt", b"# nothing\n"),
        ("cameras.txt", b"\xff\xfe"),
        ("cameras.txt", b"1 PINHOLE 720 1280 1000 1000 360 640\n"),
        ("cameras.txt", b"1 PINHOLE 1280 720 1e999 1000 640 360\n"),
        ("cameras.txt", b"1 PINHOLE 1280 720 " + b"9" * 5000 + b" 1000 640 360\n"),
        ("cameras.bin", struct.pack("<Q", 1) + b"abc"),
        ("cameras.bin", struct.pack("<QIiQQ", 1, 1, 9, 10, 10)),
        ("cameras.npz", b"no archive"),
    ],
)
def test_damaged_files_of_tools(tmp_path, name: str, content: bytes):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=name) as caught:
        read_camera_file(path, SIZE)
    assert "\n" not in str(caught.value)


def test_pickled_objects_are_not_read(tmp_path):
    with pytest.raises(InputError, match=r"camera\.npz"):
        read_npz(tmp_path, camera=np.array({"f": 1500.0}, object))
    with pytest.raises(InputError, match="not a camera file"):
        read_npz(tmp_path, other=np.array({"f": 1500.0}, object))
    for name in ("none.json", "none.npz", "cameras.txt"):
        with pytest.raises(InputError, match="no such file"):
            read_camera_file(tmp_path / name, SIZE)


def test_our_own_values_are_read_from_npz_too(tmp_path):
    camera = read_npz(tmp_path, fx=1000, width=1280, height=720, up=[0, -1, 0], up_std=0.03)
    assert camera.focal == pytest.approx(FOCAL) and camera.up_cam == (0, -1, 0) and camera.up_std == 0.03
    with pytest.raises(InputError, match="times as wide"):
        read_npz(tmp_path, fx=1000, width=1280, height=960)


@pytest.mark.parametrize(
    "values",
    [
        {"camera": [[1, 2], [3]]},
        {"camera": {}},
        {"fx": 10**400},
        {"fx": 1e308, "fy": 1e308},
        {"fx": 1000, "width": 1e-320},
        {"fov_x": 179.9999},
    ],
)
def test_absurd_values_are_one_line(tmp_path, values):
    with pytest.raises(InputError, match="camera") as caught:
        read_json(tmp_path, values)
    assert "\n" not in str(caught.value)


def test_deeply_nested_json_is_one_line(tmp_path):
    path = tmp_path / "camera.json"
    path.write_text('{"fx":' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(InputError, match=r"camera\.json .*nested too deeply"):
        read_camera_file(path, SIZE)
