"""Person files: AMASS names and shapes, and back to the camera frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from closemesh.body.loading import load_bundled_body
from closemesh.core.errors import InputError
from closemesh.output.people import camera_motion, read_people, write_people


def write(dance, folder: Path) -> None:
    write_people(folder, dance.clip, dance.camera, dance.motion, dance.body)


def test_names_and_shapes(dance, tmp_path: Path) -> None:
    write(dance, tmp_path / "people")
    num_frames = len(dance.clip)
    with np.load(tmp_path / "people" / "person_01.npz", allow_pickle=False) as file:
        shapes = {name: file[name].shape for name in file.files}
        whole = np.concatenate([file[n] for n in ("root_orient", "pose_body", "pose_jaw", "pose_eye", "pose_hand")], 1)
        np.testing.assert_array_equal(whole, file["poses"])
        assert file["surface_model_type"] == "closemesh_open"
        assert file["body_model"] == "closemesh_open/light"
        np.testing.assert_array_equal(file["times"], dance.clip.times)
    assert shapes == {
        **dict.fromkeys(["gender", "surface_model_type", "body_model", "body_model_sha256", "mocap_frame_rate"], ()),
        "betas": (10,),
        "trans": (num_frames, 3),
        "root_orient": (num_frames, 3),
        "pose_body": (num_frames, 63),
        "pose_hand": (num_frames, 90),
        "pose_jaw": (num_frames, 3),
        "pose_eye": (num_frames, 6),
        "poses": (num_frames, 165),
        "expression": (num_frames, 10),
        "valid": (num_frames,),
        "confidence": (num_frames,),
        "times": (num_frames,),
        "joints": (num_frames, 55, 3),
    }


def test_only_the_licensed_body_is_called_smplx(dance, tmp_path: Path) -> None:
    licensed = replace(dance.body, name="smplx/SMPLX_NEUTRAL")
    write_people(tmp_path, dance.clip, dance.camera, dance.motion, licensed)
    assert read_people(tmp_path)[0].surface_model_type == "smplx"


def test_gender_is_that_of_the_licensed_body(dance, tmp_path: Path) -> None:
    names = ("closemesh_open/std", "smplx/SMPLX_NEUTRAL", "smplx/SMPLX_FEMALE", "smplx/smplx_male", "smplx/mine")
    genders = []
    for name in names:
        write_people(tmp_path, dance.clip, dance.camera, dance.motion, replace(dance.body, name=name))
        genders.append(read_people(tmp_path)[0].gender)
    assert genders == ["neutral", "neutral", "female", "male", "neutral"]


def test_a_rate_that_is_nearly_whole_is_whole(dance, tmp_path: Path) -> None:
    write_people(tmp_path, replace(dance.clip, fps=29.9990003), dance.camera, dance.motion, dance.body)
    with np.load(tmp_path / "person_00.npz") as person:
        assert int(person["mocap_frame_rate"]) == 30


def test_round_trip_to_the_camera_frame(dance, tmp_path: Path) -> None:
    write(dance, tmp_path)
    people = read_people(tmp_path)
    assert isinstance(people[0].gender, str)
    assert isinstance(people[0].mocap_frame_rate, float)
    motion = camera_motion(people, dance.camera, dance.body)
    np.testing.assert_allclose(motion.transl, dance.motion.transl, atol=1e-5)
    np.testing.assert_allclose(motion.rotations, dance.motion.rotations, atol=1e-5)
    for name in ("betas", "expression", "valid", "confidence"):
        np.testing.assert_array_equal(getattr(motion, name), getattr(dance.motion, name))


def test_a_single_file(dance, tmp_path: Path) -> None:
    write(dance, tmp_path)
    (person,) = read_people(tmp_path / "person_01.npz")
    np.testing.assert_array_equal(person.betas, dance.motion.betas[1])


def test_another_body_is_rejected(dance, tmp_path: Path) -> None:
    write(dance, tmp_path)
    with pytest.raises(InputError, match="belong to the body closemesh_open/light, not to closemesh_open/mid"):
        camera_motion(read_people(tmp_path), dance.camera, load_bundled_body("mid"))


def test_results_of_two_runs_are_not_mixed(dance, make_dance, tmp_path: Path) -> None:
    write(dance, tmp_path)
    with pytest.raises(InputError, match="differ in length"):
        camera_motion(read_people(tmp_path), make_dance(num_frames=9).camera, dance.body)


def test_an_empty_folder_and_a_foreign_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no person_00"):
        read_people(tmp_path)
    np.savez(tmp_path / "person_00.npz", poses=np.zeros((3, 165)))
    with pytest.raises(InputError, match="it has no gender"):
        read_people(tmp_path)
