"""The benchmark on tiny data sets of the real layouts, whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from dataset_files import CHI3D_CAMERAS, HI4D_CAMERAS, KnownPair, View, write_chi3d, write_hi4d, write_threedpw
from known_scenes import FOCAL, SIZE, KnownScene
from scipy.spatial.transform import Rotation

from closemesh.body.motion import motion_joints
from closemesh.config.schema import Config, InitialiseConfig, OptimiseConfig
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.lab.evaluation.dataset_benchmark import COLUMNS, benchmark_dataset
from closemesh.lab.evaluation.dataset_items import PERSON_PA, PUBLISHED
from closemesh.lab.evaluation.joint_metrics import METRIC
from closemesh.pipeline import stages
from closemesh.structures import AppearanceSummary, PoseUncertainty

FLIP = np.diag([1.0, -1.0, -1.0])
VIEW = View(np.block([[FLIP, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]]), np.eye(3))
EXACT = 0.4  # Millimeters by which the joints of the coarse body, that the truth is, differ from those of the fine one.
QUICK = Config(initialise=InitialiseConfig(iterations=40), optimise=OptimiseConfig(iterations=10))


@pytest.fixture(scope="module")
def view() -> View:
    K = np.array([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1]])
    return replace(VIEW, K=K)


@pytest.fixture(scope="module")
def pair(known_scene: KnownScene) -> KnownPair:
    """The people of the known scene in a world that is their camera's, turned to y up."""
    motion = known_scene.motion
    joints = motion_joints(motion, known_scene.body).astype(np.float64) @ FLIP
    rotations = motion.rotations[:, :, :22].astype(np.float64)
    rotations[:, :, 0] = FLIP @ rotations[:, :, 0]
    pose = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(*rotations.shape[:3], 3)
    palms = joints[:, :, [28, 43]]
    return KnownPair(pose, np.concatenate([joints[:, :, :22], palms], axis=2), np.zeros((2, 10)))


@pytest.fixture
def seen_exactly(monkeypatch: pytest.MonkeyPatch, known_scene: KnownScene) -> None:
    """In place of a detector: the keypoints of the known scene, its people in the other order."""
    observations = known_scene.observations
    names = ("boxes", "keypoints", "sigmas", "keypoints3d", "detected", "track_confidence")
    swapped = replace(observations, **{name: getattr(observations, name)[:, ::-1].copy() for name in names})
    monkeypatch.setattr(stages, "observe", lambda *arguments: swapped)


@pytest.fixture
def perfect_stages(seen_exactly: None, monkeypatch: pytest.MonkeyPatch, known_scene: KnownScene) -> None:
    """In place of the pipeline's stages: the truth, its people in the other order too."""
    motion = known_scene.motion
    names = ("rotations", "transl", "expression", "valid", "confidence")
    swapped = motion.with_pose(**{name: getattr(motion, name)[:, ::-1] for name in names})
    motion, camera = replace(swapped, betas=motion.betas[::-1]), known_scene.camera
    nothing = np.zeros(0, np.float32)
    uncertainty = PoseUncertainty(nothing, nothing, nothing)
    monkeypatch.setattr(stages, "initialise", lambda *given: (camera, motion, uncertainty))
    monkeypatch.setattr(stages, "refine", lambda *given: motion)
    monkeypatch.setattr(stages, "optimise", lambda *given: (camera, motion, AppearanceSummary(float("nan"))))


def write_images(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        cv2.imwrite(str(folder / name), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))


