"""Text-to-pose retrieval among the poses of the bundled benchmark windows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from closemesh.body.capsules import NUM_POINTS, capsule_body
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.core.errors import InputError
from closemesh.lab.evaluation.benchmark_scenes import find_windows
from closemesh.text.alignment import PoseTextModel, pose_input
from closemesh.text.captioner import RuleConfig, candidates
from closemesh.text.grammar import render_description
from closemesh.text.pose_features import PoseFeatures, pose_features_at
from closemesh.text.predicates import confidence
from closemesh.text.statements import ALIGNED_KINDS, TimedStatement
from closemesh.weights.locate import find_model

POSES = 1000
PARAPHRASES_FILE = "benchmark/paraphrases.json"
_UP = (0.0, 1.0, 0.0)  # Windows are in their world.


@dataclass(frozen=True)
class Gallery:
    """N poses of one person each."""

    names: tuple[str, ...]
    """Window, person and frame of each pose."""
    rotations: Tensor  # [N, 22, 3, 3], world frame
    pose_features: PoseFeatures  # [N, 1, ...]

    def __len__(self) -> int:
        return len(self.names)

    def part(self, index: Tensor) -> Gallery:
        """The poses at `index` [M]."""
        features = self.pose_features
        selected = PoseFeatures(features.keypoints[index], features.up[index], features.capsules)
        return Gallery(tuple(self.names[k] for k in index.tolist()), self.rotations[index], selected)

    def features(self) -> Tensor:
        """Inputs of the pose encoder [N, 1, POSE_WIDTH]."""
        return pose_input(self.rotations, self.pose_features.up)[:, None]

    def texts(self, seed: int | None) -> list[str]:
        """A text for each pose, of all statements that hold; paraphrased by the seed, or in standard words if None."""
        statements = [one for one in candidates(1) if isinstance(one, ALIGNED_KINDS)]
        with torch.inference_mode():
            holds = (
                torch.stack([confidence(statement, self.pose_features) for statement in statements], dim=-1)
                >= RuleConfig().min_confidence
            )
        return [
            render_description(
                (TimedStatement(statements[k]) for k in row.nonzero()[:, 0].tolist()),
                None if seed is None else seed + number,
            )
            for number, row in enumerate(holds)
        ]


@dataclass(frozen=True)
class Retrieval:
    """Recall of the right pose among the first one and ten. The JSON file has these fields."""

    poses: int
    texts: int
    first: float
    ten: float
    """Fractions of the texts."""


def benchmark_gallery(count: int = POSES, seed: int = 0) -> Gallery:
    """Different poses of the bundled windows, by farthest point sampling; the first one by the seed.

    The distance of two poses is the mean over keypoints, with pelvis and heading aligned. Raises InputError when there
    are no bundled windows.
    """
    names, rotations, betas = _all_poses()
    body = load_bundled_body("light")
    points, capsules = load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)
    up = torch.tensor(_UP).expand(len(names), 3)
    origin = torch.zeros(len(names), 1, 3)
    features = pose_features_at(rotations[:, None], origin, betas[:, None], up, points, capsules)
    whole = Gallery(tuple(names), rotations, features)
    return whole.part(farthest(_without_heading(features), count, seed))


def farthest(points: Tensor, count: int, seed: int) -> Tensor:
    """Indices [count] of point sets points [N, K, 3], each the farthest one from all before it."""
    random = np.random.default_rng(seed)
    selected = [int(random.integers(len(points)))]
    nearest = torch.full((len(points),), torch.inf)
    while len(selected) < min(count, len(points)):
        nearest = torch.minimum(nearest, (points - points[selected[-1]]).norm(dim=-1).mean(-1))
        selected.append(int(nearest.argmax()))
    return torch.tensor(selected)


def retrieve(texts: Tensor, own: Sequence[int], poses: Tensor) -> Retrieval:
    """How texts [M, D] rank their own poses, of indices `own` [M], among all poses [N, D] of the shared space."""
    similarity = texts @ poses.T
    of_own = similarity.gather(1, torch.tensor(own)[:, None])
    ranks = (similarity > of_own).sum(1)
    return Retrieval(len(poses), len(texts), float((ranks < 1).float().mean()), float((ranks < 10).float().mean()))


def measure_retrieval(alignment: PoseTextModel, seed: int) -> dict[str, Retrieval]:
    """Retrieval by generated texts, in standard words and paraphrased, and by texts written by people.

    Raises InputError when a written text is about a pose that is not in the gallery.
    """
    gallery = benchmark_gallery()
    poses, _ = alignment.pose_encoder(gallery.features())
    all_poses = range(len(gallery))
    retrieval = {
        name: retrieve(alignment.encode_texts(gallery.texts(text_seed)), all_poses, poses)
        for name, text_seed in (("plain", None), ("many wordings", seed))
    }
    written = read_paraphrases(find_model(PARAPHRASES_FILE))
    place = {name: number for number, name in enumerate(gallery.names)}
    missing = [name for name, _ in written if name not in place]
    if missing:
        raise InputError(f"no pose {missing[0]} in the gallery; the bundled windows are not those of the paraphrases")
    texts = alignment.encode_texts([text for _, text in written])
    return retrieval | {"paraphrases": retrieve(texts, [place[name] for name, _ in written], poses)}


def read_paraphrases(path: Path) -> list[tuple[str, str]]:
    """Name of the pose and text of each entry. Raises InputError when the file cannot be read."""
    try:
        return [(str(one["pose"]), str(one["text"])) for one in json.loads(path.read_text(encoding="utf-8"))["texts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no list of paraphrases: {error}") from error


def _all_poses() -> tuple[list[str], Tensor, Tensor]:
    """Every frame of every person of the bundled windows: names, rotations [N, 22, 3, 3], betas [N, B]."""
    names, rotations, betas = [], [], []
    for window in find_windows(None):
        sequence = window.read()
        shapes = np.zeros((sequence.num_people, 10)) if sequence.betas is None else sequence.betas
        for person in range(sequence.num_people):
            frames = np.flatnonzero(sequence.valid[:, person])
            names += [f"{window.name} {person} {frame}" for frame in frames]
            rotations.append(torch.as_tensor(sequence.rotations[frames, person, :22], dtype=torch.float32))
            betas.append(torch.as_tensor(shapes[person], dtype=torch.float32).expand(len(frames), -1))
    return names, torch.cat(rotations), torch.cat(betas)


def _without_heading(features: PoseFeatures) -> Tensor:
    """Keypoints [N, 23, 3] relative to the mid-hip, rotated about the vertical to one heading."""
    points = features.keypoints[:, 0] - features.middle(0, "hip")[:, None]
    left = features.trunk(0)[:, 0] * points.new_tensor([1.0, 0.0, 1.0])
    left = torch.nn.functional.normalize(left, dim=-1)
    axes = torch.stack([left, features.up, torch.linalg.cross(left, features.up)], dim=1)
    return torch.einsum("nij,nkj->nki", axes, points)
