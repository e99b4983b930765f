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
from closemesh.rendering.bodies import BodyRenderer, Scene, ViewOptions, render_overlay, render_view, view_size
from closemesh.rendering.shading import PERSON_COLORS, SurfaceColors, VertexColors, person_color, shade
from closemesh.rendering.viewpoints import turntable_camera, view_camera

SIZE = (160, 120)


def scene_of(dance, **changes) -> Scene:
    return replace(Scene(dance.clip, dance.camera, dance.motion, dance.body), **changes)


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
    render_overlay(grey_frames(dance), scene_of(dance), tmp_path / "overlay.mp4", NullProgress())
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [(f.width, f.height) for f in frames] == [SIZE] * len(dance.clip)
    np.testing.assert_allclose([f.time for f in frames], dance.clip.times - dance.clip.times[0], atol=1e-4)


def test_a_photo_has_an_overlay_image_too(make_dance, tmp_path: Path) -> None:
    photo = make_dance(num_frames=1)
    render_overlay(grey_frames(photo), scene_of(photo), tmp_path / "o.mp4", NullProgress())
    (expected,) = render_view("overlay", scene_of(photo), grey_frames(photo))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "o.png"))[..., ::-1], expected)
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert len(list(container.decode(video=0))) == 1


def test_the_overlay_covers_the_projected_vertices(dance) -> None:
    images = list(render_view("overlay", scene_of(dance), grey_frames(dance)))
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
    images = list(render_view("overlay", scene_of(dance, motion=motion), grey_frames(dance)))
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


def test_all_people_are_in_every_image_of_the_turntable(dance) -> None:
    points = motion_joints(dance.motion_world, dance.body).reshape(-1, 3)
    turns = np.linspace(0, 1, 9)
    observer = turntable_camera(dance.camera, points, (640, 360), turns)
    np.testing.assert_allclose(observer.T_cam_world[0], observer.T_cam_world[-1], atol=1e-9)
    for T in observer.T_cam_world:
        np.testing.assert_allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-9)
        in_view = points @ T[:3, :3].T + T[:3, 3]
        pixels = in_view[:, :2] / in_view[:, 2:] * observer.focal + observer.principal_point
        assert (pixels >= 0).all() and (pixels <= (640, 360)).all()
    ahead, half_turn = observer.T_cam_world[[0, 4], 2, :3]
    assert ahead @ dance.camera.T_cam_world[0, 2, :3] > 0.9
    np.testing.assert_allclose(half_turn[[0, 2]], -ahead[[0, 2]], atol=1e-9)


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
    images = list(render_view("side", scene_of(dance), options=ViewOptions(size=(320, 180))))
    assert len(images) == len(dance.clip)
    assert images[0].shape == (180, 320, 3)
    corner = [image[160:, :120].astype(int) for image in images[:2]]
    assert (corner[0] != corner[1]).any()  # The time has moved on.


def test_a_clip_without_people_is_shown(dance) -> None:
    motion = replace(dance.motion, valid=np.zeros_like(dance.motion.valid))
    images = list(render_view("top", scene_of(dance, motion=motion), options=ViewOptions(size=(320, 180))))
    assert len(images) == len(dance.clip)


def test_an_overlay_needs_frames(dance) -> None:
    with pytest.raises(InputError, match="needs the frames"):
        render_view("overlay", scene_of(dance))


def test_an_overlay_of_another_size_is_the_same_image(dance) -> None:
    large = next(render_view("overlay", scene_of(dance), grey_frames(dance), ViewOptions(size=(320, None))))
    small = next(render_view("overlay", scene_of(dance), grey_frames(dance)))
    assert large.shape == (240, 320, 3)
    shrunk = cv2.resize(large, SIZE, interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(int) - small).mean() < 2


def test_sizes_of_views(dance) -> None:
    assert view_size("overlay", dance.clip, None) == SIZE
    assert view_size("overlay", dance.clip, (80, None)) == (80, 60)
    assert view_size("overlay", dance.clip, (400, 60)) == (80, 60)  # It fits into the size and keeps its shape.
    assert view_size("side", dance.clip, (640, None)) == (640, 360)
    assert view_size("top", dance.clip, (300, 300)) == (300, 300)