def write_video(path: Path, frames: int) -> None:
    path.parent.mkdir(parents=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 50, SIZE)
    for _ in range(frames):
        writer.write(np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    writer.release()


def test_hi4d(tmp_path: Path, pair: KnownPair, view: View, perfect_stages: None) -> None:
    write_hi4d(tmp_path / "pair23" / "fight23", pair, first=11, view=view)
    names = [f"{number:06d}.jpg" for number in range(11, 23)]
    write_images(tmp_path / "pair23" / "fight23" / "images" / str(HI4D_CAMERAS[0]), names)
    result = benchmark_dataset("hi4d", tmp_path, QUICK, "cpu", NullProgress())
    assert [item.name for item in result.items] == ["pair23_fight23 4"]  # The other camera has no images.
    values = result.ours["optimised"]
    assert set(COLUMNS["hi4d"]) - set(values) == {"MPVPE"}
    np.testing.assert_allclose(list(values.values()), 0, atol=EXACT)  # Bodies a meter apart, so A-PD is 0 too.
    assert result.found == 1 and any("test pairs" in note for note in result.notes)


def test_chi3d(tmp_path: Path, pair: KnownPair, view: View, perfect_stages: None) -> None:
    write_chi3d(tmp_path / "train" / "s03", pair, view=view)
    write_chi3d(tmp_path / "train" / "s02", pair, view=view)  # Is learned from, not tested on.
    for camera in CHI3D_CAMERAS:
        write_video(tmp_path / "train" / "s03" / "videos" / camera / "Hug 1.mp4", 12)
    result = benchmark_dataset("chi3d", tmp_path, QUICK, "cpu", NullProgress(), limit=1)
    assert [item.name for item in result.items] == ["s03_Hug 1 50591643"]
    assert set(result.ours["optimised"]) == set(COLUMNS["chi3d"]) > set(PERSON_PA)
    np.testing.assert_allclose(list(result.ours["optimised"].values()), 0, atol=EXACT)


def test_threedpw_through_the_real_stages(tmp_path: Path, pair: KnownPair, view: View, seen_exactly: None) -> None:
    valid = np.arange(12) < 9
    write_threedpw(tmp_path, pair, valid=valid, view=view)
    write_images(tmp_path / "imageFiles" / "downtown_hug_00", [f"image_{t:05d}.jpg" for t in range(12)])
    result = benchmark_dataset("3dpw", tmp_path, QUICK, "cpu", NullProgress())
    assert result.found == 1 and list(result.ours) == ["initial", "refined", "optimised"]
    for values in result.ours.values():
        assert set(values) == set(COLUMNS["3dpw"])
        assert 0 < values["PA-MPJPE"] <= values["MPJPE"] < 80


def test_a_wrong_truth_is_measured_in_millimeters(
    tmp_path: Path, pair: KnownPair, view: View, perfect_stages: None
) -> None:
    """One person's right wrist moved by 0.28 m is 20 mm of the mean over 14 joints, 10 mm of that over two people."""
    joints = pair.joints.copy()
    joints[:, 1, 21, 2] += 0.28
    write_hi4d(tmp_path / "pair1" / "hug1", replace(pair, joints=joints), view=view)
    write_images(tmp_path / "pair1" / "hug1" / "images" / "4", [f"{number:06d}.jpg" for number in range(11, 23)])
    result = benchmark_dataset("hi4d", tmp_path, QUICK, "cpu", NullProgress())
    values = result.ours["initial"]
    assert values["MPJPE"] == pytest.approx(10, abs=EXACT) and values["Accel"] == pytest.approx(0, abs=EXACT)
    assert values["PA-MPJPE"] > EXACT and EXACT < values["Inter"] < 20


def test_a_person_who_is_not_found_is_reported_and_counts_in_no_mean(
    tmp_path: Path, pair: KnownPair, view: View, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_no_one(*arguments: object) -> None:
        raise InputError("nobody found")

    monkeypatch.setattr(stages, "observe", find_no_one)
    write_threedpw(tmp_path, pair, view=view)
    write_images(tmp_path / "imageFiles" / "downtown_hug_00", [f"image_{t:05d}.jpg" for t in range(12)])
    result = benchmark_dataset("3dpw", tmp_path, QUICK, "cpu", NullProgress())
    assert result.found == 0 and result.ours == {} and result.items[0].stages == {}


def test_faults_are_one_clear_line(tmp_path: Path, pair: KnownPair) -> None:
    with pytest.raises(InputError, match="no data set h36m; there are hi4d, chi3d, 3dpw"):
        benchmark_dataset("h36m", tmp_path, QUICK, "cpu", NullProgress())
    with pytest.raises(InputError, match="nowhere: no such folder"):
        benchmark_dataset("hi4d", tmp_path / "nowhere", QUICK, "cpu", NullProgress())
    for name in PUBLISHED:
        with pytest.raises(InputError, match="holds no recordings; expected is"):
            benchmark_dataset(name, tmp_path, QUICK, "cpu", NullProgress())
    write_hi4d(tmp_path / "pair1" / "hug1", pair)
    with pytest.raises(InputError, match="but no images"):
        benchmark_dataset("hi4d", tmp_path, QUICK, "cpu", NullProgress())


def test_published_values_are_columns_of_the_table() -> None:
    for name, rows in PUBLISHED.items():
        columns = set(COLUMNS[name])
        assert columns <= set(METRIC) | set(PERSON_PA)
        for row in rows:
            assert row.metrics and set(row.metrics) <= columns and row.source
