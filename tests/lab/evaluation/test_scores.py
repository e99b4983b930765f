"""Whole motions against each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from known_scenes import KnownScene

from closemesh.body.loading import load_bundled_body
from closemesh.lab.evaluation.contact_metrics import measure_meshes
from closemesh.lab.evaluation.joint_metrics import METRIC, METRICS
from closemesh.lab.evaluation.scores import reduce_scores, score_motions

NAMES = [metric.name for metric in METRICS]
TIMED = ("rotations", "transl", "expression", "valid", "confidence")
FRAMES = 5
OF_ITSELF = {metric.name for metric in METRICS if not metric.needs_truth}


@pytest.fixture(scope="module")
def close(known_scene: KnownScene) -> KnownScene:
    """Five frames of the two people, so near that their arms cross."""
    motion = replace(known_scene.motion, **{name: getattr(known_scene.motion, name)[:FRAMES] for name in TIMED})
    transl = motion.transl.copy()
    transl[:, 1] = transl[:, 0] + [0.38, 0, 0.1]
    clip = replace(known_scene.clip, times=known_scene.clip.times[:FRAMES])
    return replace(known_scene, motion=motion.with_pose(transl=transl), clip=clip)


@pytest.fixture(scope="module")
def of_truth(close: KnownScene) -> dict[str, np.ndarray]:
    """Scores of the truth against itself."""
    return score(close, close.motion)


def score(scene: KnownScene, predicted, **options) -> dict[str, np.ndarray]:
    return score_motions(predicted, scene.motion, scene.body, scene.body, scene.clip.times, **options)


def test_the_truth_against_itself(of_truth: dict[str, np.ndarray]) -> None:
    values = reduce_scores(of_truth)
    assert list(values) == NAMES
    for name in set(NAMES) - OF_ITSELF:
        perfect = 100 if METRIC[name].better == "higher" else 0
        assert values[name] == pytest.approx(perfect, abs=1e-3), name
    assert values["depth-max"] >= values["depth-mean"] > 0
    assert values["volume"] > 0


def test_every_metric_has_a_value_per_frame(of_truth: dict[str, np.ndarray]) -> None:
    assert {name: values.shape[0] for name, values in of_truth.items()} == dict.fromkeys(NAMES, FRAMES)
    for name, values in of_truth.items():
        assert values.shape[1:] == (2, 14) or not METRIC[name].by_joint


def test_a_person_put_farther_away(close: KnownScene) -> None:
    transl = close.motion.transl.copy()
    transl[:, 1, 2] += 0.5
    values = reduce_scores(score(close, close.motion.with_pose(transl=transl)))
    assert values["MPJPE"] == pytest.approx(0, abs=1e-3)
    assert values["MPVPE"] == pytest.approx(0, abs=1e-3)
    assert values["root-depth"] == pytest.approx(250, abs=0.1)
    assert values["PCDR"] < 100 or values["Inter"] > 50
    assert values["contact-R@13mm"] == 0
    assert values["PCC@5cm"] <= values["PCC@20cm"] < 100
    assert values["depth-max"] == 0


def test_cheap_leaves_out_the_meshes_alone(close: KnownScene, of_truth: dict[str, np.ndarray]) -> None:
    cheap = score(close, close.motion, cheap=True)
    assert set(of_truth) - set(cheap) == {
        name for name in NAMES if name in ("MPVPE", "A-PD", "depth-max", "depth-mean", "volume") or "@" in name
    }
    for name, values in cheap.items():
        assert np.array_equal(values, of_truth[name], equal_nan=True)


def test_who_is_not_valid_in_both_is_not_counted(close: KnownScene) -> None:
    valid = close.motion.valid.copy()
    valid[3, 0] = False
    for predicted, truth in ((valid, close.motion.valid), (close.motion.valid, valid)):
        scores = score_motions(
            replace(close.motion, valid=predicted),
            replace(close.motion, valid=truth),
            *(close.body, close.body, close.clip.times),
        )
        assert np.isnan(scores["MPJPE"][3, 0]).all()
        assert np.isfinite(scores["MPJPE"][3, 1]).all()
        for name in ("Inter", "A-PD", "contact-F1@50mm", "PCC@5cm"):
            assert np.flatnonzero(np.isnan(scores[name]).all(-1)).tolist() == [3], name


def test_measures_of_the_truth_can_be_given(close: KnownScene, of_truth: dict[str, np.ndarray]) -> None:
    given = score(close, close.motion, measured_truth=measure_meshes(close.motion, close.body))
    for name, values in of_truth.items():
        assert np.array_equal(given[name], values, equal_nan=True)


def test_bodies_of_two_meshes_have_no_vertex_error(close: KnownScene) -> None:
    scores = score_motions(close.motion, close.motion, load_bundled_body("mid"), close.body, close.clip.times)
    assert np.isnan(scores["MPVPE"]).all()
    assert reduce_scores(scores)["MPJPE"] < 1


def test_motions_of_different_length_are_refused(close: KnownScene) -> None:
    with pytest.raises(ValueError, match="5"):
        score_motions(close.motion, close.motion, close.body, close.body, close.clip.times[:4])
