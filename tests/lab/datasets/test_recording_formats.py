"""Data sets in their own layouts, read back to the motion that they were made of."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_files import K, KnownPair, joints25, known_pair, write_chi3d, write_hi4d, write_threedpw

from closemesh.body.loading import load_bundled_body
from closemesh.core.errors import InputError
from closemesh.lab.datasets.chi3d import chi3d_recordings, read_chi3d
from closemesh.lab.datasets.hi4d import hi4d_recordings, read_hi4d
from closemesh.lab.datasets.interaction_mocap import (
    interhuman_files,
    interx_clips,
    read_harmony4d,
    read_interhuman,
    read_interx,
)
from closemesh.lab.datasets.recording import rotation_to_y_up
from closemesh.lab.datasets.threedpw import read_threedpw, threedpw_files
from closemesh.motion_files.sequence import MotionSequence
from closemesh.motion_files.smpl_parameters import MEAN_REST_PELVIS


@pytest.fixture(scope="module")
def pair() -> KnownPair:
    return known_pair()


def assert_same_motion(sequence: MotionSequence, pair: KnownPair) -> None:
    np.testing.assert_allclose(sequence.rotations[:, :, :22], pair.matrices(), atol=1e-5)
    np.testing.assert_allclose(sequence.pelvis, pair.joints[:, :, 0], atol=1e-5)
    assert sequence.joint_valid[:, :22].all() and not sequence.joint_valid[:, 22:25].any()


def assert_same_camera(T_cam_world: np.ndarray, points_world: np.ndarray, points_cam: np.ndarray) -> None:
    R, t = T_cam_world[..., :3, :3], T_cam_world[..., :3, 3]
    np.testing.assert_allclose(np.einsum("...ij,...j->...i", R, points_world) + t, points_cam, atol=1e-5)


def test_hi4d(tmp_path: Path, pair: KnownPair) -> None:
    folder = tmp_path / "pair23_1" / "fight23"
    write_hi4d(folder, pair)
    (folder / "images" / "4").mkdir(parents=True)
    for number in (9, 10, 11, 12, 14, 15, 16):  # One image lacks, two are of no frame.
        (folder / "images" / "4" / f"{number:06d}.jpg").touch()
    assert hi4d_recordings(tmp_path) == [folder]
    read = read_hi4d(folder)
    assert_same_motion(read.sequence, pair)
    assert read.sequence.joints is not None and read.sequence.fps == 30
    np.testing.assert_allclose(read.sequence.joints, pair.joints[:, :, :22], atol=1e-5)
    assert read.sequence.name == "pair23_1_fight23" and read.contact_frames.tolist() == [1, 3]
    assert read.sequence.body_model == "smpl/SMPL_FEMALE,smpl/SMPL_MALE"
    assert [camera.name for camera in read.cameras] == ["4", "16"]
    np.testing.assert_array_equal(read.cameras[0].K, K)
    assert read.cameras[0].clip_frames.tolist() == [2, 3, -1, 4, 5, 6]
    assert_same_camera(read.cameras[0].T_cam_world, np.array([0, 1.0, 0.5]), np.array([0, 0, 3.0]))


def test_threedpw(tmp_path: Path, pair: KnownPair) -> None:
    valid = np.array([1, 1, 0, 1, 1, 1])
    path = write_threedpw(tmp_path, pair, valid=valid)
    assert threedpw_files(tmp_path) == [path]
    read = read_threedpw(path)
    assert_same_motion(read.sequence, pair)
    assert read.sequence.valid[:, 0].tolist() == [True, True, False, True, True, True]
    (camera,) = read.cameras
    assert camera.clip == tmp_path / "imageFiles" / "downtown_hug_00" and camera.clip_frames.tolist() == [*range(6)]
    assert_same_camera(camera.T_cam_world[3], np.array([0, 1.0, 0.5]), np.array([0, 0, 3.03]))


def test_chi3d(tmp_path: Path, pair: KnownPair) -> None:
    path = write_chi3d(tmp_path / "train" / "s03", pair)
    assert chi3d_recordings(tmp_path) == [path]
    read = read_chi3d(path)
    mean = np.array(MEAN_REST_PELVIS["smplx"]["neutral"])
    np.testing.assert_allclose(read.sequence.rotations[:, :, :22], pair.matrices(), atol=1e-5)
    turned = mean @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]).T  # z up to y up.
    np.testing.assert_allclose(read.sequence.pelvis, pair.joints[:, :, 0] + turned, atol=1e-5)
    assert read.keypoints is not None
    np.testing.assert_allclose(read.keypoints, joints25(pair.joints), atol=1e-6)
    assert read.contact_frames.tolist() == [2] and read.sequence.fps == 50 and read.sequence.name == "s03_Hug 1"
    camera = read.cameras[0]
    assert camera.clip == tmp_path / "train" / "s03" / "videos" / "50591643" / "Hug 1.mp4"
    np.testing.assert_allclose(camera.distortion, [0.01, 0.02, 0.004, 0.005, 0.03])
    assert_same_camera(camera.T_cam_world, np.array([0, 1.0, 0.5]), np.array([0, 0, 3.0]))
    body = replace(load_bundled_body("light"), name="smplx/SMPLX_NEUTRAL")
    assert np.abs(read_chi3d(path, body).sequence.pelvis - read.sequence.pelvis).max() > 1e-3  # Its own pelvis.


def write_interhuman(root: Path, pair: KnownPair, **changes: object) -> Path:
    """motions/7.pkl; transl is the true pelvis less the mean pelvis of SMPL-H at rest, z up."""
    R = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    pose, joints = pair.turned(R)
    data: dict = {"frames": len(pose), "mocap_framerate": 60.0}
    for p, gender in enumerate(("male", "female")):
        data[f"person{p + 1}"] = {
            "trans": joints[:, p, 0] - np.array(MEAN_REST_PELVIS["smplh"][gender]),
            "root_orient": pose[:, p, 0],
            "pose_body": pose[:, p, 1:].reshape(len(pose), 63),
            "betas": pair.betas[p],
            "gender": gender,
        }
    for folder in ("motions", "annots", "split"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "motions" / "7.pkl").write_bytes(pickle.dumps(data | changes))
    (root / "annots" / "7.txt").write_text("two people hug each other.\nthey embrace.\n")
    (root / "split" / "test.txt").write_text("7\n8\n")
    (root / "split" / "train.txt").write_text("9\n")
    return root / "motions" / "7.pkl"


def test_interhuman(tmp_path: Path, pair: KnownPair) -> None:
    path = write_interhuman(tmp_path, pair)
    assert interhuman_files(tmp_path) == interhuman_files(tmp_path, "test") == [path]
    assert interhuman_files(tmp_path, "train") == []
    with pytest.raises(InputError, match=r"val\.txt"):
        interhuman_files(tmp_path, "val")
    sequence = read_interhuman(path)
    assert_same_motion(sequence, pair)
    assert sequence.fps == 60 and sequence.action == "two people hug each other."
    assert sequence.body_model == "smplh/SMPLH_MALE,smplh/SMPLH_FEMALE"


def write_interx(root: Path, pair: KnownPair, **changes: object) -> Path:
    clip = root / "motions" / "G001T000A000R000"
    clip.mkdir(parents=True)
    frames = len(pair.pose)
    for p in range(2):
        arrays = {
            "pose_body": pair.pose[:, p, 1:],
            "pose_lhand": np.full((frames, 15, 3), 0.1),
            "pose_rhand": np.zeros((frames, 15, 3)),
            "root_orient": pair.pose[:, p, 0],
            "trans": pair.joints[:, p, 0] - np.array(MEAN_REST_PELVIS["smplx"]["neutral"]),
            "betas": pair.betas[p][None],
            "gender": np.array("neutral"),
        } | changes
        np.savez(clip / f"P{p + 1}.npz", **arrays)  # type: ignore[arg-type]
    for folder, name, text in (("texts", f"{clip.name}.txt", "One hugs.\n"), ("splits", "test.txt", f"{clip.name}\n")):
        (root / folder).mkdir()
        (root / folder / name).write_text(text)
    return clip


def test_interx(tmp_path: Path, pair: KnownPair) -> None:
    clip = write_interx(tmp_path, pair)
    assert interx_clips(tmp_path) == interx_clips(tmp_path, "test") == [clip]
    sequence = read_interx(clip)
    assert_same_motion(sequence, pair)
    assert sequence.fps == 120 and sequence.action == "One hugs." and sequence.joint_valid[:, 25:].all()
    with pytest.raises(InputError, match=r"train\.txt"):
        interx_clips(tmp_path, "train")


def write_harmony4d(folder: Path, pair: KnownPair, **changes: object) -> Path:
    smpl = folder / "processed_data" / "smpl"
    smpl.mkdir(parents=True)
    for t in range(len(pair.pose)):
        values = {
            f"aria{p + 1:02d}": {
                "global_orient": pair.pose[t, p, 0],
                "body_pose": np.concatenate([pair.pose[t, p, 1:].reshape(-1), np.zeros(6)]),
                "transl": pair.joints[t, p, 0],
                "betas": pair.betas[p],
                "joints": pair.joints[t, p],
            }
            | changes
            for p in range(2)
        }
        np.save(smpl / f"{t + 1:05d}.npy", values, allow_pickle=True)  # type: ignore[arg-type]
    return folder


def test_harmony4d(tmp_path: Path, pair: KnownPair) -> None:
    sequence = read_harmony4d(write_harmony4d(tmp_path / "01_hugging", pair), fps=20)
    assert_same_motion(sequence, pair)
    assert sequence.name == "01_hugging" and sequence.fps == 20


@pytest.mark.parametrize("axis", [(0, 1, 0), (0, 0, 1), (0, 0, -1), (0, -1, 0), (1, 0, 0)])
def test_the_axis_along_which_people_stand_becomes_y(axis: tuple[int, int, int]) -> None:
    lean = 0.4 * np.random.default_rng(0).normal(size=(50, 3))
    R = rotation_to_y_up(np.array(axis) + lean)
    np.testing.assert_array_equal(R @ axis, [0, 1, 0])
    np.testing.assert_allclose(R @ R.T, np.eye(3))
    assert np.linalg.det(R) == pytest.approx(1)


def spoil_npz(path: Path, **changes: object) -> None:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})  # type: ignore[arg-type]


def test_faulty_recordings_of_hi4d(tmp_path: Path, pair: KnownPair) -> None:
    def fault(name: str, file: str, message: str, **changes: object) -> None:
        write_hi4d(tmp_path / name, pair)
        spoil_npz(tmp_path / name / file, **changes)
        with pytest.raises(InputError, match=message):
            read_hi4d(tmp_path / name)

    fault("a", "smpl/000013.npz", r"000013\.npz has no transl", transl=None)
    fault("b", "smpl/000013.npz", r"000013\.npz: body_pose must be \[P, 69\]", body_pose=np.zeros((2, 72)))
    fault("c", "smpl/000013.npz", r"000013\.npz: joints_3d holds numbers", joints_3d=np.full((2, 24, 3), np.nan))
    fault("d", "smpl/000013.npz", r"000013\.npz: has another number", transl=np.zeros((3, 3)))
    fault("g", "smpl/000013.npz", r"000013\.npz: has other shapes", betas=np.zeros((2, 3)))
    fault("h", "smpl/000013.npz", "joints_3d holds numbers beyond", joints_3d=np.full((2, 24, 3), 1e30))
    fault("i", "cameras/rgb_cameras.npz", "differ in their number", ids=np.arange(3))
    fault("j", "meta.npz", r"meta\.npz: contact_ids holds numbers that are not finite", contact_ids=np.array(np.nan))
    write_hi4d(tmp_path / "k", pair)
    (tmp_path / "k" / "smpl" / "000011.npz").rename(tmp_path / "k" / "smpl" / "first.npz")
    with pytest.raises(InputError, match=r"first\.npz is not named by a frame number"):
        read_hi4d(tmp_path / "k")
    fault("e", "cameras/rgb_cameras.npz", r"rgb_cameras\.npz has no intrinsics", intirnsics=None)
    (tmp_path / "f" / "smpl").mkdir(parents=True)
    np.savez(tmp_path / "f" / "meta.npz", start=1)
    with pytest.raises(InputError, match=r"holds no \.npz files"):
        read_hi4d(tmp_path / "f")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trans": None}, "has no trans"),
        ({"poses": [np.zeros((6, 66))] * 2}, r"poses\[0\] must be \[T, 72\]"),
        ({"trans": [np.zeros((6, 3))]}, "trans has 1 people"),
        ({"cam_poses": np.zeros((5, 4, 4))}, "differ in their number of frames"),
        ({"jointPositions": [np.full((6, 72), np.inf)] * 2}, "not finite"),
        ({"poses": 1.5}, "poses is float, not a list"),
        ({"poses": {}}, "poses is a table of names, not a list"),
        ({"poses": []}, "poses has no people"),
        ({"betas": [np.zeros(10)]}, "betas has 1 people"),
        ({"campose_valid": [np.ones(6)]}, "campose_valid has 1 people"),
        ({"campose_valid": [[None] * 6] * 2}, "campose_valid"),
        ({"trans": [np.full((6, 3), 1e30)] * 2, "jointPositions": [np.full((6, 72), 1e30)] * 2}, "beyond 1e"),
        ({"cam_intrinsics": np.zeros((3, 3))}, "focal length of camera phone"),
    ],
)
def test_faulty_sequences_of_threedpw(tmp_path: Path, pair: KnownPair, change: dict, message: str) -> None:
    path = write_threedpw(tmp_path, pair)
    data = {key: value for key, value in (pickle.loads(path.read_bytes()) | change).items() if value is not None}
    path.write_bytes(pickle.dumps(data))
    with pytest.raises(InputError, match=message) as caught:
        read_threedpw(path)
    assert "downtown_hug_00.pkl" in str(caught.value)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("smplx/Hug 1.json", {"betas": None}, "has no betas"),
        ("smplx/Hug 1.json", {"body_pose": None}, "no body_pose"),
        ("smplx/Hug 1.json", {"transl": [[[0, 0, 0]], [[0, 0]]]}, "transl is no array of numbers"),
        ("joints3d_25/Hug 1.json", {"joints3d_25": np.zeros((2, 6, 17, 3)).tolist()}, "joints3d_25 must be"),
        ("joints3d_25/Hug 1.json", {"joints3d_25": np.ones((2, 5, 25, 3)).tolist()}, "has 6 frames"),
        ("camera_parameters/60457274/Hug 1.json", {"extrinsics": None}, "60457274.*has no extrinsics"),
        ("camera_parameters/60457274/Hug 1.json", {"extrinsics": [1]}, "60457274.*extrinsics is a list"),
        ("smplx/Hug 1.json", {"transl": [[]]}, "transl must be"),
        ("smplx/Hug 1.json", {"transl": [[[10**400, 0, 0]] * 6] * 2}, "transl is no array of numbers|transl holds"),
        ("smplx/Hug 1.json", {"global_orient": np.zeros((2, 6, 1, 3, 3)).tolist()}, "no rotations"),
        ("smplx/Hug 1.json", {"betas": np.full((2, 6, 10), 1e30).tolist()}, "betas holds? numbers"),
        ("interaction_contact_signature.json", {"Hug 1": {"fr_id": 1e300}}, "fr_id holds numbers"),
        ("interaction_contact_signature.json", {"Hug 1": {"fr_id": "x"}}, "fr_id"),
        ("interaction_contact_signature.json", {"Hug 1": {"fr_id": 60}}, "fr_id of Hug 1"),
    ],
)
def test_faulty_recordings_of_chi3d(tmp_path: Path, pair: KnownPair, file: str, change: dict, message: str) -> None:
    path = write_chi3d(tmp_path / "s03", pair)
    data = json.loads((tmp_path / "s03" / file).read_text()) | change
    (tmp_path / "s03" / file).write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
    with pytest.raises(InputError, match=message):
        read_chi3d(path)
    (tmp_path / "s03" / file).write_text("{cut")
    with pytest.raises(InputError, match="not as documented"):
        read_chi3d(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *[({"mocap_framerate": rate}, "mocap_framerate") for rate in (0, -1, np.nan, 10**400, "x", {}, [30])],
        ({"mocap_framerate": 1e6}, "frames a second"),
        ({"person2": {"trans": np.zeros((6, 3))}}, "person2 has no root_orient, pose_body"),
        ({"person1": None, "person2": None}, "person1"),
    ],
)
def test_faulty_motions_of_interhuman(tmp_path: Path, pair: KnownPair, change: dict, message: str) -> None:
    path = write_interhuman(tmp_path, pair, **change)
    with pytest.raises(InputError, match=message) as caught:
        read_interhuman(path)
    assert "7.pkl" in str(caught.value)


def test_faulty_clips_of_interx_and_harmony4d(tmp_path: Path, pair: KnownPair) -> None:
    clip = write_interx(tmp_path / "x", pair, pose_lhand=np.zeros((6, 45)))
    with pytest.raises(InputError, match=r"P1\.npz: pose_lhand must be \[T, 15, 3\]"):
        read_interx(clip)
    folder = write_harmony4d(tmp_path / "h", pair, body_pose=np.zeros(63))
    with pytest.raises(InputError, match=r"00001\.npy: aria01\.body_pose must be \[69\]"):
        read_harmony4d(folder, 20)
    for number, joints in enumerate((np.zeros(0), np.zeros((24, 2)), np.array(1.0))):
        with pytest.raises(InputError, match=r"00001\.npy: aria01\.joints must be"):
            read_harmony4d(write_harmony4d(tmp_path / f"j{number}", pair, joints=joints), 20)
    other = write_harmony4d(tmp_path / "o", pair)
    np.save(other / "processed_data" / "smpl" / "00003.npy", {"aria01": {}}, allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"00003\.npy: aria01 has no"):
        read_harmony4d(other, 20)
    with pytest.raises(InputError, match="has no processed_data"):
        read_harmony4d(tmp_path / "x", 20)
