"""The best installed networks are selected; a named missing one is reported with the command that fetches it."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from closemesh.cli.main import app
from closemesh.config.loading import override
from closemesh.config.schema import Config, ObserveConfig, preset_config
from closemesh.core.errors import ModelFileError
from closemesh.perception.model_selection import make_detector, select_models, selection_notes
from closemesh.pipeline.fingerprints import selected_weights
from closemesh.structures import WeightFile
from closemesh.weights.locate import find_model
from closemesh.weights.manifest import read_manifest
from closemesh.weights.manifest import select_downloads as choose_downloads
from closemesh.weights.registry import DEMO_CLIP, FAMILIES, SAM


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, empty; the package counts as installed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    install(monkeypatch, installed=True)
    return tmp_path / "closemesh" / "models"


def install(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    real = importlib.util.find_spec
    spec = real("json") if installed else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: spec if name == "ultralytics" else real(name, *a))


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"a network")


def test_without_downloads_the_bundled_networks_are_used() -> None:
    selection = select_models(ObserveConfig())
    assert selection.files() == {} and selection.name == "mediapipe-heavy"
    assert selection_notes(selection, ObserveConfig()) == ["people found by mediapipe-heavy, masks by blazepose-heavy"]
    assert selection_notes(selection, ObserveConfig(masks=False)) == ["people found by mediapipe-heavy"]


def test_the_smaller_pose_network_has_the_name_in_earlier_results() -> None:
    config = ObserveConfig(pose_network="full")
    assert selection_notes(select_models(config), config) == ["people found by mediapipe, masks by blazepose"]
    assert make_detector(select_models(config), torch.device("cpu")).name == "mediapipe"
    assert preset_config("fast").observe == config and preset_config("best").observe == ObserveConfig()


def test_auto_selects_the_best_of_each_kind(cache: Path) -> None:
    put(cache, "ultralytics/yolo11x-pose.pt", "ultralytics/yolo26s-pose.pt", "ultralytics/yolo26m-seg.pt")
    put(cache, "rtmw/rtmw_dw_l_m_256x192.onnx", "rtmw/rtmw_dw_x_l_256x192.onnx")
    selection = select_models(ObserveConfig())
    assert (
        selection.name == "yolo26s-pose+blazepose-heavy+rtmw_dw_x_l_256x192" and selection.mask_model == "yolo26m-seg"
    )
    put(cache, "sam2/sam2.1_hiera_tiny.pt")
    files = select_models(ObserveConfig()).files()
    assert files["sam2/sam2.1_hiera_tiny.pt"][1] == "Apache-2.0" and "ultralytics/yolo26m-seg.pt" not in files
    put(cache, "ultralytics/sam2.1_l.pt")
    assert select_models(ObserveConfig()).files()["ultralytics/sam2.1_l.pt"][1] == "AGPL-3.0"
    assert files["ultralytics/yolo26s-pose.pt"] == (cache / "ultralytics/yolo26s-pose.pt", "AGPL-3.0")
    assert "sam2/sam2.1_hiera_tiny.pt" not in select_models(ObserveConfig(masks=False)).files()


def test_named_networks_are_selected_and_no_better_ones(cache: Path) -> None:
    put(cache, "ultralytics/yolo26s-pose.pt", "ultralytics/yolo26m-seg.pt", "rtmw/rtmw_dw_x_l_256x192.onnx")
    assert select_models(ObserveConfig(detector="mediapipe", mask_model="mediapipe")).files() == {}
    assert select_models(ObserveConfig(detector="yolo")).whole_body is None
    put(cache, "rtmw/yolox_m_humanart.onnx")
    joined = select_models(ObserveConfig(detector="rtmw"))
    assert joined.pose is not None and joined.yolox is None, "the best person detector goes with it"
    (cache / "ultralytics/yolo26s-pose.pt").unlink()
    assert select_models(ObserveConfig()).name == "yolox_m_humanart+blazepose-heavy+rtmw_dw_x_l_256x192"
    (cache / "rtmw/rtmw_dw_x_l_256x192.onnx").unlink()
    assert select_models(ObserveConfig()).name == "mediapipe-heavy", "boxes alone are not enough"


@pytest.mark.parametrize(
    ("config", "output"),
    [
        (ObserveConfig(detector="yolo"), "download-weights detector --accept-license fetches .*yolo26m-pose.pt"),
        (ObserveConfig(detector="rtmw"), "download-weights wholebody fetches .*rtmw_dw_x_l_256x192.onnx"),
        (ObserveConfig(mask_model="yolo"), "download-weights yolo26m-seg --accept-license fetches .*yolo26m-seg.pt"),
        (ObserveConfig(mask_model="sam"), "download-weights masks fetches sam2/sam2.1_hiera_small.pt"),
    ],
)
def test_a_named_missing_network_is_reported_with_the_command(config: ObserveConfig, output: str) -> None:
    with pytest.raises(ModelFileError, match=output) as caught:
        select_models(config)
    assert "\n" not in str(caught.value)


def test_files_without_the_package_that_runs_them(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, installed=False)
    put(cache, "ultralytics/yolo26m-pose.pt", "sam2/sam2.1_hiera_small.pt")
    selection = select_models(ObserveConfig())
    assert selection.files() == {}
    output = selection_notes(selection, ObserveConfig())[1]
    assert (
        "yolo26m-pose.pt" in output and "sam2.1_hiera_small.pt" in output and "pip install 'closemesh[yolo]'" in output
    )
    with pytest.raises(ModelFileError, match=r"--mask-model sam needs the package ultralytics; pip install"):
        select_models(ObserveConfig(mask_model="sam"))


def test_the_families_are_what_can_be_downloaded() -> None:
    downloads = {file.file: file for file in read_manifest()}
    for family in FAMILIES:
        assert set(family.names) <= set(downloads)
        fetched = choose_downloads(read_manifest(), [family.download])
        assert family.name in {file.file for file in fetched}
        needs = any(file.accept_licence for file in fetched)
        assert needs == ("--accept-license" in family.download_command)
    read = {name for family in FAMILIES for name in family.names}
    unread = {name for name in downloads if name not in read and not name.startswith("smplx/")}
    assert not unread, "every downloaded file is used"


def test_a_run_names_the_files_it_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In scene.json and in the fingerprint of the first stage: another file of the same name gives another result."""
    put(cache, "rtmw/rtmw_dw_x_l_256x192.onnx")
    (file,) = selected_weights(Config())
    assert file == WeightFile("rtmw/rtmw_dw_x_l_256x192.onnx", hashlib.sha256(b"a network").hexdigest(), "Apache-2.0")
    assert selected_weights(override(Config(), {"observe": {"detector": "mediapipe"}})) == ()


def test_info_shows_installed_and_missing_networks(cache: Path) -> None:
    put(cache, "sam2/sam2.1_hiera_tiny.pt")
    output = CliRunner().invoke(app, ["info"]).output
    assert SAM.feature.split()[0] in output and "ultralytics" in output
    assert "download-weights" in output


def test_the_command_ends_with_one_line_and_exit_code_1(tmp_path: Path) -> None:
    clip = str(find_model(DEMO_CLIP))
    done = CliRunner().invoke(app, ["reconstruct", clip, "-o", str(tmp_path / "out"), "--detector", "yolo"])
    assert done.exit_code == 1
    assert "download-weights detector" in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()
