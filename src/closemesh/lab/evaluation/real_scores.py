"""Scores of one reconstructed real clip against facts that were seen by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from closemesh.body.motion import motion_in_world, motion_keypoints
from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.arrays import Bools, Floats
from closemesh.geometry.camera import project
from closemesh.lab.evaluation.joint_metrics import foot_sliding
from closemesh.lab.evaluation.real_contacts import FactScore, score_facts
from closemesh.lab.evaluation.real_facts import JOINTS, ClipFacts
from closemesh.lab.evaluation.real_masks import ReferenceMasks, body_masks, last_frame, overlap
from closemesh.lab.evaluation.real_people import TrueJoint, assign_tracks, marked_joints, photo_joints
from closemesh.lab.evaluation.real_result import ClipResult
from closemesh.output.quality import MIN_CONFIDENCE, motion_quality
from closemesh.perception.segmentation.label_images import read_labels
from closemesh.structures import BodyMotion

OBSERVED = "observed"
"""Name of what was detected, beside the names of the motions."""


@dataclass(frozen=True)
class RealMetric:
    """A score, its unit, and which values are better; a residual is best at 1."""

    name: str
    unit: str
    better: Literal["lower", "higher", "one"]


REAL_METRICS: tuple[RealMetric, ...] = (
    RealMetric("people-found", "%", "higher"),
    RealMetric("other-tracks", "", "lower"),
    RealMetric("identity", "%", "higher"),
    RealMetric("keypoint-distance", "% of diagonal", "lower"),
    RealMetric("keypoint-distance-hidden", "% of diagonal", "lower"),
    RealMetric("keypoints-near", "%", "higher"),
    RealMetric("mask-IoU", "%", "higher"),
    RealMetric("facts", "%", "higher"),
    RealMetric("contacts", "%", "higher"),
    RealMetric("no-contact", "%", "higher"),
    RealMetric("depth-order", "%", "higher"),
    RealMetric("joint-distance", "% of diagonal", "lower"),
    RealMetric("joint-distance-hidden", "% of diagonal", "lower"),
    RealMetric("joints-near", "%", "higher"),
    RealMetric("body-IoU", "%", "higher"),
    RealMetric("covered", "%", "higher"),
    RealMetric("inside", "%", "higher"),
    RealMetric("residual", "sigma", "one"),
    RealMetric("reprojection", "% of height", "lower"),
    RealMetric("depth-max", "mm", "lower"),
    RealMetric("depth-mean", "mm", "lower"),
    RealMetric("foot-sliding", "mm", "lower"),
    RealMetric("jitter", "m/s³", "lower"),
    RealMetric("focal-error", "%", "lower"),
    RealMetric("PSNR", "dB", "higher"),
)
REAL_METRIC = {metric.name: metric for metric in REAL_METRICS}

NEAR_JOINT = 5.0
"""Percent of the diagonal below which a joint is near the marked one."""
_FOOT_POINTS = [KEYPOINT_INDEX[f"{side}_{point}"] for side in ("left", "right") for point in ("big_toe", "heel")]

Values = dict[str, float]
"""Metric -> value, without those that the facts do not define."""


@dataclass(frozen=True)
class ClipScores:
    """Scores of one clip. Reports hold these fields by the same names."""

    name: str
    frames: int
    tracks: int
    people: dict[str, int | None]
    """Person of the facts -> the track that follows this person; None when not found."""
    reference: str | None
    """Where the masks come from that bodies are compared with."""
    focal_px: float | None
    values: dict[str, Values]
    """Name of a motion, or `observed` -> metric -> value."""
    facts: tuple[FactScore, ...] = ()
    residuals: dict[str, Values] = field(default_factory=dict)
    """Name of a motion -> joint -> median of the distance to the detected keypoint in standard deviations."""
    failure: str | None = None
    """Why there is no result."""


def score_clip(
    result: ClipResult, facts: ClipFacts, keypoints_file: Path | None, reference: ReferenceMasks | None
) -> ClipScores:
    """All scores that the facts define.

    keypoints_file: the file that `facts.keypoints` names. Raises InputError when facts name frames or pixels that the
    clip lacks, or the file with keypoints cannot be read.
    """
    clip, seen = result.clip, result.observations
    facts.check_range(last_frame(clip), clip.size)
    people = assign_tracks(facts, clip, seen)
    joints = marked_joints(facts, clip, seen, people)
    observed: Values = {}
    if keypoints_file is not None:
        found, expected, more = photo_joints(keypoints_file, seen)
        joints += more
        observed |= {"people-found": 100 * found / max(expected, 1), "other-tracks": seen.num_people - found}
    elif facts.people:
        required = [name for name in facts.people if name not in facts.optional_people]
        observed["people-found"] = 100 * sum(name in people.track for name in required) / max(len(required), 1)
        observed["other-tracks"] = seen.num_people - len(people.track)
    if facts.identity:
        observed["identity"] = 100 * float(people.held.mean()) if len(people.held) else 0.0
    given = seen.detected[..., None] & (seen.keypoints[..., 2] > 0)
    observed |= _joint_values("keypoint", joints, seen.keypoints[..., :2], given)
    if reference is not None and result.masks is not None:
        own = {t: path for t in reference.masks if (path := result.masks / f"{t:06d}.png").is_file()}
        agreement = overlap({t: read_labels(path) > 0 for t, path in own.items()}, reference.masks)
        observed |= {"mask-IoU": agreement.iou} if agreement else {}
    held = score_facts(result, facts, people)
    values = {OBSERVED: observed}
    residuals = {}
    for name, motion in result.motions.items():
        scorer = _MotionScorer(result, name, motion)
        values[name] = scorer.values(joints, reference, facts.focal_px) | _means_of_facts(held, name)
        residuals[name] = scorer.residuals()
    return ClipScores(
        name=facts.name,
        frames=len(clip),
        tracks=seen.num_people,
        people={name: people.track.get(name) for name in facts.people or {}},
        reference=reference.source if reference else None,
        focal_px=next((camera.focal for camera in reversed(list(result.cameras.values()))), None),
        values=values,
        facts=tuple(held),
        residuals=residuals,
    )


def failed_clip(facts: ClipFacts, reason: str) -> ClipScores:
    """The scores of a clip in which the pipeline found no people."""
    observed = {"people-found": 0.0} | ({"identity": 0.0} if facts.identity else {})
    people = dict.fromkeys(facts.people or {})
    return ClipScores(facts.name, 0, 0, people, None, None, {OBSERVED: observed}, failure=reason)


class _MotionScorer:
    """Scores of one motion that need its keypoints."""

    def __init__(self, result: ClipResult, name: str, motion: BodyMotion) -> None:
        self._result, self._name, self._motion = result, name, motion
        self._camera = result.cameras[name]
        self._keypoints = motion_keypoints(motion, result.body)  # [T, P, 133, 3]
        points = torch.as_tensor(self._keypoints)
        self._pixels = project(points, self._camera.focal, self._camera.principal_point).numpy()

    def values(self, joints: list[TrueJoint], reference: ReferenceMasks | None, focal: float | None) -> Values:
        """All values but those of facts."""
        result, camera, motion = self._result, self._camera, self._motion
        present = np.broadcast_to(motion.valid[..., None], self._pixels.shape[:-1])
        values = _joint_values("joint", joints, self._pixels, present)
        if reference is not None:
            drawn = body_masks(motion, camera, result.body, list(reference.masks))
            agreement = overlap(drawn, reference.masks)
            if agreement:
                values |= {"body-IoU": agreement.iou, "covered": agreement.covered, "inside": agreement.inside}
        ratio, counted = self._in_sigmas()
        contacts = result.contacts.get(self._name)
        quality = motion_quality(result.clip, result.observations, camera, motion, result.body, contacts or ())
        optional = {
            "residual": float(np.median(ratio[counted])) if counted.any() else None,
            "reprojection": quality["reprojection_median_percent_of_height"],
            "depth-max": quality["penetration_max_mm"] if contacts is not None else None,
            "depth-mean": quality["penetration_mean_mm"] if contacts is not None else None,
            "foot-sliding": self._foot_sliding(),
            "jitter": quality["jitter_m_s3"],
            "focal-error": 100 * abs(camera.focal / focal - 1) if focal else None,
            "PSNR": result.psnr if self._name == list(result.motions)[-1] else None,
        }
        return values | {name: value for name, value in optional.items() if value is not None}

    def residuals(self) -> Values:
        """Median residual of each joint that was detected."""
        ratio, counted = self._in_sigmas()
        return {
            name: float(np.median(ratio[..., k][counted[..., k]]))
            for k, name in enumerate(JOINTS)
            if counted[..., k].any()
        }

    def _in_sigmas(self) -> tuple[Floats, Bools]:
        """Distance to the detected keypoints in their sigmas [T, P, 23], and which of them are confident."""
        seen, count = self._result.observations, len(JOINTS)
        detected = seen.keypoints[:, :, :count]
        distance = np.linalg.norm(self._pixels[:, :, :count] - detected[..., :2], axis=-1)
        present = (self._motion.valid & seen.detected)[..., None]
        counted = (detected[..., 2] > MIN_CONFIDENCE) & present & (self._keypoints[:, :, :count, 2] > 0)
        return distance / np.maximum(seen.sigmas[:, :, :count], 1e-6), counted

    def _foot_sliding(self) -> float | None:
        """Mean motion per frame, mm, of foot points between frames in which their detected keypoints rest."""
        seen, motion = self._result.observations, self._motion
        world = motion_keypoints(motion_in_world(motion, self._camera, self._result.body), self._result.body)
        detected = seen.keypoints[:, :, _FOOT_POINTS]
        confident = (detected[..., 2] > MIN_CONFIDENCE) & (motion.valid & seen.detected)[..., None]
        # Meters of one pixel at the usual depth of each person: of its own depth, every step would add motion.
        meters = np.median(self._keypoints[:, :, _FOOT_POINTS, 2], axis=(0, 2)) / self._camera.focal  # [P]
        image = np.where(confident[..., None], detected[..., :2] * meters[:, None, None], np.nan)
        moved = foot_sliding(world[:, :, _FOOT_POINTS], image)
        return float(np.nanmean(moved)) if np.isfinite(moved).any() else None


def _joint_values(kind: str, joints: Sequence[TrueJoint], pixels: Floats, present: Bools) -> Values:
    """Distances from the true joints to those of tracks, means over people and frames.

    kind: `keypoint` or `joint`. pixels [T, P, 133, 2], present [T, P, 133]. A joint that is not present is not near.
    """
    distances: dict[tuple[bool, tuple[str, int]], list[float]] = {}
    near = []
    for joint in joints:
        if joint.track is None or not present[joint.position, joint.track, joint.keypoint]:
            near.append(False)
            continue
        offset = pixels[joint.position, joint.track, joint.keypoint] - np.array(joint.xy)
        percent = 100 * float(np.linalg.norm(offset)) / joint.size
        near.append(percent < NEAR_JOINT)
        distances.setdefault((joint.hidden, joint.group), []).append(percent)
    values = {f"{kind}s-near": 100 * float(np.mean(near))} if near else {}
    for hidden, name in ((False, f"{kind}-distance"), (True, f"{kind}-distance-hidden")):
        means = [float(np.mean(some)) for (is_hidden, _), some in distances.items() if is_hidden == hidden]
        values |= {name: float(np.mean(means))} if means else {}
    return values


def _means_of_facts(scores: Sequence[FactScore], name: str) -> Values:
    """Means over the facts of one motion; `facts` over contacts and those who do not touch, each fact counted once."""
    kinds = {
        "facts": ("contact", "apart", "never"),
        "contacts": ("contact",),
        "no-contact": ("apart", "never"),
        "depth-order": ("depth order",),
    }
    values = {}
    for metric, included in kinds.items():
        percent = [one.percent[name] for one in scores if one.kind in included and name in one.percent]
        values |= {metric: float(np.mean(percent))} if percent else {}
    return values
