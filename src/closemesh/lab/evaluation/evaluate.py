"""Evaluation of a motion file against another: frames and people are matched, then all metrics are computed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path

import numpy as np

from closemesh.body.loading import load_body, load_bundled_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import change_frame, motion_in_world, motion_joints
from closemesh.core.arrays import Floats, read_result_npz
from closemesh.core.errors import InputError
from closemesh.core.progress import Progress
from closemesh.core.tensor_dataclass import TensorDataclass, no_people
from closemesh.geometry.transforms import rigid_alignment
from closemesh.lab.datasets.registry import read_motion
from closemesh.lab.evaluation.joint_metrics import IN_CAMERA_ONLY, lsp_joints, without_absent
from closemesh.lab.evaluation.scores import reduce_scores, score_motions
from closemesh.motion_files.sequence import MotionSequence, fit_betas, to_body_motion
from closemesh.output.people import OPEN_TYPE, PersonMotion, camera_motion, read_people
from closemesh.output.result_json import scene_camera
from closemesh.pipeline.cache import reading_result
from closemesh.structures import BodyMotion, Camera


@dataclass(frozen=True)
class PosedMotion(TensorDataclass):
    """A motion with its body, times and camera."""

    motion: BodyMotion
    body: BodyModel
    times: Floats = field(metadata=no_people())
    """[T] seconds."""
    camera: Camera | None
    """The camera in whose frame the motion is; None when the motion is in a world frame."""

    def in_world(self) -> PosedMotion:
        """The motion in the world frame."""
        if self.camera is None:
            return self
        return replace(self, motion=motion_in_world(self.motion, self.camera, self.body), camera=None)

    def moved(self, T_new_old: Floats) -> PosedMotion:
        """The motion in another frame; T_new_old [4, 4]."""
        return replace(self, motion=change_frame(self.motion, T_new_old, self.body), camera=None)


def read_sequence(path: Path, body_path: Path | None, progress: Progress) -> PosedMotion:
    """The motion in `path`: a folder that `reconstruct` wrote, person files (one or a folder of them), a motion file.

    body_path: the SMPL-X body, for files whose betas belong to it. Raises InputError when a file is missing, damaged
    or of another body, ModelFileError when the body cannot be read.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; give a result folder, a person file or a motion file")
    if (path / "scene.json").is_file():
        with reading_result(path) as scene:
            camera, people = scene_camera(scene), read_people(path / "people")
        return _from_people(people, camera, body_path, keep_camera=True)
    if any(path.glob("person_*.npz")) or "body_model_sha256" in _keys(path):
        people = read_people(path)
        return _from_people(people, _no_camera(len(people[0].trans)), body_path, keep_camera=False)
    sequence, body = read_motion(path), load_body(body_path)
    betas = fitting_betas(sequence, body)
    if betas is not None:
        progress.note(f"{path} has no shape of the body {body.name}: its people get the shape that fits their bones")
    elif sequence.body_model != body.name:
        progress.note(f"{path} has no shape of the body {body.name}: its people get the mean shape")
    return PosedMotion(to_body_motion(sequence, body, betas), body, sequence.times, None)


def fitting_betas(sequence: MotionSequence, body: BodyModel) -> Floats | None:
    """Betas [P, B] of `body` with the bone lengths of the sequence; None when it has betas of `body` or no joints."""
    own = sequence.betas is not None and sequence.body_model == body.name
    unknown = sequence.rest_joints is None and sequence.joints is None
    return None if own or unknown else fit_betas(sequence, body)


def _keys(path: Path) -> set[str]:
    return set(read_result_npz(path)) if path.suffix == ".npz" else set()


def _from_people(
    people: list[PersonMotion], camera: Camera, body_path: Path | None, *, keep_camera: bool
) -> PosedMotion:
    body = _body_of(people[0], body_path)
    motion = camera_motion(people, camera, body)
    return PosedMotion(motion, body, np.asarray(people[0].times), camera if keep_camera else None)


def _body_of(person: PersonMotion, body_path: Path | None) -> BodyModel:
    if person.surface_model_type != OPEN_TYPE:
        if body_path is None:
            raise InputError(f"the betas belong to the body {person.body_model}; give that file with --body-model")
        return load_body(body_path)
    variant = person.body_model.rpartition("/")[2]
    if variant not in ("std", "mid", "light", "closed"):
        if body_path is not None:  # A custom body in the layout of the bundled one.
            return load_body(body_path)
        raise InputError(f"the betas belong to {person.body_model}, which this version of closemesh does not have")
    return load_bundled_body(variant)


def _no_camera(num_frames: int) -> Camera:
    """A camera at the origin of the world: its frame is the world frame."""
    return Camera(1.0, (0.0, 0.0), (1, 1), "option", np.tile(np.eye(4), (num_frames, 1, 1)))


_MAX_PERMUTED = 5  # People up to whose number all assignments are tried.


