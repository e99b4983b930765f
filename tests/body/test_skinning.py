from dataclasses import replace

import pytest
import torch
from smplx_reference import smplx_output

from closemesh.body.loading import load_bundled_body
from closemesh.body.skeleton import JOINT_INDEX, JOINT_NAMES, KEYPOINT_NAMES, PARENTS
from closemesh.body.skinning import (
    forward_kinematics,
    posed_joints,
    rest_joints,
    shaped_template,
    skin,
    wholebody_keypoints,
)
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.geometry.transforms import make_transform, transform_points
from closemesh.weights.locate import find_model


@pytest.fixture(scope="module")
def body():
    return load_bundled_body("std")


@pytest.fixture(scope="module")
def light():
    return load_bundled_body("light").to("cpu", torch.float64)


def random_pose(count, dtype=torch.float32, seed=0):
    """betas, axis-angle pose, transl, expression of `count` people."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(count, *shape, generator=generator, dtype=torch.float64).to(dtype)

    return normal(10), 0.4 * normal(55, 3), normal(3), normal(10)


def skin_pose(body, betas, pose, transl, expression):
    return skin(body, betas, axis_angle_to_matrix(pose), transl, expression)


def chain_of_matrices(rotations, joints_rest):
    """Joint by joint, one 4x4 product each: the textbook way. Positions [55, 3] of one person."""
    globals_: list[torch.Tensor] = []
    for joint, parent in enumerate(PARENTS):
        offset = joints_rest[joint] - (joints_rest[parent] if parent >= 0 else 0)
        local = make_transform(rotations[joint], offset)
        globals_.append(globals_[parent] @ local if parent >= 0 else local)
    return torch.stack(globals_)


def test_skin_equals_smplx_for_shape_pose_hands_and_expression(body):
    betas, pose, transl, expression = random_pose(4)
    path = find_model("open_body/open_body_std.npz")
    expected = smplx_output(path, betas, pose, transl, expression)
    vertices, joints = skin_pose(body, betas, pose, transl, expression)
    torch.testing.assert_close(vertices, expected.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(joints, expected.joints[:, :55], atol=1e-5, rtol=0)


def test_joints_equal_a_plain_chain_of_matrices(light):
    betas, pose, _, expression = random_pose(3, torch.float64)
    rotations, joints_rest = axis_angle_to_matrix(pose), rest_joints(light, betas, expression)
    global_rotations, positions = forward_kinematics(rotations, joints_rest)
    for person in range(3):
        chain = chain_of_matrices(rotations[person], joints_rest[person])
        torch.testing.assert_close(positions[person], chain[:, :3, 3], atol=1e-10, rtol=0)
        torch.testing.assert_close(global_rotations[person], chain[:, :3, :3], atol=1e-10, rtol=0)


def test_vertices_equal_a_plain_sum_over_joints(light):
    """Each vertex moved by all 55 joints and averaged with its weights, in float64."""
    betas, pose, transl, expression = (value[0] for value in random_pose(1, torch.float64))
    rotations, joints_rest = axis_angle_to_matrix(pose), rest_joints(light, betas, expression)
    rest = shaped_template(light, betas, expression)
    expected = torch.zeros_like(rest)
    for joint, T in enumerate(chain_of_matrices(rotations, joints_rest)):
        expected += light.skin_weights[:, joint, None] * (transform_points(T, rest - joints_rest[joint]) + transl)
    vertices, _ = skin(light, betas, rotations, transl, expression)
    torch.testing.assert_close(vertices, expected, atol=1e-10, rtol=0)


def test_pose_correctives_are_added_before_skinning(light):
    generator = torch.Generator().manual_seed(1)
    pose_dirs = 1e-3 * torch.randn(486, 3 * len(light.v_template), generator=generator, dtype=torch.float64)
    corrected = replace(light, pose_dirs=pose_dirs)
    betas, pose, transl, expression = random_pose(2, torch.float64)
    rest = torch.zeros(2, 55, 3, dtype=torch.float64)
    here, there = (skin_pose(b, betas, rest, transl, expression)[0] for b in (light, corrected))
    torch.testing.assert_close(there, here)  # The zero pose has none.
    feature = (axis_angle_to_matrix(pose)[:, 1:] - torch.eye(3, dtype=torch.float64)).reshape(2, 486)
    for person in range(2):
        offset = (feature[person] @ pose_dirs).reshape(-1, 3)
        shifted = replace(light, v_template=light.v_template + offset)
        args = betas[person], pose[person], transl[person], expression[person]
        torch.testing.assert_close(skin_pose(corrected, *args)[0], skin_pose(shifted, *args)[0])


def test_gradients_equal_finite_differences(light):
    few = light.subset(torch.arange(0, 3000, 600))
    betas, pose, transl, expression = (value.requires_grad_() for value in random_pose(1, torch.float64))
    assert torch.autograd.gradcheck(lambda *x: skin_pose(few, *x), (betas, pose, transl, expression), fast_mode=True)


def test_gradient_at_the_zero_pose_is_finite(body):
    pose = torch.zeros(55, 3, requires_grad=True)
    vertices, _ = skin_pose(body.keypoint_body(), torch.zeros(10), pose, torch.zeros(3), None)
    vertices.square().sum().backward()
    assert torch.isfinite(pose.grad).all() and pose.grad.abs().sum() > 0


def test_posed_joints_are_those_of_skin(body):
    betas, pose, transl, expression = random_pose(3)
    rotations = axis_angle_to_matrix(pose)
    joints = posed_joints(body, betas, rotations, transl, expression)
    torch.testing.assert_close(joints, skin(body, betas, rotations, transl, expression)[1])


def test_subset_equals_the_full_body(body):
    chosen = torch.tensor([5, 4000, 17, 9999, 2])
    part = body.subset(chosen)
    full, few = (skin_pose(b, *random_pose(2))[0] for b in (body, part))
    torch.testing.assert_close(few, full[:, chosen])
    ring = torch.unique(body.faces[:50])
    faces = body.subset(ring).faces
    assert len(faces) >= 50 and torch.equal(body.v_template[ring][faces[0]], body.v_template[ring[faces[0]]])


def test_keypoint_body_gives_the_keypoints_of_the_full_body(body):
    args = random_pose(2)
    few = body.keypoint_body()
    assert len(few.v_template) < len(body.v_template) / 5
    full, part = (wholebody_keypoints(b, *skin_pose(b, *args)) for b in (body, few))
    torch.testing.assert_close(part, full, atol=1e-5, rtol=0)


def test_global_rotation_turns_everything_about_the_pelvis(body):
    betas, pose, transl, _ = random_pose(1)
    R = axis_angle_to_matrix(torch.tensor([0.4, -1.2, 2.0]))
    rotations = axis_angle_to_matrix(pose)
    turned = rotations.clone()
    turned[:, 0] = R @ rotations[:, 0]
    (here, joints), (there, _) = (skin(body, betas, r, transl) for r in (rotations, turned))
    torch.testing.assert_close((here - joints[:, :1]) @ R.T + joints[:, :1], there, atol=1e-5, rtol=0)


def test_leading_dimensions_broadcast(body):
    """One shape [P, B] for a clip of poses [T, P, 55, 3, 3]."""
    few = body.keypoint_body()
    betas, pose, transl, _ = random_pose(6)
    rotations = axis_angle_to_matrix(pose).reshape(3, 2, 55, 3, 3)
    vertices, joints = skin(few, betas[:2], rotations, transl.reshape(3, 2, 3))
    assert vertices.shape == (3, 2, len(few.v_template), 3) and joints.shape == (3, 2, 55, 3)
    alone, _ = skin(few, betas[1], rotations[2, 1], transl.reshape(3, 2, 3)[2, 1])
    torch.testing.assert_close(vertices[2, 1], alone, atol=1e-6, rtol=0)


def test_one_expression_serves_many_shapes(body):
    few = body.keypoint_body()
    betas, _, _, expression = random_pose(4)
    one = shaped_template(few, betas, expression[0])
    torch.testing.assert_close(one, shaped_template(few, betas, expression[:1].expand(4, -1)))


def test_dtype_and_device_move_together(body):
    moved = body.to("cpu", torch.float64)
    assert moved.faces.dtype == torch.int64 and moved.keypoint_vertex_ids.dtype == torch.int64
    vertices, joints = skin_pose(moved, *random_pose(1, torch.float64))
    assert vertices.dtype == joints.dtype == wholebody_keypoints(moved, vertices, joints).dtype == torch.float64
    meta = body.to("meta")
    assert all(t.device.type == "meta" for t in vars(meta).values() if isinstance(t, torch.Tensor))


def test_rest_pose_is_a_t_pose_in_the_stated_axes(body):
    joint = {name: body.joint_template[index] for name, index in JOINT_INDEX.items()}
    assert joint["head"][1] > joint["pelvis"][1] > joint["left_ankle"][1]  # y up
    assert joint["left_wrist"][0] > 0.5 and joint["right_wrist"][0] < -0.5  # arms out, left at x > 0
    assert joint["left_foot"][2] > joint["left_ankle"][2] + 0.05  # toes forward: facing +z
    height = body.v_template[:, 1].max() - body.v_template[:, 1].min()
    assert 1.5 < height < 1.9


def test_keypoints_are_where_their_names_mean(body):
    vertices, joints = skin(body, torch.zeros(10), torch.eye(3).expand(55, 3, 3), torch.zeros(3))
    points = dict(zip(KEYPOINT_NAMES, wholebody_keypoints(body, vertices, joints), strict=True))
    for name, point in points.items():
        if name.startswith("left"):
            mirrored = points[name.replace("left", "right", 1)] * torch.tensor([-1.0, 1, 1])
            assert point[0] > 0, name
            torch.testing.assert_close(point, mirrored, atol=0.02, rtol=0)
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert (points[f"left_{name}"] - joints[JOINT_INDEX[f"left_{name}"]]).norm() < 0.08, name
    assert points["nose"][2] > points["left_ear"][2] and points["nose"][1] > points["left_shoulder"][1]
    assert points["left_big_toe"][2] > points["left_heel"][2] + 0.15
    assert points["left_hand_middle4"][0] > points["left_hand_middle1"][0] > points["left_hand_wrist"][0]
    chin, brow = points["face_8"], points["face_27"]
    assert brow[1] > chin[1] and points["face_0"][0] < 0 < points["face_16"][0]  # The jaw line starts at the right ear.


@pytest.mark.parametrize("variant", ["mid", "light", "closed"])
def test_variants_have_the_same_betas_and_joints(body, variant):
    other = load_bundled_body(variant)
    betas, _, _, expression = random_pose(50)
    gap = (rest_joints(other, betas, expression) - rest_joints(body, betas, expression)).norm(dim=-1)
    assert gap.max() < 0.012 and gap.mean() < 1e-3
    points = [wholebody_keypoints(b, *skin_pose(b, *random_pose(2))) for b in (body, other)]
    assert (points[0] - points[1])[:, :23].norm(dim=-1).max() < 0.02


def test_parents_stand_before_their_children():
    assert PARENTS[0] == -1 and all(parent < joint for joint, parent in enumerate(PARENTS))
    for joint, parent in enumerate(PARENTS[1:], start=1):
        side = JOINT_NAMES[joint].split("_")[0]
        if side in ("left", "right") and JOINT_NAMES[parent].split("_")[0] in ("left", "right"):
            assert JOINT_NAMES[parent].startswith(side)
