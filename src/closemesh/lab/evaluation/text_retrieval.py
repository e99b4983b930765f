"""How well texts find the poses that they are about, among the poses of the bundled benchmark windows."""

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
from closemesh.text.predicates import PoseFeatures, confidence, pose_features_at
from closemesh.text.statements import TimedStatement
from closemesh.weights.locate import find_model

POSES = 1000
PARAPHRASES_FILE = "benchmark/paraphrases.json"
_UP = (0.0, 1.0, 0.0)  # Windows are in their world.


@dataclass(frozen=True)
class Gallery:
    """N poses of one person each."""

    names: tuple[str, ...]
    """Window, person and frame."""
    rotations: Tensor  # [N, 22, 3, 3] world
    figures: PoseFeatures  # [N, 1, 23, 3]

    def __len__(self) -> int:
        return len(self.names)

    def part(self, index: Tensor) -> Gallery:
        """Some of them."""
        figures = PoseFeatures(self.figures.keypoints[index], self.figures.up[index], self.figures.capsules)
        return Gallery(tuple(self.names[k] for k in index.tolist()), self.rotations[index], figures)

    def features(self) -> Tensor:
        """[N, 1, POSE_WIDTH]."""
        return pose_input(self.rotations, self.figures.up)[:, None]

    def texts(self, seed: int | None) -> list[str]:
        """All that the writer finds true of each, in wordings drawn by the seed, the plainest without one."""
        said = list(candidates(1))
        with torch.inference_mode():
            sure = (
                torch.stack([confidence(statement, self.figures) for statement in said], dim=-1)
                >= RuleConfig().min_confidence
            )
        return [
            render_description(
                (TimedStatement(said[k]) for k in row.nonzero()[:, 0].tolist()), None if seed is None else seed + number
            )
            for number, row in enumerate(sure)
        ]


@dataclass(frozen=True)
class Retrieval:
    """Among how many poses the right one was how often the first, or one of the first ten."""

    poses: int
    texts: int
    first: float
    ten: float
    """Shares of the texts."""


def benchmark_gallery(count: int = POSES, seed: int = 0) -> Gallery:
    """Poses of the bundled windows far from each other: each the farthest from all before it, the first by the seed.

    The distance is the mean one of the keypoints, pelvises and headings put upon each other. Raises InputError.
    """
    names, rotations, betas = _all_poses()
    body = load_bundled_body("light")
    points, capsules = load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)
    up = torch.tensor(_UP).expand(len(names), 3)
    nowhere = torch.zeros(len(names), 1, 3)
    figures = pose_features_at(rotations[:, None], nowhere, betas[:, None], up, points, capsules)
    whole = Gallery(tuple(names), rotations, figures)
    return whole.part(farthest(_headed(figures), count, seed))


def farthest(points: Tensor, count: int, seed: int) -> Tensor:
    """[count] indices of sets of points [N, K, 3], each the farthest from all before it."""
    random = np.random.default_rng(seed)
    chosen = [int(random.integers(len(points)))]
    nearest = torch.full((len(points),), torch.inf)
    while len(chosen) < min(count, len(points)):
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).norm(dim=-1).mean(-1))
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen)


def retrieve(texts: Tensor, own: Sequence[int], poses: Tensor) -> Retrieval:
    """How texts [M, space] rank `own` poses among all [N, space]."""
    alike = texts @ poses.T
    right = alike.gather(1, torch.tensor(own)[:, None])
    ranks = (alike > right).sum(1)
    return Retrieval(len(poses), len(texts), float((ranks < 1).float().mean()), float((ranks < 10).float().mean()))


def measure_retrieval(alignment: PoseTextModel, seed: int) -> dict[str, Retrieval]:
    """By the writer's own texts, plain and in many wordings, and by hand-written paraphrases.

    Raises InputError when a paraphrase is about a pose that is not in the gallery.
    """
    gallery = benchmark_gallery()
    poses, _ = alignment.pose_encoder(gallery.features())
    everybody = range(len(gallery))
    found = {
        name: retrieve(alignment.encode_texts(gallery.texts(chosen)), everybody, poses)
        for name, chosen in (("plain", None), ("many wordings", seed))
    }
    free = read_paraphrases(find_model(PARAPHRASES_FILE))
    place = {name: number for number, name in enumerate(gallery.names)}
    missing = [name for name, _ in free if name not in place]
    if missing:
        raise InputError(f"no pose {missing[0]} in the gallery; the bundled windows are not those of the paraphrases")
    read = alignment.encode_texts([text for _, text in free])
    return found | {"paraphrases": retrieve(read, [place[name] for name, _ in free], poses)}


def read_paraphrases(path: Path) -> list[tuple[str, str]]:
    """Pose and text of each. Raises InputError."""
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


def _headed(figures: PoseFeatures) -> Tensor:
    """Keypoints [N, 23, 3] about the mid-hip, turned so that all trunks face the same way."""
    points = figures.keypoints[:, 0] - figures.middle(0, "hip")[:, None]
    left = figures.trunk(0)[:, 0] * points.new_tensor([1.0, 0.0, 1.0])
    left = torch.nn.functional.normalize(left, dim=-1)
    axes = torch.stack([left, figures.up, torch.linalg.cross(left, figures.up)], dim=1)
    return torch.einsum("nij,nkj->nki", axes, points)