def test_only_the_chosen_people_are_drawn(dance) -> None:
    image = next(render_view("overlay", scene_of(dance), grey_frames(dance), ViewOptions(people=(1,))))
    assert has_hue(image, 0, np.array(90)).sum() < 10
    assert has_hue(image, 1, np.array(90)).sum() > 200


def test_a_turntable_turns_once_and_begins_at_the_camera(make_dance) -> None:
    dance = make_dance(num_frames=1, moving=False)
    still = scene_of(dance).repeated(1.0)
    assert len(still.clip) == 25
    assert np.diff(still.clip.times) == pytest.approx(0.04)
    images = list(render_view("turntable", still, options=ViewOptions(size=(128, 96), turn_seconds=1.0)))
    changes = [np.abs(image.astype(int) - images[0])[:70].mean() for image in images]
    assert max(changes) > 2 * changes[1] > 0
    assert changes[-1] == pytest.approx(changes[1], rel=0.5)  # The last frame is one step before a whole turn.


def test_a_short_clip_is_repeated_until_the_turn_is_done(dance) -> None:
    scene = scene_of(dance).repeated(1.0)
    assert scene.clip.times[-1] == pytest.approx(1.0, abs=0.06) and scene.clip.times[-1] < 1
    assert (np.diff(scene.clip.times) > 0).all()
    assert scene.motion.transl.shape[0] == len(scene.clip) == len(scene.camera.T_cam_world)
    np.testing.assert_array_equal(scene.motion.transl[6:12], dance.motion.transl)
    assert len(scene_of(dance).repeated(None).clip) == len(dance.clip)


def test_a_shadow_of_the_overlay_is_optional(dance) -> None:
    plain = next(render_view("overlay", scene_of(dance), grey_frames(dance)))
    shadow = next(render_view("overlay", scene_of(dance), grey_frames(dance), ViewOptions(shadow=True)))
    assert (shadow <= plain).all() and (shadow < plain).any()


def test_colors_of_vertices_and_their_legend_are_drawn(dance) -> None:
    green = np.broadcast_to(np.array([0, 255, 0], np.float32), (2, len(dance.body.v_template), 3))
    colors = SurfaceColors(iter([VertexColors(green)] * len(dance.clip)), (((10, 20, 250), "blue"),))
    image = next(render_view("overlay", scene_of(dance, colors=colors), grey_frames(dance)))
    center = image[40:90, 50:110].reshape(-1, 3).astype(int)
    assert (center[:, 1] > center[:, 0] + 30).sum() > 200
    assert (np.abs(image[:40, :40].astype(int) - (10, 20, 250)).max(-1) < 10).any()


def test_what_is_inside_another_body_is_seen_through(make_dance) -> None:
    dance = make_dance(num_frames=1, moving=False)
    renderer, (vertices,) = BodyRenderer(dance.body, 2), stream_vertices(dance.motion, dance.body)
    vertices = np.stack([vertices[0], vertices[0] + np.array([0, 0, 0.5], np.float32)])  # Hidden behind the first.
    base = np.broadcast_to(np.array([[[0, 0, 200]], [[200, 0, 0]]], np.float32), vertices.shape)
    inside = np.zeros(vertices.shape[:2], bool)
    image = np.zeros((120, 160, 3), np.uint8)
    both = np.ones(2, bool)
    hidden = renderer.render(image, vertices, both, dance.camera, VertexColors(base, inside))
    inside[1] = True
    seen = renderer.render(image, vertices, both, dance.camera, VertexColors(base, inside))
    assert (seen[..., 0] > 60).sum() > 4 * (hidden[..., 0] > 60).sum() > 0


def test_people_differ_in_gray_too() -> None:
    gray = np.array(PERSON_COLORS) @ [0.299, 0.587, 0.114]
    assert (np.abs(np.diff(gray)) > 35).all()
    assert abs(gray[0] - gray[2]) > 35


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
