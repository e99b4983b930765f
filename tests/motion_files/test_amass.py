"""AMASS-style files: layouts, the frame they speak in, where the pelvis is, and faulty ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from known_scenes import KnownScene

from closemesh.body.loading import load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.skinning import posed_joints
from closemesh.core.errors import InputError
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.motion_files.amass import read_amass, write_amass
from closemesh.motion_files.sequence import MotionSequence, to_body_motion
from closemesh.output.people import write_people

FRAMES = 5


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_bundled_body("light")


def as_smplx(body: BodyModel) -> BodyModel:
    """The same tensors under the name of an SMPL-X body."""
    return replace(body, name="smplx/SMPLX_NEUTRAL")


def write_smplh(path: Path, **changes: object) -> dict[str, np.ndarray]:
    """A file with the keys of AMASS's SMPL+H release."""
    rng = np.random.default_rng(0)
    arrays = {
        "poses": 0.3 * rng.normal(size=(FRAMES, 156)),
        "trans": rng.normal(size=(FRAMES, 3)),
        "betas": rng.normal(size=16),
        "dmpls": np.zeros((FRAMES, 8)),
        "gender": np.array(b"female"),
        "mocap_framerate": np.array(120.0),
    } | changes
    stored = {name: np.asarray(value) for name, value in arrays.items() if value is not None}
    np.savez(path, **stored)  # type: ignore[arg-type]
    return {name: np.asarray(value) for name, value in arrays.items()}


def joints_on(sequence: MotionSequence, body: BodyModel) -> np.ndarray:
    motion = to_body_motion(sequence, body)
    return posed_joints(body, *(torch.as_tensor(x) for x in (motion.betas, motion.rotations, motion.transl))).numpy()


def test_a_file_with_z_up_stands_upright_with_y_up(tmp_path: Path) -> None:
    # In AMASS an upright person's root turns the y-up body by 90 degrees about x; feet on the floor at z = 0.
    poses = np.zeros((FRAMES, 156))
    poses[:, 0] = np.pi / 2
    trans = np.tile([0.5, -2.0, 1.2], (FRAMES, 1))
    write_smplh(tmp_path / "a.npz", poses=poses, trans=trans)
    sequence = read_amass(tmp_path / "a.npz")
    np.testing.assert_allclose(sequence.rotations[0, 0, 0], np.eye(3), atol=1e-6)
    # The female mean rests its pelvis at (-0.0009, -0.2114, 0.0278), in the file's frame.
    np.testing.assert_allclose(sequence.pelvis[0, 0], [0.4991, 1.2278, 2.2114], atol=1e-4)
    assert sequence.fps == 120 and sequence.body_model == "smplh/SMPLH_FEMALE" and sequence.betas is not None
    assert sequence.betas.shape == (1, 16)
    assert (
        not sequence.joint_valid[0, 22:25].any()
        and not sequence.joint_valid[0, 25:].any()
        and sequence.joint_valid[0, :22].all()
    )


def test_hands_of_smplh_stand_behind_the_body_and_those_of_smplx_behind_the_face(tmp_path: Path) -> None:
    arrays = write_smplh(tmp_path / "h.npz")
    wide = np.zeros((FRAMES, 165))
    wide[:, :66], wide[:, 75:] = arrays["poses"][:, :66], arrays["poses"][:, 66:]
    write_smplh(tmp_path / "x.npz", poses=wide, surface_model_type="smplx")
    split = {"root_orient": wide[:, :3], "pose_body": wide[:, 3:66], "pose_hand": wide[:, 75:], "poses": None}
    write_smplh(tmp_path / "split.npz", **split)
    of_h, of_x, of_split = (read_amass(tmp_path / f"{name}.npz") for name in ("h", "x", "split"))
    np.testing.assert_allclose(of_h.rotations, of_x.rotations, atol=1e-6)
    np.testing.assert_array_equal(of_h.rotations, of_split.rotations)
    left_index = axis_angle_to_matrix(torch.as_tensor(arrays["poses"][:, 66:69])).numpy()
    np.testing.assert_allclose(of_h.rotations[:, 0, 25], left_index, atol=1e-6)
    assert of_h.joint_valid[0, 25:].all() and not of_x.joint_valid[0, 22:25].any()
    assert of_x.body_model == "smplx/SMPLX_FEMALE"
    assert not np.allclose(of_x.pelvis, of_h.pelvis)  # SMPL-X rests elsewhere.


