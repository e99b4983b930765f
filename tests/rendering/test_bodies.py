"""Images show all people in their positions and colors, and no absent people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from closemesh.body.motion import motion_joints, stream_vertices
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.geometry.camera import project
from closemesh.geometry.mesh import face_incidence, vertex_normals
from closemesh.rendering.bodies import person_color, render_overlay, render_view, shade
from closemesh.rendering.viewpoints import view_camera

SIZE = (160, 120)


def grey_frames(dance) -> list[np.ndarray]:
    return [np.full((SIZE[1], SIZE[0], 3), 90, dtype=np.uint8)] * len(dance.clip)


def has_hue(image: np.ndarray, person: int, background: np.ndarray) -> np.ndarray:
    """[H, W] true where the image shows the person's hue."""
    pixels = image.astype(float) - background
    hues = np.array([person_color(p) for p in range(2)], dtype=float)
    strength = (image / np.maximum(image.max(-1, keepdims=True), 1)) @ (hues / hues.max(-1, keepdims=True)).T
    norms = np.linalg.norm(hues / hues.max(-1, keepdims=True), axis=1)
    return (np.abs(pixels).max(-1) > 12) & ((strength / norms).argmax(-1) == person)


def test_overlay_video(dance, tmp_path: Path) -> None:
    progress = NullProgress()
    render_overlay(
        grey_frames(dance), dance.clip, dance.camera, dance.motion, dance.body, tmp_path / "overlay.mp4", progress
    )
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [(f.width, f.height) for f in frames] == [SIZE] * len(dance.clip)
    np.testing.assert_allclose([f.time for f in frames], dance.clip.times - dance.clip.times[0], atol=1e-4)


def test_a_photo_has_an_overlay_image_too(make_dance, tmp_path: Path) -> None:
    photo = make_dance(num_frames=1)
    render_overlay(
        grey_frames(photo), photo.clip, photo.camera, photo.motion, photo.body, tmp_path / "o.mp4", NullProgress()
    )
    (expected,) = render_view("overlay", photo.clip, photo.camera, photo.motion, photo.body, grey_frames(photo))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "o.png"))[..., ::-1], expected)
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert len(list(container.decode(video=0))) == 1


def test_the_overlay_covers_the_projected_vertices(dance) -> None:
    images = list(render_view("overlay", dance.clip, dance.camera, dance.motion, dance.body, grey_frames(dance)))
    for image, vertices in zip(images, stream_vertices(dance.motion, dance.body), strict=True):
        rows, columns = np.nonzero((image != 90).any(-1))
        pixels = (
            project(torch.as_tensor(vertices), dance.camera.focal, dance.camera.principal_point).reshape(-1, 2).numpy()
        )
        low, high = pixels.min(0), pixels.max(0)
        np.testing.assert_allclose([columns.min(), rows.min()], low, atol=1.5)
        np.testing.assert_allclose([columns.max() + 1, rows.max() + 1], high, atol=1.5)


def test_absent_people_are_not_drawn(dance) -> None:
    valid = dance.motion.valid.copy()
    valid[1, 1] = False
    valid[2] = False
    motion = replace(dance.motion, valid=valid)
    images = list(render_view("overlay", dance.clip, dance.camera, motion, dance.body, grey_frames(dance)))
    assert [has_hue(images[0], p, np.array(90)).sum() > 200 for p in (0, 1)] == [True, True]
    assert has_hue(images[1], 0, np.array(90)).sum() > 200
    assert has_hue(images[1], 1, np.array(90)).sum() < 10
    assert (images[2] == 90).all()


@pytest.mark.parametrize("view", ["side", "top"])
def test_all_people_are_in_the_image(dance, view) -> None:
    joints_world = motion_joints(dance.motion_world, dance.body)
    observer = view_camera(view, dance.camera, joints_world.reshape(-1, 3), (640, 360))
    T = observer.T_cam_world[0]
    for vertices in stream_vertices(dance.motion_world, dance.body):
        points = vertices.reshape(-1, 3) @ T[:3, :3].T + T[:3, 3]
        pixels = points[:, :2] / points[:, 2:] * observer.focal + observer.principal_point
        assert points[:, 2].min() > 0
        assert (pixels >= 0).all()
        assert (pixels <= (640, 360)).all()
        assert np.ptp(pixels, axis=0).max() > 100  # And is large enough.


