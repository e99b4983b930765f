"""YOLO on rendered people that it is trained on here, through the code that reads real files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from rendered_people import FRAMES, RenderedPeople

from closemesh.config.schema import ClipConfig, ObserveConfig
from closemesh.core.errors import ModelFileError
from closemesh.core.progress import NullProgress
from closemesh.perception.detectors import person_detectors as yolo
from closemesh.perception.detectors.onnx_runtime import letterbox, padded_size
from closemesh.perception.detectors.ultralytics_backend import SamNetwork, YoloNetwork
from closemesh.perception.observe import observe
from closemesh.perception.segmentation import mask_models as yolo_masks
from closemesh.perception.segmentation.label_images import label_image
from closemesh.perception.tracking.similarity import keypoint_nms
from closemesh.video import open_clip

pytest.importorskip("ultralytics")
from trained_yolo import SIDE

CPU = torch.device("cpu")


@pytest.fixture
def pose_file(yolo_folder: Path) -> Path:
    return yolo_folder / "ultralytics" / "yolo26n-pose.pt"


@pytest.fixture
def mask_file(yolo_folder: Path) -> Path:
    return yolo_folder / "ultralytics" / "yolo26n-seg.pt"


@pytest.fixture(autouse=True)
def training_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images have the size of the training images."""
    monkeypatch.setattr(yolo, "_YOLO_SCALE", SIDE / 384)
    monkeypatch.setattr(yolo_masks, "_LONG_SIDE", SIDE)


def test_both_people_are_found_where_they_are(people: RenderedPeople, pose_file: Path) -> None:
    found = keypoint_nms(yolo.YoloPose(pose_file, CPU).detect(people.images[0], 384))
    found = sorted(found, key=lambda d: -d.score)[:2]
    found.sort(key=lambda d: d.box[0])
    for person, detection in enumerate(found):
        miss = np.linalg.norm(detection.keypoints[:, :2] - people.keypoints[0, person, :17], axis=1)
        assert np.median(miss) < 15, "of 270 pixels"
        assert np.abs(detection.box - people.boxes[0, person]).max() < 40
        assert 0.15 <= detection.score <= 1 and detection.keypoints[:, 2].max() <= 1


