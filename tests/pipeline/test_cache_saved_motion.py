"""Folders that version 0.1.0 wrote: the commands that start from a finished result read them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from finished_result import write_finished_result
from known_scenes import KnownScene
from stand_in_body import write_smplx_stand_in
from typer.testing import CliRunner

from closemesh.body.loading import load_bundled_body
from closemesh.body_transfer import transfer
from closemesh.body_transfer.transfer import TransferSteps
from closemesh.cli.main import app
from closemesh.core.errors import InputError
from closemesh.output.people import read_people
from closemesh.pipeline.cache import load_saved_motion
from closemesh.structures import BodyMotion

MOTIONS = ("initial", "refined", "optimised")


def save_old_record(path: Path, kind: str, plain: dict, **arrays: np.ndarray) -> None:
    """A record as version 0.1.0 wrote it: the header is JSON with type and fields, beside the arrays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, record=np.array(json.dumps({"type": kind, "fields": plain})), **arrays)  # type: ignore[arg-type]


def save_old_camera(path: Path, focal: float, scene: KnownScene) -> None:
    camera = scene.camera
    plain = {
        "focal": focal,
        "centre": list(camera.principal_point),
        "size": list(camera.size),
        "focal_source": "option",
        "floor_found": True,
    }
    save_old_record(path, "Camera", plain, T_cam_world=camera.T_cam_world)


def save_old_motion(path: Path, motion: BodyMotion, shift: float) -> None:
    save_old_record(
        path,
        "BodyMotion",
        {"body_model": motion.body_model},
        betas=motion.betas,
        rotations=motion.rotations,
        transl=motion.transl + np.float32(shift),
        expression=motion.expression,
        valid=motion.valid,
        confidence=motion.confidence,
    )


def write_old_result(out: Path, scene: KnownScene) -> Path:
    """The folder of a finished run with the stages of version 0.1.0."""
    write_finished_result(out, scene.motion, scene.body)
    stages, clip = out / "stages", scene.clip
    for path in stages.rglob("*.npz"):
        path.unlink()
    plain = {"path": "dance.mp4", "sha256": "ab" * 32, "size": list(clip.size), "fps": clip.fps, "focal_px": None}
    save_old_record(stages / "clip.npz", "Clip", plain, frame_indices=clip.frame_indices, times=clip.times)
    save_old_camera(stages / "initialise" / "0.Camera.npz", 900.0, scene)
    save_old_motion(stages / "initialise" / "1.BodyMotion.npz", scene.motion, 0.3)
    save_old_motion(stages / "refine" / "0.BodyMotion.npz", scene.motion, 0.2)
    save_old_camera(stages / "optimise" / "0.Camera.npz", scene.camera.focal, scene)
    save_old_motion(stages / "optimise" / "1.BodyMotion.npz", scene.motion, 0.0)
    return out


@pytest.fixture(scope="module")
def old_result(known_scene: KnownScene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_old_result(tmp_path_factory.mktemp("old") / "out", known_scene)


@pytest.mark.parametrize(("name", "shift"), [("initial", 0.3), ("refined", 0.2), ("optimised", 0.0)])
def test_every_motion_is_read(old_result: Path, known_scene: KnownScene, name: str, shift: float) -> None:
    saved = load_saved_motion(old_result, name)
    np.testing.assert_array_equal(saved.motion.transl, known_scene.motion.transl + np.float32(shift))
    np.testing.assert_array_equal(saved.motion.rotations, known_scene.motion.rotations)
    assert saved.camera.principal_point == known_scene.camera.principal_point
    assert saved.camera.focal == (known_scene.camera.focal if name == "optimised" else 900.0)
    assert saved.clip.path == Path("dance.mp4") and len(saved.clip) == len(known_scene.clip)
    assert saved.body_path is None


@pytest.mark.parametrize("name", MOTIONS)
def test_render_reads_it(old_result: Path, tmp_path: Path, name: str, known_scene: KnownScene) -> None:
    arguments = ["render", str(old_result), "--view", "top", "--stage", name, "--format", "png", "-o", str(tmp_path)]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, ended.output
    assert len(list(tmp_path.glob("*.png"))) == len(known_scene.clip)


def test_describe_reads_it(old_result: Path, tmp_path: Path) -> None:
    file = tmp_path / "descriptions.json"
    ended = CliRunner().invoke(app, ["describe", str(old_result), "-o", str(file)])
    assert ended.exit_code == 0, ended.output
    assert json.loads(file.read_text())["descriptions"]


def test_evaluate_reads_it(old_result: Path) -> None:
    ended = CliRunner().invoke(app, ["evaluate", str(old_result), str(old_result), "--no-meshes"])
    assert ended.exit_code == 0, ended.output
    assert "MPJPE" in ended.output


def test_export_reads_it(known_scene: KnownScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One step of each kind: how near the fit comes is tested in tests/body_transfer.
    monkeypatch.setattr(transfer, "TransferSteps", lambda: TransferSteps(shape=1, pose=1, contact=1))
    body, first = load_bundled_body(), slice(2)  # Results are on the full bundled body; two frames are enough.
    clip = replace(
        known_scene.clip, frame_indices=known_scene.clip.frame_indices[first], times=known_scene.clip.times[first]
    )
    camera = replace(known_scene.camera, T_cam_world=known_scene.camera.T_cam_world[first])
    motion = replace(known_scene.motion.frames(np.arange(2)), body_model=body.name)
    out = write_old_result(tmp_path / "out", replace(known_scene, motion=motion, body=body, clip=clip, camera=camera))
    file, target = write_smplx_stand_in(tmp_path / "SMPLX_NEUTRAL.npz"), tmp_path / "converted"
    ended = CliRunner().invoke(app, ["export", str(out), "--body-model", str(file), "-o", str(target)])
    assert ended.exit_code == 0, ended.output
    saved = load_saved_motion(target, "optimised")
    assert saved.motion.body_model == "smplx/SMPLX_NEUTRAL" and saved.body_path == str(file.resolve())
    np.testing.assert_array_equal(saved.motion.valid, motion.valid)
    assert saved.camera.focal == camera.focal and saved.clip.path == Path("dance.mp4")
    assert len(read_people(target / "people")) == motion.valid.shape[1]


def test_a_folder_without_a_finished_result_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no finished result"):
        load_saved_motion(tmp_path, "optimised")