def test_directions_of_side_and_top_views(dance) -> None:
    points = motion_joints(dance.motion_world, dance.body).reshape(-1, 3)
    source = dance.camera.T_cam_world[0, :3, :3]
    side = view_camera("side", dance.camera, points, (640, 360)).T_cam_world[0, :3, :3]
    top = view_camera("top", dance.camera, points, (640, 360)).T_cam_world[0, :3, :3]
    for R in (side, top):
        np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(R) == pytest.approx(1)
    assert abs(side[2] @ source[2]) < 0.1  # The view is across the axis of the camera,
    assert side[1, 1] < -0.9  # with the world's up upwards.
    np.testing.assert_allclose(top[2], [0, -1, 0], atol=1e-9)
    assert top[0] @ source[0] > 0.99  # Left and right as in the clip.


def test_views_of_the_world_show_both_people_and_the_frame(dance) -> None:
    images = list(render_view("side", dance.clip, dance.camera, dance.motion, dance.body, size=(320, 180)))
    assert len(images) == len(dance.clip)
    assert images[0].shape == (180, 320, 3)
    corner = [image[160:, :120].astype(int) for image in images[:2]]
    assert (corner[0] != corner[1]).any()  # The time has moved on.


def test_a_clip_without_people_is_shown(dance) -> None:
    motion = replace(dance.motion, valid=np.zeros_like(dance.motion.valid))
    images = list(render_view("top", dance.clip, dance.camera, motion, dance.body, size=(320, 180)))
    assert len(images) == len(dance.clip)


def test_an_overlay_needs_frames(dance) -> None:
    with pytest.raises(InputError, match="needs the frames"):
        render_view("overlay", dance.clip, dance.camera, dance.motion, dance.body)


def test_detected_keypoints_are_drawn(dance) -> None:
    keypoints = np.zeros((len(dance.clip), 2, 133, 3))
    keypoints[:, 0, 0] = [20, 30, 0.9]
    keypoints[:, 1, 1] = [120, 90, 0.1]  # Not detected.
    clip, camera, motion, body = dance.clip, dance.camera, dance.motion, dance.body
    plain = list(render_view("overlay", clip, camera, motion, body, grey_frames(dance)))
    dotted = list(render_view("overlay", clip, camera, motion, body, grey_frames(dance), keypoints=keypoints))
    rows, columns = np.nonzero((plain[3] != dotted[3]).any(-1))
    assert dotted[3][30, 20].tolist() == list(person_color(0))
    assert np.hypot(rows - 30, columns - 20).max() < 6


def test_streamed_meshes_equal_one_batch(make_dance: Callable) -> None:
    dance = make_dance(num_frames=11)
    streamed = np.stack(list(stream_vertices(dance.motion, dance.body)))
    assert streamed.shape == (11, 2, len(dance.body.v_template), 3)
    tail = replace(
        dance.motion,
        **{name: getattr(dance.motion, name)[9:] for name in ("rotations", "transl", "expression")},
    )
    np.testing.assert_allclose(streamed[9:], np.stack(list(stream_vertices(tail, dance.body))), atol=1e-5)


def test_normals_of_a_sphere_point_outwards() -> None:
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=4)
    normals = vertex_normals(ball.vertices, ball.faces, face_incidence(ball.faces, len(ball.vertices)))
    assert ((normals * ball.vertices).sum(1) > 0.999).all()


def test_light_comes_from_above() -> None:
    up, down = np.array([[0, -1.0, 0]]), np.array([[0, 1.0, 0]])
    assert (shade(up, (200, 100, 50)) > 1.5 * shade(down, (200, 100, 50))).all()
    assert shade(np.array([[-0.5, -0.7, -0.5]]), (255, 255, 255)).max() <= 255