@pytest.mark.parametrize(("file", "task"), [("yolo26n-pose.pt", "pose"), ("yolo26n-seg.pt", "segment")])
def test_the_same_as_ultralytics_itself(
    people: RenderedPeople, yolo_folder: Path, file: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an image that needs neither scaling nor padding."""
    # The predictor of ultralytics imports torchvision, which may not match this torch; it has its own equivalent.
    from ultralytics.utils.nms import TorchNMS

    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(ops=SimpleNamespace(nms=TorchNMS.nms)))
    path = yolo_folder / "ultralytics" / file
    scale = SIDE / 640
    image = letterbox(people.images[0], scale, padded_size(people.images[0], scale, 32))
    rows, _ = YoloNetwork(path, CPU, task).run(yolo.preprocess(image, 1.0), 0.05)
    from ultralytics import YOLO

    options = {"imgsz": image.shape[:2], "conf": 0.05, "iou": 0.8, "classes": [0], "max_det": 30}
    (result,) = YOLO(path)(image[..., ::-1], **options, verbose=False)
    assert len(rows) == len(result.boxes) > 0
    np.testing.assert_allclose(rows[:, :4], result.boxes.xyxy.numpy(), atol=0.05)
    np.testing.assert_allclose(rows[:, 4], result.boxes.conf.numpy(), atol=1e-3)
    if task == "pose":
        np.testing.assert_allclose(rows[:, 6:].reshape(-1, 17, 3)[..., :2], result.keypoints.xy.numpy(), atol=0.05)


def test_each_mask_belongs_to_the_right_person(people: RenderedPeople, mask_file: Path) -> None:
    new = yolo_masks.YoloMasks(mask_file, CPU).refine_masks(people.images[0], people.estimates())
    assert min(people.agreement(label_image(people.images[0], new).labels)) > 0.55
    absent = people.estimates()[1].detection.translated(np.array([900.0, 0]))
    old = people.estimates()[1]
    unmatched = yolo_masks.YoloMasks(mask_file, CPU).refine_masks(
        people.images[0], {7: type(old)(7, absent, old.pose, 1.0)}
    )
    assert unmatched[7].pose is old.pose, "a person without a match gets no other person's mask"


def test_the_whole_stage_on_a_video(
    people: RenderedPeople, yolo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` selects the installed networks; feet and 3D keypoints still come from BlazePose."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(_cache_of(yolo_folder, tmp_path)))
    clip = open_clip(people.write(_make_folder(tmp_path / "clip")), ClipConfig())
    progress = NullProgress()
    seen = observe(clip, ObserveConfig(), tmp_path / "masks", progress)
    assert seen.detector == "yolo26n-pose+blazepose-heavy"
    assert progress.notes[0] == "people found by yolo26n-pose+blazepose-heavy, masks by yolo26n-seg"
    assert seen.detected.all() and seen.boxes.shape == (FRAMES, 2, 4)
    order = np.argsort(seen.boxes[0, :, 0])
    miss = np.linalg.norm(seen.keypoints[0, order, :17, :2] - people.keypoints[0, :, :17], axis=-1)
    assert np.median(miss) < 15
    assert (seen.keypoints3d[0, :, 5:17, 3] > 0).sum() > 12
    labels = cv2.imread(str(tmp_path / "masks" / "000000.png"), cv2.IMREAD_UNCHANGED)
    numbered = np.select([labels == order[0] + 1, labels == order[1] + 1], [1, 2], 0)
    assert min(people.agreement(numbered)) > 0.55


def test_damaged_files_are_reported_in_one_line(yolo_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "half.pt").write_bytes((yolo_folder / "ultralytics" / "yolo26n-pose.pt").read_bytes()[:100_000])
    torch.save({"model": {"weight": torch.zeros(3)}}, tmp_path / "other.pt")
    for name in ("half.pt", "other.pt"):
        with pytest.raises(ModelFileError, match=f"{name}.*closemesh download-weights") as caught:
            YoloNetwork(tmp_path / name, CPU, "pose")
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelFileError, match="for 'segment', not for 'pose'"):
        YoloNetwork(yolo_folder / "ultralytics" / "yolo26n-seg.pt", CPU, "pose")


class _Malicious:
    def __reduce__(self):
        return (print, ("code was run",))


def test_a_file_that_carries_code_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"model": _Malicious()}, tmp_path / "malicious.pt")
    with pytest.raises(ModelFileError):
        YoloNetwork(tmp_path / "malicious.pt", CPU, "pose")
    assert "code was run" not in capsys.readouterr().out


def test_sam_files_with_code_or_without_end_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for model in (_Malicious(), {"a": torch.ones(1).expand(10**6, 3000)}, {"a": torch.zeros(3)}):
        torch.save({"model": model}, tmp_path / "sam2.1_t.pt")
        with pytest.raises(ModelFileError, match=r"sam2\.1_t\.pt.*closemesh download-weights"):
            SamNetwork(tmp_path / "sam2.1_t.pt", CPU)
    assert "code was run" not in capsys.readouterr().out


def test_weights_that_repeat_without_end_are_refused(tmp_path: Path) -> None:
    network = torch.nn.Linear(2, 2)
    network.weight.data = torch.ones(1).expand(10**6, 3000)
    torch.save({"model": network}, tmp_path / "repeated.pt")
    with pytest.raises(ModelFileError, match="repeated"):
        YoloNetwork(tmp_path / "repeated.pt", CPU, "pose")


_WITHOUT_NETWORK = """
import os, socket, sys, cv2, torch
from pathlib import Path

def refuse(*args, **kwargs):
    raise AssertionError("accessed the network")

socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
import closemesh.perception.model_selection
assert "ultralytics" not in sys.modules, "imported before use"
threads = cv2.getNumThreads()
from closemesh.perception.detectors.ultralytics_backend import YoloNetwork
YoloNetwork(Path(sys.argv[1]), torch.device("cpu"), "pose")
assert cv2.getNumThreads() == threads and "OMP_NUM_THREADS" not in os.environ
from ultralytics import settings
assert settings["sync"] is False and "torchvision" not in sys.modules
"""


def test_importing_accesses_no_network_and_changes_no_settings(pose_file: Path, tmp_path: Path) -> None:
    """In a new process: the first import would access the network."""
    environment = {"PATH": "", "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", _WITHOUT_NETWORK, str(pose_file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == ""


def _make_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _cache_of(models: Path, tmp_path: Path) -> Path:
    """The user's cache, with these models in it."""
    (tmp_path / "cache" / "closemesh").mkdir(parents=True)
    (tmp_path / "cache" / "closemesh" / "models").symlink_to(models)
    return tmp_path / "cache"
