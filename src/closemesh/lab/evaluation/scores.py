"""All metrics of one motion against the truth, and their means over everything, hidden joints and contact frames."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

import numpy as np

from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_joints, motion_keypoints
from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.contact.vertex_contacts import posed_chunks
from closemesh.core.arrays import Bools, Floats
from closemesh.lab.evaluation import contact_metrics as contact
from closemesh.lab.evaluation import joint_metrics as metrics
from closemesh.lab.evaluation.contact_metrics import MeshMetrics, measure_meshes
from closemesh.lab.evaluation.joint_metrics import (
    METRIC,
    METRICS,
    NEAR,
    PCC_RADII,
    TOUCH,
    Metric,
    lsp_joints,
    person_pairs,
)
from closemesh.structures import NUM_BODY_JOINTS, BodyMotion

Scores = dict[str, np.ndarray]
"""Metric name -> values per frame [T, ...]; fractions are in 0..1, all others in the unit of METRIC."""

_FOOT_POINTS = [KEYPOINT_INDEX[f"{side}_{point}"] for side in ("left", "right") for point in ("big_toe", "heel")]


def score_motions(
    predicted: BodyMotion,
    truth: BodyMotion,
    body_predicted: BodyModel,
    body_truth: BodyModel,
    times: Floats,
    cheap: bool = False,
    measured_truth: MeshMetrics | None = None,
    measured_prediction: MeshMetrics | None = None,
) -> Scores:
    """Every metric of METRICS, per frame; nan where it is not defined.

    Both motions have the same T frames, at `times` [T] seconds, and the same P people in the same order. They are in
    the camera frame; in another one root-depth and PCDR have no meaning. A person counts where valid in both.
    cheap: no metrics of meshes. MPVPE is nan when the bodies have different meshes. measured_truth and
    measured_prediction: mesh metrics that are known already. Raises ValueError when the shapes differ.
    """
    if predicted.valid.shape != truth.valid.shape or len(times) != len(truth.valid):
        raise ValueError(
            f"motions of {predicted.valid.shape} and {truth.valid.shape} frames and people, {len(times)} times"
        )
    both = predicted.valid & truth.valid
    predicted, truth_seen = replace(predicted, valid=both), replace(truth, valid=both)
    scores = _skeleton_scores(predicted, truth_seen, body_predicted, body_truth, times)
    if not cheap:
        scores["MPVPE"] = _vertex_errors(predicted, truth_seen, body_predicted, body_truth)
        true = measured_truth or measure_meshes(truth, body_truth)
        scores |= _mesh_scores(measured_prediction or measure_meshes(predicted, body_predicted), true)
    return {metric.name: scores[metric.name] for metric in METRICS if metric.name in scores}


def reduce_scores(scores: Scores) -> dict[str, float]:
    """The mean of the finite values of each metric, in its unit; without metrics that have none."""
    return {
        name: METRIC[name].scale * float(np.nanmean(values))
        for name, values in scores.items()
        if np.isfinite(values).any()
    }


def frame_rate(times: Floats) -> float:
    """Frames per second of `times` [T] seconds; nan for fewer than two frames."""
    return float(1 / np.median(np.diff(times))) if len(times) > 1 else float("nan")


def _skeleton_scores(
    predicted: BodyMotion, truth: BodyMotion, body_predicted: BodyModel, body_truth: BodyModel, times: Floats
) -> Scores:
    """Metrics of joints and of points of the feet."""
    joints, joints_true = (
        metrics.without_absent(motion_joints(motion, body), motion.valid)
        for motion, body in ((predicted, body_predicted), (truth, body_truth))
    )
    feet, feet_true = (
        metrics.without_absent(motion_keypoints(motion, body)[:, :, _FOOT_POINTS], motion.valid)
        for motion, body in ((predicted, body_predicted), (truth, body_truth))
    )
    lsp, lsp_true = lsp_joints(joints), lsp_joints(joints_true)
    return {
        "MPJPE": metrics.mpjpe(lsp, lsp_true),
        "PA-MPJPE": metrics.pa_mpjpe(lsp, lsp_true),
        "hand-MPJPE": metrics.hand_mpjpe(joints, joints_true),
        "Accel": metrics.accel(lsp, lsp_true),
        "Inter": metrics.inter(lsp, lsp_true),
        "Pair-PA-MPJPE": metrics.pair_pa_mpjpe(lsp, lsp_true),
        "Pair-PA-MPJPE-best": metrics.pair_pa_mpjpe_best(lsp, lsp_true),
        "root-depth": metrics.root_depth(joints[:, :, 0], joints_true[:, :, 0]),
        "PCDR": metrics.pcdr(joints[:, :, 0, 2], joints_true[:, :, 0, 2]),
        "jitter": metrics.jitter(joints[:, :, :NUM_BODY_JOINTS], frame_rate(times)),
        "foot-sliding": metrics.foot_sliding(feet, feet_true),
    }


def _vertex_errors(
    predicted: BodyMotion, truth: BodyMotion, body_predicted: BodyModel, body_truth: BodyModel
) -> Floats:
    """MPVPE [T, P], the mean over the vertices."""
    errors = np.full(truth.valid.shape, np.nan)
    if body_predicted.faces.shape != body_truth.faces.shape or (body_predicted.faces != body_truth.faces).any():
        return errors
    joints, joints_true = (
        lsp_joints(motion_joints(predicted, body_predicted)),
        lsp_joints(motion_joints(truth, body_truth)),
    )
    chunks = zip(posed_chunks(predicted, body_predicted), posed_chunks(truth, body_truth), strict=True)
    for (first, vertices), (_, vertices_true) in chunks:
        part = slice(first, first + len(vertices))
        error = metrics.mpvpe(vertices, vertices_true, joints[part], joints_true[part]).mean(-1)
        errors[part] = np.where(truth.valid[part], error, np.nan)
    return errors


def _mesh_scores(predicted: MeshMetrics, true: MeshMetrics) -> Scores:
    """Penetration of the prediction, and contact against that of the truth."""
    scores: Scores = {
        "A-PD": predicted.a_pd,
        "depth-max": predicted.depth_max,
        "depth-mean": predicted.depth_mean,
        "volume": predicted.volume,
    }
    distances, distances_true = predicted.part_distances, true.part_distances
    for threshold in (TOUCH, NEAR):
        at = f"@{1000 * threshold:.0f}mm"
        scores[f"contact-P{at}"] = contact.precision(distances, distances_true, threshold)
        scores[f"contact-R{at}"] = contact.recall(distances, distances_true, threshold)
        scores[f"contact-F1{at}"] = contact.f1(distances, distances_true, threshold)
    for radius in PCC_RADII:
        scores[f"PCC@{100 * radius:.0f}cm"] = contact.pcc(distances, distances_true, radius, TOUCH)
    return scores


class Mean(TypedDict):
    """A mean and the number of its values. Reports hold these names."""

    mean: float
    n: int


Groups = dict[str, dict[str, Mean]]
"""Group -> metric -> mean, in the metric's unit."""