@pytest.mark.parametrize("smplx", [False, True])
def test_what_is_written_is_read_with_joints_in_place(tmp_path: Path, body: BodyModel, smplx: bool) -> None:
    body = as_smplx(body) if smplx else body
    write_smplh(tmp_path / "a.npz")
    read = read_amass(tmp_path / "a.npz")
    sequence = replace(read, betas=np.ones((1, 10), np.float32), body_model=body.name)
    write_amass(tmp_path / "b.npz", sequence, body)
    again = read_amass(tmp_path / "b.npz", body)
    np.testing.assert_allclose(joints_on(again, body), joints_on(sequence, body), atol=1e-5)
    with np.load(tmp_path / "b.npz") as file:
        assert file["surface_model_type"] == ("smplx" if smplx else "closemesh_open")
        assert ("body_model" in file.files) is not smplx


def test_a_person_file_is_y_up_and_gives_its_own_joints(tmp_path: Path, known_scene: KnownScene) -> None:
    scene = known_scene
    write_people(tmp_path / "people", scene.clip, scene.camera, scene.motion, scene.body)
    sequence = read_amass(tmp_path / "people" / "person_00.npz")
    with np.load(tmp_path / "people" / "person_00.npz") as file:
        joints = file["joints"]
    assert sequence.joints is not None
    np.testing.assert_allclose(sequence.joints[:, 0], joints[:, :22], atol=1e-6)
    np.testing.assert_allclose(joints_on(sequence, scene.body)[:, 0], joints, atol=1e-4)
    assert sequence.pelvis[0, 0, 1] > 0.7  # Upright on the floor.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poses": np.zeros((FRAMES, 99))}, "99 numbers a frame"),
        ({"poses": None}, "no poses and no root_orient"),
        ({"trans": None}, "has no trans"),
        ({"trans": np.zeros((FRAMES, 2))}, r"trans must be \[T, 3\], not \[5, 2\]"),
        ({"trans": np.zeros((4, 3))}, "differ in their number of frames"),
        ({"poses": np.full((FRAMES, 156), np.inf)}, "poses holds numbers that are not finite"),
        ({"mocap_framerate": None}, "no mocap_frame_rate"),
        ({"mocap_framerate": 0.0}, "above 0"),
        ({"poses": np.array([[None]])}, "bad.npz"),
        ({"poses": np.zeros((FRAMES, 156), [("a", "<f4")])}, "neither numbers nor text"),
        ({"trans": np.full((FRAMES, 3), 1e30)}, "trans holds numbers"),
        ({"poses": np.full((FRAMES, 156), 1e300)}, "poses holds numbers"),
        ({"betas": np.zeros((0, 3))}, "betas must be"),
        ({"betas": np.array(1.0)}, "betas must be"),
        ({"betas": np.full(10, 1e30)}, "betas holds numbers"),
        ({"gender": np.zeros(3)}, "gender is"),
        *[({"mocap_framerate": np.array(rate)}, "frame|mocap") for rate in (np.nan, np.inf, 1e-300, 1e9, "x", -1.0)],
        ({"mocap_framerate": np.zeros(0)}, "mocap_framerate"),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path: Path, change: dict, message: str) -> None:
    write_smplh(tmp_path / "bad.npz", **change)
    with pytest.raises(InputError, match=message) as caught:
        read_amass(tmp_path / "bad.npz")
    assert "bad.npz" in str(caught.value)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("text.npz", "missing.npz"):
        with pytest.raises(InputError, match=name):
            read_amass(tmp_path / name)
