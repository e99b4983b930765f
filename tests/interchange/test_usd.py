"""A USD stage, read by usd-core, has the joints, vertices and camera of the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from closemesh.body.motion import motion_joints, stream_vertices
from closemesh.interchange.scene import ExportedScene
from closemesh.interchange.usd import write_usd

pxr = pytest.importorskip("pxr")


@pytest.fixture
def stage(scene: ExportedScene, tmp_path: Path):
    from pxr import Usd

    write_usd(scene, tmp_path)
    return Usd.Stage.Open(str(tmp_path / "scene.usda"))


def skeleton(stage, name: str):
    """Queries of the skeleton and of the skinned mesh of a person."""
    from pxr import Usd, UsdSkel

    root, cache = UsdSkel.Root(stage.GetPrimAtPath(f"/World/{name}")), UsdSkel.Cache()
    cache.Populate(root, Usd.PrimDefaultPredicate)
    prim = UsdSkel.Skeleton(stage.GetPrimAtPath(f"/World/{name}/skeleton"))
    return cache.GetSkelQuery(prim), cache.GetSkinningQuery(stage.GetPrimAtPath(f"/World/{name}/mesh"))


def test_joints_and_skin_are_within_a_millimeter(scene: ExportedScene, stage) -> None:
    from pxr import UsdGeom, Vt

    regular = scene.at_constant_rate()
    joints = motion_joints(regular.motion_world, scene.body)
    vertices = list(stream_vertices(regular.motion_world, scene.body))
    for person, name in enumerate(scene.people):
        skeleton_query, skin_query = skeleton(stage, name)
        rest = UsdGeom.Mesh(stage.GetPrimAtPath(f"/World/{name}/mesh")).GetPointsAttr().Get()
        for frame in np.flatnonzero(regular.motion.valid[:, person]).tolist():
            transforms = skeleton_query.ComputeJointSkelTransforms(frame)
            found = np.array([one.ExtractTranslation() for one in transforms])
            np.testing.assert_allclose(found, joints[frame, person], atol=1e-3)
            points = Vt.Vec3fArray(rest)
            assert skin_query.ComputeSkinnedPoints(skeleton_query.ComputeSkinningTransforms(frame), points, frame)
            np.testing.assert_allclose(np.array(points), vertices[frame][person], atol=1e-3)


def test_the_camera_projects_as_that_of_the_clip(scene: ExportedScene, stage) -> None:
    from pxr import Gf, UsdGeom

    regular, point = scene.at_constant_rate(), np.array([0.3, 1.2, 0.5, 1.0])
    camera = UsdGeom.Camera(stage.GetPrimAtPath("/World/camera")).GetCamera(4)
    in_frustum = camera.frustum.ComputeViewMatrix() * camera.frustum.ComputeProjectionMatrix()
    x, y, _ = in_frustum.Transform(Gf.Vec3d(*point[:3].tolist()))
    width, height = regular.camera.size
    p = regular.camera.T_cam_world[4] @ point
    expected = p[:2] / p[2] * regular.camera.focal + regular.camera.principal_point
    np.testing.assert_allclose([(x + 1) * width / 2, (1 - y) * height / 2], expected, atol=1e-2)


def test_rate_axes_and_visibility(scene: ExportedScene, stage) -> None:
    from pxr import UsdGeom

    assert stage.GetTimeCodesPerSecond() == 25
    assert (UsdGeom.GetStageUpAxis(stage), UsdGeom.GetStageMetersPerUnit(stage)) == ("Y", 1)
    visible = UsdGeom.Imageable(stage.GetPrimAtPath("/World/person_00")).GetVisibilityAttr()
    valid = scene.at_constant_rate().motion.valid[:, 0]
    assert [visible.Get(frame) == "inherited" for frame in range(len(valid))] == valid.tolist()
