"""The pipeline on the data sets Hi4D, CHI3D and 3DPW, by the protocols of their papers."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, get_args

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
from closemesh.lab.evaluation.benchmark_scenes import match_tracks, select_matched, with_known_focal
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
from closemesh.pipeline.cache import MemoryCache
from closemesh.pipeline.context import RunContext
from closemesh.pipeline.stages import MOTION_STAGES, Observe, run_stages
from closemesh.pipeline.state import PipelineState
from closemesh.structures import BodyMotion, Observations
from closemesh.video import open_clip

COLUMNS: dict[DatasetName, tuple[str, ...]] = {
    "hi4d": ("MPJPE", "PA-MPJPE", "MPVPE", "Accel", "Inter", "A-PD", "Pair-PA-MPJPE", "Pair-PA-MPJPE-best"),
    "chi3d": (*PERSON_PA, "MPJPE", "PA-MPJPE", "Inter", "Pair-PA-MPJPE", "Pair-PA-MPJPE-best"),
    "3dpw": ("MPJPE", "PA-MPJPE", "Accel"),
}
"""Metrics in the table of each data set. A method lacks those that its paper does not report or that do not apply."""

_JOINTS = (
    "joints are the kinematic joints of SMPL and SMPL-X with the names of LSP's 14; the papers regress theirs from "
    "vertices, so compare with care"
)
_NOTES: dict[DatasetName, tuple[str, ...]] = {
    "hi4d": (
        _JOINTS,
        "every recording and camera below the root is scored: the papers' list of test pairs is not published",
        "no MPVPE: the truth is an SMPL mesh, whose license and topology differ from those of the body used here",
    ),
    "chi3d": (
        _JOINTS,
        "without the SMPL-X body the truth is joints3d_25, its head the point between neck and top of the head",
        f"as BUDDI: the annotated contact frame of {CHI3D_SUBJECT} in all cameras; s01 and s05 have no public truth",
    ),
    "3dpw": (
        _JOINTS,
        "the whole test split, frames with campose_valid; CloseApp does not report which sequences it takes",
    ),
}

Values = dict[str, np.ndarray]
"""Metric -> its finite values."""


@dataclass(frozen=True)
class ItemResult:
    """Scores of one clip of one camera."""

    name: str
    found: float
    """Fraction of the true people, counted frame by frame, that were found."""
    stages: dict[str, dict[str, float]]
    """Motion -> metric -> mean; empty when no people were found."""


@dataclass(frozen=True)
class DatasetResult:
    """The table of a data set. Its JSON file has these fields."""

    name: DatasetName
    columns: tuple[str, ...]
    ours: dict[str, dict[str, float]]
    """Motion -> column -> mean over all frames, all clips and all people that were found."""
    published: tuple[PublishedRow, ...]
    items: tuple[ItemResult, ...]
    found: float
    """Fraction of the true people, counted frame by frame, that were found. Only they are scored, as in the papers."""
    notes: tuple[str, ...]


def benchmark_dataset(
    name: str, root: Path, config: Config, device: str | None, progress: Progress, limit: int | None = None
) -> DatasetResult:
    """The scores of the pipeline on `hi4d`, `chi3d` or `3dpw` in the folder `root`, in the camera frame.

    The pipeline gets the video and the true focal length. It makes no masks, so it uses neither appearance nor
    silhouettes. limit: only the first clips. Raises InputError when the data set is unknown, missing, or has no images.
    """
    if name not in get_args(DatasetName):
        raise InputError(f"no data set {name}; there are {', '.join(get_args(DatasetName))}")
    dataset: DatasetName = name  # type: ignore[assignment]
    body = load_body(config.body_model)
    config = replace(config, observe=replace(config.observe, masks=False))
    results: list[ItemResult] = []
    pooled: dict[str, list[Values]] = {}
    expected = found = 0
    with progress.task(f"benchmark {name}", limit) as advance:
        for item in islice(dataset_items(dataset, root, body), limit):
            num_found, motions = _run_item(item, dataset, config, body, device)
            results.append(ItemResult(item.name, num_found / max(item.valid.sum(), 1), _means(motions)))
            for motion, values in motions.items():
                pooled.setdefault(motion, []).append(values)
            expected, found = expected + int(item.valid.sum()), found + num_found
            advance(1)
    if not results:
        raise InputError(f"{root} has the truth of {name} but no images of it; unpack the images or videos as well")
    return DatasetResult(
        name=dataset,
        columns=COLUMNS[dataset],
        ours=_means({motion: _pool(values) for motion, values in pooled.items()}),
        published=PUBLISHED[dataset],
        items=tuple(results),
        found=found / max(expected, 1),
        notes=_NOTES[dataset],
    )


def as_json(result: DatasetResult) -> dict[str, Any]:
    """The result by the names of the JSON file."""
    values = asdict(result)
    values["published"] = [
        {"method": row.method, "figures": row.metrics, "source": row.source} for row in result.published
    ]
    return values


def _run_item(
    item: DatasetItem, dataset: DatasetName, config: Config, body: BodyModel, device: str | None
) -> tuple[int, dict[str, Values]]:
    """Number of people found, summed over the frames, and the values of each motion."""
    clip, progress = open_clip(item.clip, item.clip_config), NullProgress()
    config = with_known_focal(config, float(item.K[0, 0]))
    with tempfile.TemporaryDirectory() as folder:
        ctx = RunContext(clip, body, config, choose_device(device), MemoryCache(Path(folder), progress), progress)
        try:
            [(_, state)] = run_stages(ctx, PipelineState(), (Observe(),))
        except InputError:  # No people found.
            return 0, {}
        assert state.observations is not None
        frames, scored = _frames_of(item.clip_frames, clip.frame_indices)
        item = replace(item, joints_cam=item.joints_cam[scored], valid=item.valid[scored])
        pixels, keypoints = _body_points(item, state.observations, frames)
        match = match_tracks(keypoints, state.observations.detected[frames], pixels, item.valid)
        values = {}
        for stage, after in run_stages(ctx, state, MOTION_STAGES):
            if stage.motion is not None:
                motion = select_matched(after.motions[stage.motion].frames(frames), match)
                scores = _score(motion, item, body, penetration=dataset == "hi4d")
                values[stage.motion] = {name: array for name, array in scores.items() if name in COLUMNS[dataset]}
    return int(match.found.sum()), values


def _score(motion: BodyMotion, item: DatasetItem, body: BodyModel, penetration: bool) -> Values:
    """Values of every metric of joints, and on request of A-PD; motion: of the true people, in their order."""
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
    depths = np.full((len(motion.transl), len(pairs)), np.nan)
    mesh = watertight_body(body)
    for first, vertices in posed_chunks(motion, mesh) if pairs else ():
        for t, frame in enumerate(vertices, start=first):
            for column, (a, b) in enumerate(pairs):
                if motion.valid[t, [a, b]].all():
                    depths[t, column] = a_pd(frame[a], frame[b], mesh.faces.numpy())
    return depths


def _body_points(item: DatasetItem, observations: Observations, frames: np.ndarray) -> tuple[Floats, Floats]:
    """True pixels [N, P, 17, 2] and detected keypoints [N, Q, 17, 3]; confidence 0 for the face, which has no truth."""
    projected = item.joints_cam @ item.K.T
    pixels14 = projected[..., :2] / np.maximum(projected[..., 2:], 1e-3)
    places = [LSP_NAMES.index(name) if name in LSP_NAMES else LSP_NAMES.index("head") for name in COCO_BODY]
    keypoints = observations.keypoints[frames][:, :, : len(COCO_BODY)].copy()
    keypoints[:, :, [k for k, name in enumerate(COCO_BODY) if name not in LSP_NAMES], 2] = 0
    return pixels14[:, :, places], keypoints


def _frames_of(scored: np.ndarray, processed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions among `processed` of the frames in `scored`, and which of `scored` were processed at all."""
    place = {int(frame): index for index, frame in enumerate(processed)}
    available = np.array([k for k, frame in enumerate(scored) if int(frame) in place], dtype=np.int64)
    return np.array([place[int(frame)] for frame in scored[available]], dtype=np.int64), available


def _pool(values: list[Values]) -> Values:
    names = dict.fromkeys(name for some in values for name in some)
    return {name: np.concatenate([some[name] for some in values if name in some]) for name in names}


def _means(motions: dict[str, Values]) -> dict[str, dict[str, float]]:
    """Without metrics that have no value."""
    return {
        motion: {name: float(array.mean()) for name, array in values.items() if len(array)}
        for motion, values in motions.items()
    }
