"""A stand-in with the layout of an SMPL-X file: its shapes, dtypes and pickled extras, none of its content."""

import pickle
import zipfile

import numpy as np
import pytest
import torch
from smplx_reference import smplx_output

from closemesh.body.loading import load_body
from closemesh.body.skeleton import JOINT_INDEX, PARENTS
from closemesh.body.skinning import skin, wholebody_keypoints
from closemesh.core.errors import ModelFileError
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.weights.locate import find_model

V, F = 10475, 20908


def stand_in(num_directions: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    regressor = np.zeros((55, V))
    regressor[np.arange(55)[:, None], rng.integers(0, V, (55, 8))] = 1 / 8
    weights = rng.random((V, 55)) ** 8
    tables = {
        "v_template": rng.normal(0, 0.4, (V, 3)),
        "shapedirs": rng.normal(0, 0.01, (V, 3, num_directions)),
        "posedirs": rng.normal(0, 0.002, (V, 3, 486)).astype(np.float32),
        "J_regressor": regressor,
        "weights": weights / weights.sum(1, keepdims=True),
        "f": rng.integers(0, V, (F, 3)).astype(np.uint32),
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(55)], dtype=np.uint32),
        "lmk_faces_idx": rng.integers(0, F, 51),
        "lmk_bary_coords": rng.dirichlet(np.ones(3), 51),
        "dynamic_lmk_faces_idx": rng.integers(0, F, (79, 17)),
        "dynamic_lmk_bary_coords": rng.dirichlet(np.ones(3), (79, 17)),
        "vt": rng.random((11313, 2)),
        "ft": rng.integers(0, 11313, (F, 3)),
    }
    for side in "lr":
        tables[f"hands_mean{side}"] = rng.normal(0, 0.2, 45)
        tables[f"hands_components{side}"] = rng.normal(0, 0.2, (45, 45))
        tables[f"hands_coeffs{side}"] = rng.normal(0, 0.2, (100, 45))
    extras = {name: np.array({"Head": 15}, dtype=object) for name in ("joint2num", "part2num")}
    return tables | extras | {"allow_pickle": np.array(True)}


@pytest.fixture(scope="module", params=[400, 20], ids=["300 + 100", "10 + 10"])
def licensed_file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("smplx") / "SMPLX_NEUTRAL.npz"
    np.savez(path, **stand_in(request.param))
    return path


def test_skin_equals_smplx_with_pose_correctives_and_expressions(licensed_file):
    body = load_body(licensed_file)
    assert body.name == "smplx/SMPLX_NEUTRAL" and not body.is_bundled
    assert (body.num_betas, body.num_expressions) == (10, 10)
    assert body.pose_dirs is not None
    generator = torch.Generator().manual_seed(0)
    betas, expression = (torch.randn(2, 10, generator=generator) for _ in range(2))
    pose, transl = 0.4 * torch.randn(2, 55, 3, generator=generator), torch.randn(2, 3, generator=generator)
    expected = smplx_output(licensed_file, betas, pose, transl, expression)
    vertices, joints = skin(body, betas, axis_angle_to_matrix(pose), transl, expression)
    torch.testing.assert_close(vertices, expected.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(joints, expected.joints[:, :55], atol=1e-5, rtol=0)
    points = wholebody_keypoints(body, vertices, joints)
    torch.testing.assert_close(points[:, 5], joints[:, JOINT_INDEX["left_shoulder"]])
    torch.testing.assert_close(points[:, 23 + 17 : 23 + 68], expected.joints[:, 76 : 76 + 51], atol=1e-5, rtol=0)
    # `smplx` joints 55-75: nose, eyes, ears, feet and finger tips taken from vertices known by name.
    torch.testing.assert_close(points[:, 0], expected.joints[:, 55])
    torch.testing.assert_close(points[:, 17:23], expected.joints[:, 60:66])


def test_relaxed_hands_are_read(licensed_file):
    with np.load(licensed_file) as file:
        torch.testing.assert_close(
            load_body(licensed_file).hand_mean[1].flatten(), torch.as_tensor(file["hands_meanr"], dtype=torch.float32)
        )


def fault(path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load_body(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def save(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_smpl_file_is_refused_with_its_joint_count(tmp_path):
    smpl = {
        "v_template": np.zeros((6890, 3)),
        "shapedirs": np.zeros((6890, 3, 10)),
        "J_regressor": np.zeros((24, 6890)),
        "weights": np.zeros((6890, 24)),
        "f": np.zeros((13776, 3), int),
    }
    assert "24 joints instead of 55" in fault(save(tmp_path / "SMPL_NEUTRAL.npz", **smpl))


def test_motion_file_is_refused(tmp_path):
    assert "has no v_template" in fault(save(tmp_path / "motion.npz", poses=np.zeros((10, 165))))


def test_other_mesh_with_55_joints_is_refused(tmp_path):
    arrays = {
        name: array[:9000] for name, array in stand_in(20).items() if name in ("v_template", "shapedirs", "weights")
    }
    path = save(tmp_path / "a.npz", **arrays, J_regressor=np.zeros((55, 9000)), f=np.zeros((4, 3), int))
    assert "9000 vertices instead of 10475" in fault(path)


def test_arrays_that_do_not_fit_are_refused(tmp_path):
    tables = stand_in(20)
    tables["weights"] = tables["weights"][:-5]
    assert "do not fit" in fault(save(tmp_path / "a.npz", **tables))


def test_text_file_named_npz_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    path.write_text("<html>please log in</html>")
    assert "not an .npz file" in fault(path)


def test_truncated_file_is_refused(tmp_path):
    whole = find_model("open_body/open_body_light.npz").read_bytes()
    path = tmp_path / "a.npz"
    path.write_bytes(whole[: len(whole) // 2])
    assert "cut short" in fault(path)


def test_damaged_file_is_refused(tmp_path):
    path = save(tmp_path / "a.npz", **{k: v for k, v in stand_in(20).items() if k in ("v_template", "shapedirs")})
    whole = bytearray(path.read_bytes())
    whole[2000:4000] = bytes(2000)
    path.write_bytes(whole)
    assert "damaged" in fault(path)


def test_pickle_is_never_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / "SMPLX_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps(Bomb()))
    assert "asks for" in fault(path)
    among = tmp_path / "SMPLX_NEUTRAL.npz"
    np.savez(among, **{**stand_in(20), "joint2num": np.array([Bomb()], dtype=object)})
    assert load_body(among).name == "smplx/SMPLX_NEUTRAL"
    inside = tmp_path / "a.npz"
    with zipfile.ZipFile(inside, "w") as file:
        file.writestr("v_template.npy", pickle.dumps(Bomb()))
    fault(inside)
    assert not (tmp_path / "ran").exists()


def test_missing_file_is_refused(tmp_path):
    assert "not found" in fault(tmp_path / "nowhere.npz")


def test_missing_package_says_how_to_get_it(licensed_file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "smplx", None)
    with pytest.raises(ModelFileError, match=r"pip install 'closemesh\[smplx\]'"):
        load_body(licensed_file)


def test_open_body_given_as_a_file_needs_no_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "smplx", None)
    body = load_body(find_model("open_body/open_body_light.npz"))
    assert body.is_bundled and body.name == "closemesh_open/light"
    monkeypatch.setenv("CLOSEMESH_BODY_MODEL", str(find_model("open_body/open_body_mid.npz")))
    assert load_body().name == "closemesh_open/mid"