ALL, OCCLUDED, CONTACT = "all", "occluded", "contact"


def group_scores(scores: Scores, hidden: Bools, touching: Bools) -> Groups:
    """Means over all values, over hidden joints, and over people and pairs in contact.

    hidden [T, P, 14]: LSP joints. touching [T, pairs]: the true surfaces touch. A person is in contact while touching
    any other person. Only metrics of joints have the group `occluded`.
    """
    in_contact = _people_in_contact(touching, hidden.shape[1])
    groups: Groups = {ALL: {}, OCCLUDED: {}, CONTACT: {}}
    for name, values in scores.items():
        metric = METRIC[name]
        _add(groups[ALL], metric, values)
        _add(groups[CONTACT], metric, values[touching if metric.of_pair else in_contact])
        if metric.by_joint:
            _add(groups[OCCLUDED], metric, values[hidden])
    return groups


def _add(group: dict[str, Mean], metric: Metric, values: Floats) -> None:
    """Adds the mean of the finite values, if there are any."""
    defined = values[np.isfinite(values)]
    if len(defined):
        group[metric.name] = Mean(mean=metric.scale * float(defined.mean()), n=len(defined))


def _people_in_contact(touching: Bools, num_people: int) -> Bools:
    """[T, P] from [T, pairs]."""
    columns = np.zeros((len(touching), num_people), bool)
    for column, pair in enumerate(person_pairs(num_people)):
        columns[:, list(pair)] |= touching[:, [column]]
    return columns
