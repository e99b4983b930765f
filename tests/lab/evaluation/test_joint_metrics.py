"""Known answers of the errors of joints."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from closemesh.body.skeleton import JOINT_NAMES, KEYPOINT_INDEX
from closemesh.geometry.transforms import procrustes, rigid_alignment
from closemesh.lab.evaluation import joint_metrics as metrics
from closemesh.lab.evaluation.joint_metrics import LSP_JOINTS, LSP_NAMES, lsp_hidden, lsp_joints

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=(6, 2, 14, 3)) + np.array([[[0, 0, 4]], [[0.5, 0, 4]]])
TURN = Rotation.from_rotvec([0.3, -1.2, 0.7]).as_matrix()


def moved(joints: np.ndarray, scale: float = 1.0) -> np.ndarray:
    return scale * joints @ TURN.T + [0.2, -0.4, 1.5]


PAIRED = (metrics.mpjpe, metrics.pa_mpjpe, metrics.accel, metrics.inter, metrics.pair_pa_mpjpe)


@pytest.mark.parametrize("metric", PAIRED, ids=lambda metric: metric.__name__)
def test_the_truth_has_no_error(metric) -> None:
    assert np.nanmax(metric(TRUTH, TRUTH)) == pytest.approx(0, abs=1e-9)


def test_a_common_rigid_motion_leaves_what_is_between_people() -> None:
    assert metrics.inter(moved(TRUTH), TRUTH).max() < 1e-9
    assert metrics.pair_pa_mpjpe(moved(TRUTH), TRUTH).max() < 1e-9
    assert metrics.pa_mpjpe(moved(TRUTH), TRUTH).max() < 1e-9
    assert metrics.mpjpe(moved(TRUTH), TRUTH).mean() > 100


def test_scale_alone_is_no_error_after_procrustes() -> None:
    assert metrics.pa_mpjpe(moved(TRUTH, 1.7), TRUTH).max() < 1e-9
    assert metrics.pair_pa_mpjpe(moved(TRUTH, 1.7), TRUTH).max() < 1e-9
    assert metrics.inter(moved(TRUTH, 1.7), TRUTH).mean() > 100


def test_a_mirrored_person_stays_wrong() -> None:
    assert metrics.pa_mpjpe(TRUTH * [-1, 1, 1], TRUTH).mean() > 50


def test_one_person_out_of_place() -> None:
    """30 mm towards the side: nothing after the hips are put together, and the pair is wrong."""
    predicted = TRUTH.copy()
    predicted[:, 1] += [0.03, 0, 0]
    assert metrics.mpjpe(predicted, TRUTH).max() < 1e-9
    assert metrics.inter(predicted, TRUTH).max() <= 30
    assert 1 < metrics.pair_pa_mpjpe(predicted, TRUTH).mean() < 15


def test_inter_of_two_points_is_the_error_of_their_distance() -> None:
    """All joints of each person in one point: all 196 distances are the one between the people."""
    truth = np.zeros((1, 2, 14, 3))
    truth[:, 1] = [0.6, 0.8, 0]
    predicted = truth * 1.25
    assert metrics.inter(predicted, truth)[0, 0] == pytest.approx(250)


def test_swapped_people_are_forgiven_only_by_the_best_order() -> None:
    swapped = TRUTH[:, ::-1]
    assert metrics.pair_pa_mpjpe(swapped, TRUTH).mean() > 100
    assert metrics.pair_pa_mpjpe_best(swapped, TRUTH).max() < 1e-9
    assert metrics.inter(swapped, TRUTH).mean() > 100


def test_mpjpe_is_measured_per_joint_from_the_mid_hip() -> None:
    predicted = TRUTH.copy()
    predicted[:, 0, 6] += [0, 0, 0.05]
    predicted[:, 1, 2] += [0.04, 0, 0]  # A hip: half of it moves the center.
    error = metrics.mpjpe(predicted, TRUTH)
    assert error[:, 0, 6] == pytest.approx(50)
    assert np.delete(error[:, 0], 6, axis=-1).max() < 1e-9
    assert error[:, 1] == pytest.approx(20)


def test_fingers_are_measured_from_their_own_wrist() -> None:
    joints = np.random.default_rng(0).normal(size=(2, 1, 55, 3))
    moved = joints.copy()
    moved[..., [20, *range(25, 40)], :] += 0.5  # The whole left hand.
    assert np.allclose(metrics.hand_mpjpe(moved, joints), 0)
    moved[..., 40, :] += (0.03, 0.0, 0.0)
    assert np.allclose(metrics.hand_mpjpe(moved, joints), 1.0)


def test_vertices_are_aligned_by_the_joints() -> None:
    vertices = RNG.normal(size=(6, 2, 30, 3))
    shift = np.array([0, 0, 0.01])
    assert metrics.mpvpe(vertices + shift, vertices, TRUTH, TRUTH) == pytest.approx(10)
    assert metrics.mpvpe(vertices + shift, vertices, TRUTH + shift, TRUTH).max() < 1e-9


def test_accel_of_a_parabola() -> None:
    """A joint that falls by t^2 millimeters: its second difference is 2 mm in every inner frame."""
    predicted = TRUTH.copy()
    predicted[:, :, 0, 1] += 0.001 * np.arange(6)[:, None] ** 2
    error = metrics.accel(predicted, TRUTH)
    assert error[1:-1, :, 0] == pytest.approx(2)
    assert np.isnan(error[[0, -1]]).all()
    assert np.isnan(metrics.accel(TRUTH[:2], TRUTH[:2])).all()


def test_jitter_of_a_cubic_is_its_third_derivative() -> None:
    times = np.arange(8) / 25
    joints = np.zeros((8, 1, 1, 3))
    joints[:, 0, 0, 0] = 0.5 * times**3 + times**2
    result = metrics.jitter(joints, 25)
    assert np.isnan(result[:3]).all()
    assert result[3:] == pytest.approx(3.0)


def test_feet_slide_only_where_the_true_ones_stand() -> None:
    truth, predicted = np.zeros((4, 1, 1, 3)), np.zeros((4, 1, 1, 3))
    truth[:, 0, 0, 0] = [0, 0.005, 0.2, 0.2]
    predicted[:, 0, 0, 0] = [0, 0.02, 0.02, 0.05]
    assert metrics.foot_sliding(predicted, truth)[:, 0, 0] == pytest.approx([np.nan, 20, np.nan, 30], nan_ok=True)


@pytest.mark.parametrize(
    ("true", "predicted", "right"),
    [(0.3, 0.2, 1), (0.3, 0.1, 0), (0.3, -0.3, 0), (0.1, -0.1, 1), (0.1, 0.2, 0), (-0.4, -0.16, 1)],
)
def test_the_order_in_depth(true: float, predicted: float, right: float) -> None:
    depth = lambda difference: np.array([[4 + difference, 4.0]])  # noqa: E731
    assert metrics.pcdr(depth(predicted), depth(true)) == pytest.approx(right)


def test_root_depth_counts_only_depth() -> None:
    assert metrics.root_depth(np.array([[[5.0, 1, 4.2]]]), np.array([[[0.0, 0, 4]]])) == pytest.approx(200)


def test_who_is_absent_is_not_counted() -> None:
    present = np.ones((6, 2), bool)
    present[2, 1] = False
    predicted = metrics.without_absent(TRUTH, present)
    for metric in (metrics.mpjpe, metrics.pa_mpjpe):
        assert np.isnan(metric(predicted, TRUTH)[2, 1]).all()
        assert np.isfinite(metric(predicted, TRUTH)[2, 0]).all()
    for metric in (metrics.inter, metrics.pair_pa_mpjpe, metrics.pair_pa_mpjpe_best):
        assert np.isnan(metric(predicted, TRUTH)[:, 0]).tolist() == [False, False, True, False, False, False]
    assert np.isnan(metrics.accel(predicted, TRUTH)[1:4, 1]).all()


def test_pairs_of_one_and_of_three() -> None:
    assert metrics.inter(TRUTH[:, :1], TRUTH[:, :1]).shape == (6, 0)
    three = np.concatenate([TRUTH, TRUTH[:, :1] + 1], axis=1)
    assert metrics.person_pairs(3) == [(0, 1), (0, 2), (1, 2)]
    assert metrics.inter(three, three).shape == (6, 3)


def test_alignments_find_what_was_done() -> None:
    points = TRUTH[0, 0]
    assert procrustes(points, moved(points, 0.4)) == pytest.approx(moved(points, 0.4))
    T = rigid_alignment(points, moved(points))
    assert T[:3, :3] == pytest.approx(TURN)
    assert points @ T[:3, :3].T + T[:3, 3] == pytest.approx(moved(points))
    assert procrustes(np.ones((14, 3)), points) == pytest.approx(np.tile(points.mean(0), (14, 1)))


def test_the_lsp_joints_are_those_of_their_names() -> None:
    assert [JOINT_NAMES[joint] for joint in LSP_JOINTS] == list(LSP_NAMES)
    assert LSP_NAMES[2:4] == ("right_hip", "left_hip")
    assert lsp_joints(np.arange(55 * 3).reshape(55, 3))[13, 0] == 3 * JOINT_NAMES.index("head")


def test_neck_and_head_hide_behind_all_that_shows_them() -> None:
    hidden = np.zeros(23, bool)
    hidden[[KEYPOINT_INDEX["left_wrist"], KEYPOINT_INDEX["left_shoulder"], *range(5)]] = True
    assert {name for name, is_hidden in zip(LSP_NAMES, lsp_hidden(hidden), strict=True) if is_hidden} == {
        *("left_wrist", "left_shoulder", "head")
    }
    hidden[KEYPOINT_INDEX["right_shoulder"]] = True
    assert lsp_hidden(hidden)[LSP_NAMES.index("neck")]
