"""Repeated detections: real networks on changed frames of the bundled clip, and the commands on stored detections."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from test_noise_fit import made_up
from typer.testing import CliRunner

from closemesh.cli.keypoint_noise import _clips_and_people
from closemesh.cli.main import app
from closemesh.config.schema import ClipConfig
from closemesh.core.output_folder import claim_folder
from closemesh.core.records import load_record, save_record
from closemesh.lab.simulation.detector_errors import load_detector_errors
from closemesh.lab.simulation.real_noise import (
    NETWORKS,
    RepeatedKeypoints,
    RepeatedNetworks,
    View,
    random_crop,
    with_fusion,
)
from closemesh.perception.keypoints.topdown import MediaPipeDetector
from closemesh.video import open_clip, read_frames
from closemesh.weights.locate import find_model
from closemesh.weights.registry import DEMO_CLIP


@pytest.fixture(scope="module")
def frame():
    """A frame of the bundled clip and the people in it."""
    clip = open_clip(find_model(DEMO_CLIP), ClipConfig(end=0.1))
    image = next(iter(read_frames(clip)))
    people = sorted(MediaPipeDetector("full").detect(image, 384), key=lambda person: -person.area)[:1]
    return image, people


@pytest.fixture(scope="module")
def networks() -> RepeatedNetworks:
    return RepeatedNetworks()


@pytest.mark.parametrize("view", [View(mirrored=True), View(scale=1.1, angle=6, shift=(0.03, -0.02)), View(blur=0.003)])
def test_keypoints_of_a_changed_frame_are_those_of_the_frame(frame, networks: RepeatedNetworks, view: View) -> None:
    image, people = frame
    plain, changed = (networks.keypoints(image, people, one)[0] for one in (View(), view))
    for n in range(3):
        certain = np.nan_to_num(np.minimum(plain[n, :, 2], changed[n, :, 2])) > 0.6
        assert certain.sum() >= 8, NETWORKS[n]
        distance = np.linalg.norm(plain[n, certain, :2] - changed[n, certain, :2], axis=-1) / people[0].diagonal
        assert np.median(distance) < 0.02 and (distance < 0.1).mean() > 0.8, NETWORKS[n]


def test_people_in_a_cut_frame_have_its_pixels_and_keep_what_is_inside(frame, networks: RepeatedNetworks) -> None:
    image, people = frame
    height, width = image.shape[:2]
    low, high = people[0].box[[1, 3]]
    crop = np.array([100.0, 0.0, width, round(low + 0.6 * (high - low))])
    whole, cut = networks.keypoints(image, people, View())[0], networks.cropped_keypoints(image, people, crop)[0]
    trunk = [5, 6, 11, 12]
    distance = np.linalg.norm(whole[2, trunk, :2] - cut[2, trunk, :2], axis=-1) / people[0].diagonal
    assert np.nanmedian(distance) < 0.05
    crops = [random_crop(people, (width, height), np.random.default_rng(seed)) for seed in range(40)]
    assert all(((c[:2] >= 0) & (c[2:] <= (width, height)) & (c[2:] > c[:2])).all() for c in crops)
    assert np.mean([c[3] < height for c in crops]) == pytest.approx(0.6, abs=0.2)


def test_fusion_is_the_mean_where_both_agree_and_stands_alone_in_cut_frames() -> None:
    clip = with_fusion(made_up(0))
    both = clip.keypoints[:, :, 0, [0, 2], :17, :2].mean(2)
    np.testing.assert_allclose(clip.keypoints[:, :, 0, 3, :17, :2], both, atol=1e-6)
    np.testing.assert_allclose(clip.keypoints[:, :, 0, 3, 17, :2], clip.keypoints[:, :, 0, 2, 17, :2])
    assert np.isfinite(clip.cropped[:, :, 3, 0]).all()


def test_the_commands_measure_and_compare_stored_detections(tmp_path) -> None:
    out = tmp_path / "noise"
    claim_folder(out)
    for seed in (0, 1):
        save_record(out / f"clip_{seed}.npz", replace(made_up(seed), name=f"clip_{seed}"))
    assert load_record(out / "clip_0.npz", RepeatedKeypoints).fps == 30
    clips = [f"{tmp_path / 'clip_0.mp4'}=0,1", str(tmp_path / "clip_1.mp4")]
    assert _clips_and_people(clips)[1] == {"clip_0": [0, 1]}
    result = CliRunner().invoke(app, ["train", "keypoint-noise", *clips, "-o", str(out)])
    assert result.exit_code == 0, result.output
    values = json.loads((out / "keypoint_noise.json").read_text())
    assert values["statistics"]["knee"]["core"][2] == pytest.approx(1.5 / 540, rel=0.2)
    assert (out / "keypoint_noise.toml").exists()
    assert float(load_detector_errors(out / "detector_errors.npz").partner_confusion[9]) == 1
    found = tmp_path / "lines.json"
    command = ["benchmark", "detections", "--real", str(out), "--videos", "2", "--json", str(found)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    lines = json.loads(found.read_text())["lines"]
    knee = next(line for line in lines if line["real"]["joint"] == "knee" and not line["real"]["near"])
    assert 0 < knee["simulated"]["disagreement"] < 0.1 and 0 < knee["real"]["jitter"] < 0.01
    neither = CliRunner().invoke(app, ["benchmark", "detections"])
    assert neither.exit_code != 0 and "give either --data or --real" in neither.output
