"""closemesh's own motion files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from closemesh.body.loading import load_bundled_body
from closemesh.body.skinning import posed_joints
from closemesh.core.errors import InputError
from closemesh.lab.datasets.recording import read_pose_file, write_pose_file
from closemesh.motion_files.sequence import from_body_motion, to_body_motion


def write_capture(path: Path, people: int = 2, **changes: object) -> dict[str, np.ndarray]:
    """A file of the form that captured pairs come in."""
    rng = np.random.default_rng(0)
    arrays = {
        "poses": (0.4 * rng.normal(size=(7, people, 22, 3))).astype(np.float16),
        "trans": rng.normal(size=(7, people, 3)).astype(np.float32),
        "offsets": rng.normal(size=(people, 22, 3)).astype(np.float32),
        "valid": np.arange(7 * people).reshape(7, people) != 3,
        "fps": np.int64(30),
    } | changes
    arrays = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez(path, **arrays)
    return arrays


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_capture(tmp_path / "a.npz")
    sequence = read_pose_file(tmp_path / "a.npz")
    write_pose_file(tmp_path / "b.npz", sequence)
    again = read_pose_file(tmp_path / "b.npz")
    np.testing.assert_allclose(again.rotations, sequence.rotations, atol=1e-5)
    np.testing.assert_array_equal(again.pelvis, sequence.pelvis)
    np.testing.assert_array_equal(again.valid, sequence.valid)
    assert again.rest_joints is not None and sequence.rest_joints is not None
    np.testing.assert_allclose(again.rest_joints, sequence.rest_joints, atol=1e-5)
    assert again.fps == 30 and not again.synthetic


def test_the_pelvis_comes_out_where_the_file_says_on_every_shape(tmp_path: Path) -> None:
    trans = write_capture(tmp_path / "a.npz")["trans"]
    sequence, body = read_pose_file(tmp_path / "a.npz"), load_bundled_body("light")
    motion = to_body_motion(sequence, body, np.random.default_rng(1).normal(size=(2, 10)).astype(np.float32))
    tensors = (torch.as_tensor(array) for array in (motion.betas, motion.rotations, motion.transl))
    np.testing.assert_allclose(posed_joints(body, *tensors)[:, :, 0], trans, atol=1e-5)
    back = from_body_motion(motion, body, "a", 30)
    np.testing.assert_allclose(back.pelvis, trans, atol=1e-5)
    np.testing.assert_array_equal(to_body_motion(back, body).betas, motion.betas)


def test_a_single_person_needs_no_axis_of_people(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "one.npz", poses=rng.normal(size=(4, 22, 3)), trans=rng.normal(size=(4, 3)), fps=25)
    sequence = read_pose_file(tmp_path / "one.npz")
    assert sequence.rotations.shape == (4, 1, 55, 3, 3) and sequence.fps == 25 and sequence.valid.all()
    assert sequence.frames(slice(0, 4, 2)).fps == 12.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poses": np.zeros((7, 2, 24, 3))}, r"poses must be \[T, P, 22, 3\]"),
        ({"trans": np.full((7, 2, 3), np.nan)}, "not finite"),
        ({"trans": np.zeros((6, 2, 3))}, r"trans \[T, P, 3\]"),
        ({"trans": np.full((7, 2, 3), 1e30)}, "trans holds numbers"),
        ({"poses": np.zeros((7, 2, 22, 3), complex)}, "poses holds complex128"),
        ({"poses": np.zeros(7, [("a", "<f4")])}, "neither numbers nor text"),
        *[({"fps": np.array(rate)}, "fps is|frames a second") for rate in (np.nan, np.inf, 0, -30, 1e6, "x")],
        ({"valid": np.ones(3)}, "reshape"),
        ({"known": np.ones((2, 3))}, "known must be"),
        ({"betas": np.zeros((1, 10)), "body_model": np.array("a")}, "betas must be"),
        ({"offsets": np.zeros((2, 5, 3))}, "offsets must be"),
    ],
)
def test_a_faulty_file_is_named_with_its_fault(tmp_path: Path, change: dict, message: str) -> None:
    write_capture(tmp_path / "bad.npz", **change)
    with pytest.raises(InputError, match=message) as caught:
        read_pose_file(tmp_path / "bad.npz")
    assert "bad.npz" in str(caught.value)


def test_a_file_without_poses_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "else.npz", trans=np.zeros((3, 3)))
    with pytest.raises(InputError, match="no poses"):
        read_pose_file(tmp_path / "else.npz")
