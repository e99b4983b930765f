"""Trains what texts and poses have in common, in two parts: poses with vectors of sayings, then texts that say them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

from closemesh.core.progress import Progress
from closemesh.lab.training.caption_labels import SURE, LabelTable, label_table
from closemesh.lab.training.caption_sampler import CaptionSampler
from closemesh.lab.training.loop import LoopConfig
from closemesh.lab.training.motion_bank import MotionDataset, MotionDatasets
from closemesh.lab.training.pose_encoder import (
    Library,
    PoseBank,
    PoseReading,
    PosesAndSayings,
    draw_poses,
    features,
    joint_errors,
    label_probability,
    measure,
    train_poses,
)
from closemesh.lab.training.text_encoder import TextReading, begin_with_sentences, train_text
from closemesh.text.alignment import (
    LabelEmbeddings,
    PoseEncoder,
    PoseReaderConfig,
    PoseTextModel,
    TextReader,
    TextReaderConfig,
    load_alignment,
    new_alignment,
)
from closemesh.text.text_encoder import WordPieceTokenizer

CHECKED = 0.05  # Poses to check on, for each to learn from.
GALLERY = 1000  # Poses among which the right one is looked for.
_TEXTS = 200  # That look for theirs.
_TOLD = 8  # Sentences in each.


@dataclass(frozen=True)
class AlignmentTraining:
    """How the alignment is trained."""

    poses: PoseReaderConfig = field(default_factory=PoseReaderConfig)
    text: TextReaderConfig = field(default_factory=TextReaderConfig)
    pose_reading: PoseReading = field(default_factory=lambda: PoseReading(LoopConfig()))
    text_reading: TextReading = field(default_factory=lambda: TextReading(LoopConfig()))
    singles: int = 120_000
    """Poses of one person that are drawn once and learned from."""
    pairs: int = 40_000
    seed: int = 0


def make_library(banks: MotionDatasets, config: AlignmentTraining, share: float, device: torch.device) -> Library:
    """A `share` of the poses that training draws, with mirrored ones, and what can be said of them."""
    body = measure(device)
    banks = banks.to(device)
    generator = torch.Generator(device).manual_seed(config.seed + 2)

    def drawn(people: int, of_banks: Sequence[tuple[MotionDataset, float]], count: int) -> PoseBank:
        shares = [(bank, round(count * share * part)) for bank, part in of_banks]
        return draw_poses(shares, people, body.points, body.capsules, generator)

    # People of couples come by twos: a sixth of the draws gives a third of the poses.
    one = [(banks.singles, 0.4), (banks.pairs, 0.1), (banks.interactions, 0.2)]
    two = [(banks.pairs, 0.25), (banks.interactions, 0.75)]
    tables = label_table(1).to(device), label_table(2).to(device)
    return Library(drawn(1, one, config.singles), drawn(2, two, config.pairs), *tables)


def train_alignment(
    learn: Library,
    check: Library,
    pieces: WordPieceTokenizer,
    folder: Path,
    config: AlignmentTraining,
    device: torch.device,
    progress: Progress,
    resume: bool = True,
    sentences: Path | None = None,
    begin_with: Path | None = None,
) -> tuple[PoseTextModel, dict[str, float]]:
    """The alignment, and its figures on `check`, which it has not learned from.

    sentences: folder of a published sentence encoder whose weights the text reader begins with; begin_with: folder of
    earlier readers to go on from. Without either the weights are random.
    """
    torch.manual_seed(config.seed)
    if begin_with is None:
        network = new_alignment(config.poses, config.text, pieces)
    else:
        network = load_alignment(device, begin_with)
    if sentences is not None:
        begin_with_sentences(network.text.encoder, pieces, sentences)
    states = PosesAndSayings(network.poses, network.text.sayings)
    found = train_poses(
        states, learn, folder / "poses", config.pose_reading, device, progress, _told_by_vectors(check), resume
    )
    text = TextReader(network.text.config)
    text.load_state_dict({**network.text.state_dict(), **_named(found.sayings)})

    def evaluate(trained: nn.Module) -> dict[str, float]:
        assert isinstance(trained, TextReader)
        return figures(PoseTextModel(found.poses, trained, pieces).eval(), check)

    begun = sentences is not None or begin_with is not None
    text = train_text(text, pieces, folder / "text", config.text_reading, device, progress, evaluate, resume, begun)
    made = PoseTextModel(found.poses, text, pieces).eval()
    return made, figures(made, check)


def _named(sayings: LabelEmbeddings) -> dict[str, Tensor]:
    return {f"sayings.{name}": value for name, value in sayings.state_dict().items()}


def _told_by_vectors(check: Library) -> Callable[[nn.Module], dict[str, float]]:
    """Figures of pose readers alone, as if every text were read without a mistake."""

    def evaluate(trained: nn.Module) -> dict[str, float]:
        assert isinstance(trained, PosesAndSayings)

        def texts(said: Sequence[Sequence[int]], people: int) -> Tensor:
            return torch.stack([trained.sayings.vectors[list(rows)].sum(0) for rows in said])

        return _figures(trained.poses.eval(), check, texts)

    return evaluate


def figures(alignment: PoseTextModel, check: Library) -> dict[str, float]:
    """How well some of what is true of a pose finds it among others, in wordings drawn by a seed; decoded joints."""
    sentences = CaptionSampler(alignment.pieces)

    def texts(said: Sequence[Sequence[int]], people: int) -> Tensor:
        random = Random(0)
        told = [[sentences.wording(row, random, people) for row in rows] for rows in said]
        vectors = alignment.read_sentences([text for one in told for text in one])
        return torch.stack([part.sum(0) for part in vectors.split([len(one) for one in told])])

    return _figures(alignment.poses, check, texts)


@torch.no_grad()
def _figures(
    poses: PoseEncoder, check: Library, texts: Callable[[Sequence[Sequence[int]], int], Tensor]
) -> dict[str, float]:
    found: dict[str, float] = {}
    body = measure(check.singles.holds.device)
    for name, bank, table in (("one", check.singles, check.about_one), ("two", check.pairs, check.about_two)):
        people = 1 if name == "one" else 2
        generator = torch.Generator().manual_seed(0)
        gallery = bank.part(torch.randperm(len(bank), generator=generator)[:GALLERY].to(bank.holds.device))
        said = _told(label_probability(gallery, table)[:_TEXTS], table, generator)
        pose, place = features(gallery)
        vectors, tokens = poses(pose, place)
        ranks = ranks_of(texts(said, people).to(vectors), vectors)
        found |= {f"{name}_R@{k}": float((ranks < k).float().mean()) for k in (1, 10)}
        found[f"{name}_joints_mm"] = 1000 * float(joint_errors(tokens.pose, pose, body).norm(dim=-1).mean())
        if place is not None and tokens.place is not None:
            found[f"{name}_place_mm"] = 1000 * float((tokens.place - place)[..., :3].norm(dim=-1).mean())
    return found


def _told(true: Tensor, table: LabelTable, generator: torch.Generator) -> list[list[int]]:
    """Of each state _TOLD things that surely hold, by their place among all sayings."""
    told = []
    for row in true.cpu():
        surely = (row >= SURE).nonzero()[:, 0]
        chosen = surely[torch.randperm(len(surely), generator=generator)[:_TOLD]]
        told.append(table.place.cpu()[chosen].tolist())
    return told


def ranks_of(texts: Tensor, poses: Tensor) -> Tensor:
    """[M] how many other poses each text [M, space] is nearer to than to its own; poses [N, space], its own first."""
    alike = texts @ poses.T
    return (alike > alike.diagonal()[:, None]).sum(1)
