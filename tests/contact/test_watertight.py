from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from stand_in_body import write_bundled_stand_in

from closemesh.body.loading import load_body, load_bundled_body
from closemesh.body.skinning import rest_joints, skin, wholebody_keypoints
from closemesh.contact.signed_distance import WatertightMesh
from closemesh.contact.watertight import boundary_loops, watertight_body


@pytest.fixture(scope="module")
def open_body():
    return load_bundled_body("std")


@pytest.fixture(scope="module")
def holed_body():
    """Like an SMPL-X mesh: one surface with holes at eyes and mouth, and two loose eyeballs."""
    body = replace(load_bundled_body("mid"), name="smplx/STAND_IN")
    head = body.v_template[:, 1] > 0.25 * body.v_template[:, 1].min() + 0.75 * body.v_template[:, 1].max()
    centers = body.v_template[body.faces].mean(1)
    front = body.v_template[head][body.v_template[head, 2].argmax()]
    targets = front + torch.tensor([[0.035, 0.03, -0.02], [-0.035, 0.03, -0.02], [0.0, -0.04, -0.01]])
    remaining = (torch.cdist(centers, targets) > 0.015).all(-1)
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.012)
    vertices, faces = body.v_template, body.faces[remaining]
    for target in targets[:2]:
        faces = torch.cat([faces, torch.as_tensor(ball.faces.copy()) + len(vertices)])
        vertices = torch.cat([vertices, torch.as_tensor(ball.vertices.copy(), dtype=torch.float32) + target])
    extra = len(vertices) - len(body.v_template)

    def extend(values):
        return torch.cat([values, values[-1:].expand(extra, *values.shape[1:])])

    used = torch.zeros(len(vertices), dtype=torch.bool)
    used[faces] = True
    pose_dirs = 1e-4 * torch.randn(486, len(vertices) * 3, generator=torch.Generator().manual_seed(0))
    stand_in = replace(
        body,
        v_template=vertices,
        faces=faces,
        ft=None,
        shape_dirs=extend(body.shape_dirs),
        expression_dirs=extend(body.expression_dirs),
        skin_weights=extend(body.skin_weights),
        pose_dirs=pose_dirs,
    )
    return stand_in.subset(used.nonzero()[:, 0])


def volume(body):
    return trimesh.Trimesh(body.v_template.numpy(), body.faces.numpy(), process=False).volume


def test_open_body_keeps_betas_and_skeleton(open_body):
    for detail, size in (("fine", 6500), ("coarse", 3000)):
        mesh = watertight_body(open_body, detail)
        assert len(mesh.v_template) == size
        WatertightMesh(mesh.faces.numpy())
        betas = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(rest_joints(mesh, betas), rest_joints(open_body, betas), atol=8e-3, rtol=0)


def test_dtype_and_device_follow_the_body(open_body):
    assert watertight_body(open_body.to("cpu", torch.float64), "coarse").v_template.dtype == torch.float64


def test_stand_in_really_has_holes_and_eyeballs(holed_body):
    assert len(boundary_loops(holed_body.faces.numpy())) >= 3
    with pytest.raises(ValueError, match="not closed"):
        WatertightMesh(holed_body.faces.numpy())


def test_holed_mesh_is_closed_without_its_eyeballs(holed_body):
    mesh = watertight_body(holed_body)
    WatertightMesh(mesh.faces.numpy())
    holes = boundary_loops(holed_body.faces.numpy())
    assert len(mesh.v_template) == len(holed_body.v_template) - 2 * 162 + len(holes)
    assert volume(mesh) == pytest.approx(volume(watertight_body(load_bundled_body("mid"))), rel=2e-3)
    assert volume(mesh) > 0  # Turned outward, the caps too.


def test_closed_mesh_moves_like_the_body_it_was_made_from(holed_body):
    generator = torch.Generator().manual_seed(1)
    betas, expression = (torch.randn(1, 10, generator=generator) for _ in range(2))
    rotations = torch.linalg.qr(torch.randn(1, 55, 3, 3, generator=generator))[0]
    rotations = rotations * torch.linalg.det(rotations)[..., None, None]
    args = betas, rotations, torch.zeros(1, 3), expression
    mesh = watertight_body(holed_body)
    here, there = skin(holed_body, *args)[0], skin(mesh, *args)[0]
    torch.testing.assert_close(there[:, :1000], here[:, :1000])
    assert mesh.pose_dirs is not None and mesh.pose_dirs.shape == (486, 3 * len(mesh.v_template))
    loop = torch.as_tensor(boundary_loops(query_part_faces(holed_body))[0])
    rim = holed_body.v_template[loop].mean(0, keepdim=True)
    assert torch.cdist(rim, mesh.v_template[len(holed_body.v_template) - 2 * 162 :]).min() < 1e-6


def test_holes_that_meet_in_a_vertex_are_parted():
    faces = np.asarray(trimesh.creation.icosphere(subdivisions=2).faces)
    around = faces[(faces == 40).any(1)]
    partner = next(f for f in around[1:] if len(np.intersect1d(f, around[0])) == 1)  # Shares only vertex 40.
    faces = faces[~((faces == around[0]).all(1) | (faces == partner).all(1))]
    assert sorted(len(loop) for loop in boundary_loops(faces)) == [3, 3]


def query_part_faces(body):
    """The faces of the surface without the loose eyeballs, which stand last."""
    return body.faces[(body.faces < len(body.v_template) - 2 * 162).all(-1)].numpy()


def test_lost_keypoints_are_nan_not_wrong(open_body):
    nose = int(open_body.keypoint_vertices[0].argmax())
    dropped = int(open_body.keypoint_vertex_ids[nose])
    keep = torch.tensor([v for v in range(len(open_body.v_template)) if v != dropped])
    part = open_body.subset(keep)
    args = torch.zeros(10), torch.eye(3).expand(55, 3, 3), torch.zeros(3)
    whole, less = (wholebody_keypoints(b, *skin(b, *args)) for b in (open_body, part))
    lost = torch.isnan(less).any(-1)
    assert lost[0] and lost.sum() < 5
    torch.testing.assert_close(less[~lost], whole[~lost])
    assert np.isfinite(whole.numpy()).all()


def test_a_body_of_the_open_layout_but_other_proportions_is_its_own(tmp_path):
    body = load_body(write_bundled_stand_in(tmp_path / "OTHER.npz"))
    assert body.is_bundled
    for detail in ("fine", "coarse"):
        torch.testing.assert_close(watertight_body(body, detail).v_template, body.v_template)
    assert len(watertight_body(load_bundled_body("closed"), "fine").v_template) == 6500
