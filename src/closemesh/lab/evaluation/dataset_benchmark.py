"""The pipeline on the data sets of the field, by the protocol of its papers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import get_args

import numpy as np

from closemesh.body.loading import load_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import motion_joints
from closemesh.body.skeleton import COCO_BODY
from closemesh.config.schema import Config
from closemesh.contact.vertex_contacts import posed_chunks
from closemesh.contact.watertight import watertight_body
from closemesh.core.arrays import Floats
from closemesh.core.device import choose_device
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress, Progress
from closemesh.lab.evaluation import joint_metrics as metrics
from closemesh.lab.evaluation.benchmark_scenes import match_tracks, people_of
from closemesh.lab.evaluation.benchmark_stages import STAGES, Task, run_stage, with_known_focal
from closemesh.lab.evaluation.dataset_items import (
    CHI3D_SUBJECT,
    PERSON_PA,
    PUBLISHED,
    DatasetItem,
    DatasetName,
    PublishedRow,
    dataset_items,
)
from closemesh.lab.evaluation.joint_metrics import LSP_NAMES, lsp_joints
from closemesh.lab.evaluation.penetration_metrics import a_pd
from closemesh.perception.observe import observe
from closemesh.structures import BodyMotion, Observations
from closemesh.video import open_clip

COLUMNS: dict[DatasetName, tuple[str, ...]] = {
    "hi4d": ("MPJPE", "PA-MPJPE", "MPVPE", "Accel", "Inter", "A-PD", "Pair-PA-MPJPE", "Pair-PA-MPJPE-best"),
    "chi3d": (*PERSON_PA, "MPJPE", "PA-MPJPE", "Inter", "Pair-PA-MPJPE", "Pair-PA-MPJPE-best"),
    "3dpw": ("MPJPE", "PA-MPJPE", "Accel"),
}
"""The columns of each table; a method has no figure where its paper tells none or where none can be measured."""

_JOINTS = (
    "joints are the kinematic ones of SMPL and SMPL-X that bear the names of LSP's 14; the papers regress theirs from "
    "vertices, so compare with care"
)
_NOTES: dict[DatasetName, tuple[str, ...]] = {
    "hi4d": (
        _JOINTS,
        "every recording and camera below the root is scored: the papers' list of test pairs is not published",
        "no MPVPE: the truth is a mesh of SMPL, whose licence and topology are not those of the body used here",
    ),
    "chi3d": (
        _JOINTS,
        "without the licensed body the truth is joints3d_25, its head the point between neck and top of the head",
        f"as BUDDI: the annotated contact frame of {CHI3D_SUBJECT} in all cameras; s01 and s05 have no public truth",
    ),
    "3dpw": (
        _JOINTS,
        "the whole test split, frames with campose_valid; CloseApp does not tell which sequences it takes",
    ),
}

Values = dict[str, np.ndarray]
"""Metric -> its values, those that are defined."""


@dataclass(frozen=True)
class ItemResult:
    """One clip of one camera."""

    name: str
    found: float
    """Share of the true people, frame by frame, who were found."""
    stages: dict[str, dict[str, float]]
    """Stage -> metric -> mean; empty when nobody was found."""


@dataclass(frozen=True)
class DatasetResult:
    """The table of a data set."""

    name: DatasetName
    columns: tuple[str, ...]
    ours: dict[str, dict[str, float]]
    """Stage of the pipeline -> column -> mean over all frames and people of all clips that were found."""
    published: tuple[PublishedRow, ...]
    items: tuple[ItemResult, ...]
    found: float
    """Share of the true people, frame by frame, who were found; the others count in no mean, as in the papers."""
    notes: tuple[str, ...]


def benchmark_dataset(
    name: str, root: Path, config: Config, device: str | None, progress: Progress, limit: int | None = None
) -> DatasetResult:
    """Run the pipeline on `hi4d`, `chi3d` or `3dpw` below `root` and compare it with the truth, in the camera frame.

    The pipeline is told the true focal length and nothing else. `limit` takes the first so many clips of a camera.
    Raises InputError when the data set is not known, not there, or has no images.
    """
    if name not in get_args(DatasetName):
        raise InputError(f"no data set {name}; there are {', '.join(get_args(DatasetName))}")
    dataset: DatasetName = name  # type: ignore[assignment]
    body = load_body(config.body_model)
    results: list[ItemResult] = []
    pooled: dict[str, list[Values]] = {}
    expected = found = 0
    with progress.task(f"benchmark {name}", limit) as advance:
        for item in islice(dataset_items(dataset, root, body), limit):
            seen, stages = _run_item(item, dataset, config, body, device)
            results.append(ItemResult(item.name, seen / max(item.valid.sum(), 1), _means(stages)))
            for stage, values in stages.items():
                pooled.setdefault(stage, []).append(values)
            expected, found = expected + int(item.valid.sum()), found + seen
            advance(1)
    if not results:
        raise InputError(f"{root} has the truth of {name} but no images of it; unpack the images or videos as well")
    return DatasetResult(
        name=dataset,
        columns=COLUMNS[dataset],
        ours=_means({stage: _pool(values) for stage, values in pooled.items()}),
        published=PUBLISHED[dataset],
        items=tuple(results),
        found=found / max(expected, 1),
        notes=_NOTES[dataset],
    )


def _run_item(
    item: DatasetItem, dataset: DatasetName, config: Config, body: BodyModel, device: str | None
) -> tuple[int, dict[str, Values]]:
    """How many people were found over the frames, and the values of each stage."""
    clip = open_clip(item.clip, item.clip_config)
    try:
        observations = observe(clip, config.observe, None, NullProgress(), choose_device(device))
    except InputError:  # Nobody in the picture that the detector knows.
        return 0, {}
    frames, scored = _frames_of(item.clip_frames, clip.frame_indices)
    item = replace(item, joints_cam=item.joints_cam[scored], valid=item.valid[scored])
    pixels, keypoints = _limbs(item, observations, frames)
    people = match_tracks(keypoints, observations.detected[frames], pixels, item.valid)
    task = Task(clip, observations, body, with_known_focal(config, float(item.K[0, 0])), choose_device(device))
    stages, estimate = {}, None
    for stage in STAGES:
        estimate = run_stage(stage, task, estimate, NullProgress())
        motion = people_of(_at(estimate.motion, frames), people)
        stages[stage] = {
            name: values
            for name, values in _score(motion, item, body, penetration=dataset == "hi4d").items()
            if name in COLUMNS[dataset]
        }
    return int(people.found.sum()), stages


def _score(motion: BodyMotion, item: DatasetItem, body: BodyModel, penetration: bool) -> Values:
    """Values of every metric that joints tell, and on request of A-PD, of the people of the truth in its order."""
    both = motion.valid & item.valid
    predicted = metrics.without_absent(lsp_joints(motion_joints(motion, body)), both)
    truth = metrics.without_absent(item.joints_cam, both)
    values = {
        "MPJPE": metrics.mpjpe(predicted, truth),
        "PA-MPJPE": metrics.pa_mpjpe(predicted, truth),
        "Accel": metrics.accel(predicted, truth),
        "Inter": metrics.inter(predicted, truth),
        "Pair-PA-MPJPE": metrics.pair_pa_mpjpe(predicted, truth),
        "Pair-PA-MPJPE-best": metrics.pair_pa_mpjpe_best(predicted, truth),
    }
    values |= {name: values["PA-MPJPE"][:, p] for p, name in enumerate(PERSON_PA[: both.shape[1]])}
    if penetration:
        values["A-PD"] = _penetration(replace(motion, valid=both), body)
    return {name: array[np.isfinite(array)] for name, array in values.items()}


def _penetration(motion: BodyMotion, body: BodyModel) -> Floats:
    """[T, pairs] A-PD in mm."""
    pairs = metrics.person_pairs(motion.num_people)
    found = np.full((len(motion.transl), len(pairs)), np.nan)
    mesh = watertight_body(body)
    for first, vertices in posed_chunks(motion, mesh) if pairs else ():
        for t, frame in enumerate(vertices, start=first):
            for column, (a, b) in enumerate(pairs):
                if motion.valid[t, [a, b]].all():
                    found[t, column] = a_pd(frame[a], frame[b], mesh.faces.numpy())
    return found


def _limbs(item: DatasetItem, observations: Observations, frames: np.ndarray) -> tuple[Floats, Floats]:
    """True pixels [N, P, 17, 2] and detected keypoints [N, Q, 17, 3], the face of no confidence: truth has none."""
    projected = item.joints_cam @ item.K.T
    pixels14 = projected[..., :2] / np.maximum(projected[..., 2:], 1e-3)
    places = [LSP_NAMES.index(name) if name in LSP_NAMES else LSP_NAMES.index("head") for name in COCO_BODY]
    keypoints = observations.keypoints[frames][:, :, : len(COCO_BODY)].copy()
    keypoints[:, :, [k for k, name in enumerate(COCO_BODY) if name not in LSP_NAMES], 2] = 0
    return pixels14[:, :, places], keypoints


def _frames_of(wanted: np.ndarray, processed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places among the processed frames of those that are wanted, and which of the wanted were processed."""
    place = {int(frame): index for index, frame in enumerate(processed)}
    scored = np.array([k for k, frame in enumerate(wanted) if int(frame) in place], dtype=np.int64)
    return np.array([place[int(frame)] for frame in wanted[scored]], dtype=np.int64), scored


def _at(motion: BodyMotion, frames: np.ndarray) -> BodyMotion:
    names = ("rotations", "transl", "expression", "valid", "confidence")
    return motion.with_pose(**{name: getattr(motion, name)[frames] for name in names})


def _pool(values: list[Values]) -> Values:
    names = dict.fromkeys(name for some in values for name in some)
    return {name: np.concatenate([some[name] for some in values if name in some]) for name in names}


def _means(stages: dict[str, Values]) -> dict[str, dict[str, float]]:
    """Metrics without any value are left out."""
    return {
        stage: {name: float(array.mean()) for name, array in values.items() if len(array)}
        for stage, values in stages.items()
    }