def evaluate(
    predicted: PosedMotion, truth: PosedMotion, progress: Progress, align: bool = False, cheap: bool = False
) -> dict[str, float]:
    """The mean of each metric of METRICS that is defined, in its unit (fractions in percent).

    Frames are paired by time, at the lower of the two rates; people by the distance of their joints. Both motions are
    compared in the camera frame if both have a camera; else in the world, without root-depth and PCDR. align: first
    moves the whole prediction rigidly onto the truth. cheap: no metrics of meshes.
    Raises InputError when the motions have no frame or no person in common.
    """
    if predicted.camera is None or truth.camera is None or align:
        predicted, truth = predicted.in_world(), truth.in_world()
    predicted, truth = _common_frames(predicted, truth, progress)
    predicted, truth = _common_people(predicted, truth, align, progress)
    if align:
        predicted = predicted.moved(_rigid_motion(_joints(predicted), _joints(truth)))
    scores = score_motions(predicted.motion, truth.motion, predicted.body, truth.body, truth.times, cheap)
    if predicted.camera is None:
        scores = {name: values for name, values in scores.items() if name not in IN_CAMERA_ONLY}
        progress.note(
            f"compared in the world frame{', aligned' if align else ''}: no {' and no '.join(IN_CAMERA_ONLY)}"
        )
    return reduce_scores(scores)


def pair_times(times_a: Floats, times_b: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Indices [N] into times_a [T] and [N] into times_b [T'] of frames at the same time; seconds, increasing.

    Each frame of the lower rate is paired with the nearest one of the higher rate, if it is less than half of the
    latter's interval away.
    """
    if _interval(times_a) < _interval(times_b):
        second, first = pair_times(times_b, times_a)
        return first, second
    nearest = np.rint(np.interp(times_a, times_b, np.arange(len(times_b)))).astype(int)
    close = np.abs(times_a - times_b[nearest]) <= 0.5 * _interval(times_b) + 1e-6
    return np.flatnonzero(close), nearest[close]


def match_people(predicted: Floats, truth: Floats, align: bool = False) -> list[int]:
    """The predicted person for each true one [Q], with the smallest mean distance of joints.

    predicted [T, P, 14, 3], truth [T, Q, 14, 3] meters, P at least Q, nan where absent. align: the distance after the
    best common rigid motion. With more than five people, the first Q in their order.
    """
    count = truth.shape[1]
    if predicted.shape[1] > _MAX_PERMUTED:
        return list(range(count))
    orders = list(permutations(range(predicted.shape[1]), count))
    return list(min(orders, key=lambda order: _mean_distance(predicted[:, list(order)], truth, align)))


def _common_frames(predicted: PosedMotion, truth: PosedMotion, progress: Progress) -> tuple[PosedMotion, PosedMotion]:
    first, second = pair_times(predicted.times, truth.times)
    if len(first) == 0:
        spans = " and ".join(f"{times[0]:.2f}-{times[-1]:.2f} s" for times in (predicted.times, truth.times))
        raise InputError(f"the two motions have no time in common ({spans}); give motions of the same clip")
    if not len(first) == len(predicted.times) == len(truth.times):
        progress.note(f"{len(first)} frames compared of {len(predicted.times)} and {len(truth.times)}, paired by time")
    return predicted.frames(first), truth.frames(second)


def _common_people(
    predicted: PosedMotion, truth: PosedMotion, align: bool, progress: Progress
) -> tuple[PosedMotion, PosedMotion]:
    joints, joints_true = _joints(predicted), _joints(truth)
    num_predicted, num_true = joints.shape[1], joints_true.shape[1]
    if num_predicted >= num_true:
        order = match_people(joints, joints_true, align)
        predicted = predicted.people(order)
    else:
        order = match_people(joints_true, joints, align)
        truth = truth.people(order)
    if order != list(range(max(num_predicted, num_true))):
        which = "predicted" if num_predicted >= num_true else "true"
        progress.note(f"{num_predicted} predicted and {num_true} true people: compared are the {which} people {order}")
    if not (predicted.motion.valid & truth.motion.valid).any():
        raise InputError("no person is valid in both motions at the same time; give motions of the same clip")
    return predicted, truth


def _mean_distance(points: Floats, target: Floats, align: bool) -> float:
    both = np.isfinite(points).all(-1) & np.isfinite(target).all(-1)
    if not both.any():
        return float("inf")
    points, target = points[both], target[both]
    if align:
        T = rigid_alignment(points, target)
        points = points @ T[:3, :3].T + T[:3, 3]
    return float(np.linalg.norm(points - target, axis=-1).mean())


def _rigid_motion(points: Floats, target: Floats) -> Floats:
    """T_target_points [4, 4] over all joints [T, P, 14, 3] that are finite in both."""
    both = np.isfinite(points).all(-1) & np.isfinite(target).all(-1)
    return rigid_alignment(points[both], target[both])


def _joints(sequence: PosedMotion) -> Floats:
    """[T, P, 14, 3] with nan where a person is absent."""
    return without_absent(lsp_joints(motion_joints(sequence.motion, sequence.body)), sequence.motion.valid)


def _interval(times: Floats) -> float:
    """Seconds between two frames; 1 for a single frame, so that it never has the higher rate."""
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0
