"""BVH files of several tools: joint positions, rest poses, units, what is up; and closemesh's own round trip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_files import BIPED, CHEST, MIXAMO, write_foreign_bvh
from scipy.spatial.transform import Rotation

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.skeleton import JOINT_INDEX, PARENTS
from closemesh.body.skinning import posed_joints
from closemesh.core.arrays import Z_UP_TO_Y_UP
from closemesh.core.errors import InputError
from closemesh.lab.datasets.bvh import read_bvh, read_bvh_file, write_bvh
from closemesh.motion_files.sequence import MotionSequence, to_body_motion

FRAMES = 6


@dataclass(frozen=True)
class Known:
    """A made-up motion of the mean body."""

    body: BodyModel
    t_pose: np.ndarray  # [22, 3]
    local: np.ndarray  # [T, 22, 3, 3]
    R_world_joint: np.ndarray  # [T, 22, 3, 3]
    pelvis: np.ndarray  # [T, 3]
    joints: np.ndarray  # [T, 22, 3]


@pytest.fixture(scope="module")
def known() -> Known:
    body, rng = load_bundled_body("light"), np.random.default_rng(3)
    local = Rotation.from_rotvec(0.4 * rng.normal(size=(FRAMES * 22, 3))).as_matrix().reshape(FRAMES, 22, 3, 3)
    pelvis = rng.normal(size=(FRAMES, 3))
    turned, joints, t_pose = local.copy(), np.zeros((FRAMES, 22, 3)), body.joint_template[:22].double().numpy()
    joints[:, 0] = pelvis
    for j, p in enumerate(PARENTS[1:22], start=1):
        turned[:, j] = turned[:, p] @ local[:, j]
        joints[:, j] = joints[:, p] + turned[:, p] @ (t_pose[j] - t_pose[p])
    return Known(body, t_pose, local, turned, pelvis, joints)


def in_t_pose() -> np.ndarray:
    return np.tile(np.eye(3), (22, 1, 1))


def in_a_pose(degrees: float) -> np.ndarray:
    """Arms hanging and legs spread at rest."""
    turns = in_t_pose()
    for side, sign in (("left", 1), ("right", -1)):
        arm = Rotation.from_euler("z", -sign * degrees, degrees=True).as_matrix()
        leg = Rotation.from_euler("z", sign * 20, degrees=True).as_matrix()
        for part in ("shoulder", "elbow", "wrist"):
            turns[JOINT_INDEX[f"{side}_{part}"]] = arm
        for part in ("hip", "knee", "ankle", "foot"):
            turns[JOINT_INDEX[f"{side}_{part}"]] = leg
    return turns


def joints_on(sequence: MotionSequence, body: BodyModel) -> np.ndarray:
    motion = to_body_motion(sequence, body)
    return posed_joints(body, *(torch.as_tensor(x) for x in (motion.betas, motion.rotations, motion.transl))).numpy()


@pytest.mark.parametrize("names", [MIXAMO, BIPED, CHEST], ids=["mixamo", "biped", "chest"])
@pytest.mark.parametrize("arms_down", [None, 45, 88])
def test_foreign_skeletons_give_the_joints_back(
    tmp_path: Path, known: Known, names: dict[str, str], arms_down: float | None
) -> None:
    rest = in_t_pose() if arms_down is None else in_a_pose(arms_down)
    write_foreign_bvh(tmp_path / "a.bvh", names, known.t_pose, known.R_world_joint, known.pelvis, rest)
    sequence = read_bvh(tmp_path / "a.bvh")
    assert sequence.joints is not None and sequence.rest_joints is not None and sequence.fps == 60
    np.testing.assert_allclose(sequence.joints[:, 0], known.joints, atol=1e-4)
    # The shortest way back to the T-pose rolls legs a little, and the feet with them.
    tolerance = 1e-4 if arms_down is None else 3e-3
    np.testing.assert_allclose(joints_on(sequence, known.body)[:, 0, :22], known.joints, atol=tolerance)
    np.testing.assert_allclose(sequence.rest_joints[0], known.t_pose - known.t_pose[0], atol=tolerance)
    assert sequence.joint_valid[0, :22].all() and not sequence.joint_valid[0, 22:].any()
    # Roll about the bones is no more than the small tilt of the T-pose's limbs out of its plane.
    off = Rotation.from_matrix((np.swapaxes(known.local, -1, -2) @ sequence.rotations[:, 0, :22]).reshape(-1, 3, 3))
    assert off.magnitude().max() < (1e-4 if arms_down is None else 0.15)


@pytest.mark.parametrize("unit", [1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45])
def test_units_follow_from_the_size_of_the_skeleton(tmp_path: Path, known: Known, unit: float) -> None:
    arguments = (known.t_pose, known.R_world_joint, known.pelvis, in_t_pose())
    write_foreign_bvh(tmp_path / "a.bvh", MIXAMO, *arguments, order="XYZ", unit=unit)
    np.testing.assert_allclose(read_bvh(tmp_path / "a.bvh").pelvis[:, 0], known.pelvis, atol=1e-4)
    doubled = read_bvh(tmp_path / "a.bvh", meters_per_unit=2 * unit)
    np.testing.assert_allclose(doubled.pelvis[:, 0], 2 * known.pelvis, atol=2e-4)


def test_a_file_with_z_up_is_turned(tmp_path: Path, known: Known) -> None:
    R_zup_yup = Z_UP_TO_Y_UP.T
    rest = R_zup_yup @ in_t_pose()
    turned, pelvis = R_zup_yup @ known.R_world_joint, known.pelvis @ R_zup_yup.T
    write_foreign_bvh(tmp_path / "z.bvh", MIXAMO, known.t_pose, turned, pelvis, rest)
    np.testing.assert_allclose(joints_on(read_bvh(tmp_path / "z.bvh"), known.body)[:, 0, :22], known.joints, atol=1e-3)
    as_it_is = read_bvh(tmp_path / "z.bvh", up="y")
    np.testing.assert_allclose(as_it_is.pelvis[:, 0], pelvis, atol=1e-4)


def test_toes_and_collars_may_be_missing(tmp_path: Path, known: Known) -> None:
    names = {name: other for name, other in CHEST.items() if not name.endswith("foot")}
    write_foreign_bvh(tmp_path / "a.bvh", names, known.t_pose, known.R_world_joint, known.pelvis, in_t_pose())
    sequence = read_bvh(tmp_path / "a.bvh")
    feet = [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]
    assert not sequence.joint_valid[0, feet].any() and sequence.joints is not None
    np.testing.assert_allclose(sequence.joints[:, 0], known.joints, atol=1e-4)  # Rigid on the ankles, as in the truth.


def test_the_rotation_of_one_joint_for_the_whole_spine_is_divided(tmp_path: Path, known: Known) -> None:
    bent = Rotation.from_euler("x", 60, degrees=True).as_matrix()
    turns = in_t_pose()[None].copy()
    above = [j for j in range(22) if j in (3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)]
    turns[:, above] = bent
    path = tmp_path / "a.bvh"
    write_foreign_bvh(path, CHEST, known.t_pose, turns, known.pelvis[:1], in_t_pose())
    lines = path.read_text()
    path.write_text(lines.replace("Chest2", "Other2").replace("Chest3", "Other3"))
    sequence = read_bvh(path)
    angles = Rotation.from_matrix(sequence.rotations[0, 0, [3, 6, 9]]).as_euler("xyz", degrees=True)
    np.testing.assert_allclose(angles, [[20, 0, 0]] * 3, atol=1e-3)


def test_written_files_bring_every_joint_back_within_a_millimetre(tmp_path: Path, known: Known) -> None:
    rng = np.random.default_rng(0)
    rotations = Rotation.from_rotvec(0.5 * rng.normal(size=(FRAMES * 2 * 55, 3))).as_matrix()
    sequence = MotionSequence(
        name="made up",
        fps=29.97,
        rotations=rotations.reshape(FRAMES, 2, 55, 3, 3).astype(np.float32),
        pelvis=rng.normal(size=(FRAMES, 2, 3)).astype(np.float32),
        valid=np.ones((FRAMES, 2), bool),
        joint_valid=np.ones((2, 55), bool),
        betas=rng.normal(size=(2, 10)).astype(np.float32),
        body_model=known.body.name,
    )
    write_bvh(tmp_path / "b.bvh", sequence, known.body, person=1)
    again, truth = read_bvh(tmp_path / "b.bvh"), joints_on(sequence, known.body)[:, 1]
    assert again.joints is not None and again.fps == 29.97 and again.joint_valid.all()
    np.testing.assert_allclose(again.joints[:, 0], truth[:, :22], atol=1e-3)
    on_the_same = to_body_motion(again, known.body, sequence.betas[1:] if sequence.betas is not None else None)
    tensors = (torch.as_tensor(x) for x in (on_the_same.betas, on_the_same.rotations, on_the_same.transl))
    np.testing.assert_allclose(posed_joints(known.body, *tensors)[:, 0], truth, atol=1e-3)


def test_pieces_may_stand_on_one_line_and_names_hold_blanks(tmp_path: Path) -> None:
    text = (
        "HIERARCHY\r\nROOT Bip01 Pelvis { OFFSET 0 1 0 CHANNELS 3 Zrotation Xrotation yrotation\r\n"
        "JOINT Bip01 L Thigh { OFFSET 1 0 0 CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\r\n"
        "End Site { OFFSET 0 -1 0 } } }\r\nMOTION\r\nFrames: 2\r\nFrame Time: .0083333\r\n"
        "1 2 3 4 5 6\r\n7 8 9 1 2 3 4 5 6 7 8 9\r\n"
    )
    (tmp_path / "a.bvh").write_text(text)
    bvh = read_bvh_file(tmp_path / "a.bvh")
    assert [joint.name for joint in bvh.joints] == ["Bip01 Pelvis", "Bip01 L Thigh"]
    assert bvh.joints[1].parent == 0 and bvh.joints[1].end == (0, -1, 0) and len(bvh.joints[1].channels) == 6
    np.testing.assert_array_equal(bvh.values, [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 7, 8, 9]])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("HIERARCHY", "TREE", "no BVH file"),
        ("MOTION", "", "no BVH file"),
        ("  OFFSET", "  OFFST", r"line 4: .*OFFST.* is not understood"),
        ("Zrotation Xrotation", "Zrotation Wrotation", "line 5: .*channels must be"),
        ("Frames: 6", "Frames: 7", "not 7 frames of"),
        ("Frame Time: 0.016666667", "Frame Time: 0", "no frame time above 0"),
        ("Frame Time: 0.016666667", "Frame Time: 1e-9", "frames a second"),
        ("Frames: 6", f"Frames: {'9' * 5000}", "no frames"),
        ("  OFFSET", "  OFFSET nan 0 0 #", "a number is not finite"),
        ("MOTION", "JOINT a\n{\n" * 300 + "MOTION", "deeper than 200"),
        ("mixamorig:LeftArm", "mixamorig:LeftFin", "no joint found for left_shoulder"),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path: Path, known: Known, old: str, new: str, message: str) -> None:
    path = tmp_path / "bad.bvh"
    write_foreign_bvh(path, MIXAMO, known.t_pose, known.R_world_joint, known.pelvis, in_t_pose())
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message) as caught:
        read_bvh(path)
    assert "bad.bvh" in str(caught.value)


def test_a_word_among_the_numbers_is_named_with_its_line(tmp_path: Path, known: Known) -> None:
    path = tmp_path / "bad.bvh"
    write_foreign_bvh(path, MIXAMO, known.t_pose, known.R_world_joint, known.pelvis, in_t_pose())
    lines = path.read_text().splitlines()
    lines[-2] = f"oops {lines[-2]}"
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=f"line {len(lines) - 1}"):
        read_bvh(path)


def test_a_rest_pose_that_does_not_stand_is_refused(tmp_path: Path, known: Known) -> None:
    # Some tools draw every bone along its own x axis, so that legs and trunk rest in the same direction.
    turns = in_t_pose()
    folded = Rotation.from_euler("x", 180, degrees=True).as_matrix()
    for part in ("hip", "knee", "ankle", "foot"):
        turns[[JOINT_INDEX[f"left_{part}"], JOINT_INDEX[f"right_{part}"]]] = folded
    write_foreign_bvh(tmp_path / "a.bvh", MIXAMO, known.t_pose, known.R_world_joint, known.pelvis, turns)
    with pytest.raises(InputError, match="does not stand"):
        read_bvh(tmp_path / "a.bvh")
