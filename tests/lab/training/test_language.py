"""What can be said and where it holds, the sentences that say it, and tiny readers that learn both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from closemesh.body.skeleton import KEYPOINT_INDEX
from closemesh.core.progress import NullProgress
from closemesh.lab.training.caption_labels import CompositeLabel, label_table, labels_of, parts_of
from closemesh.lab.training.caption_sampler import CaptionSampler, shortened
from closemesh.lab.training.loop import LoopConfig
from closemesh.lab.training.motion_bank import BODY_MODEL, MotionDatasets, make_bank
from closemesh.lab.training.paraphrasing import sentence
from closemesh.lab.training.pose_attributes import PoseAttribute, pose_attributes, remark_confidence
from closemesh.lab.training.pose_encoder import Library, PoseReading, contrast, measure
from closemesh.lab.training.text_alignment import AlignmentTraining, figures, make_library, train_alignment
from closemesh.lab.training.text_encoder import TextReading
from closemesh.motion_files.sequence import MotionSequence, body_rotations
from closemesh.text.alignment import (
    LabelEmbeddings,
    PoseReaderConfig,
    PoseTokensConfig,
    TextReaderConfig,
    load_alignment,
    new_alignment,
    save_alignment,
)
from closemesh.text.grammar import parse_statement
from closemesh.text.predicates import PoseFeatures
from closemesh.text.statements import JointAngle, Placement, Statement
from closemesh.text.text_encoder import TextEncoderConfig, load_pieces

CPU = torch.device("cpu")
PIECES = load_pieces()
SAYINGS = labels_of(2)
LOOP = LoopConfig(steps=40, learning_rate=3e-3, warm_up=5, average=0.9, log_every=20, evaluate_every=1000)
TINY = AlignmentTraining(
    poses=PoseReaderConfig(PoseTokensConfig(hidden=64, pose_tokens=8, place_tokens=4, codes=64, code_width=16), 64, 32),
    text=TextReaderConfig(TextEncoderConfig(len(PIECES), 48, 1, 4, 64), len(SAYINGS), 32),
    pose_reading=PoseReading(LOOP, batch=64),
    text_reading=TextReading(LOOP, batch=32),
    singles=600,
    pairs=200,
)


def people(seed: int, count: int) -> MotionSequence:
    """`count` people in random poses."""
    rng = np.random.default_rng(seed)
    pose = 0.5 * rng.normal(size=(30, count, 22, 3))
    pose[:, :, 0] *= 0.2
    rotations, known = body_rotations(pose.astype(np.float32))
    pelvis = np.tile(np.array([0, 0.95, 0], np.float32), (30, count, 1))
    pelvis[:, 1:, 0] += 0.6
    return MotionSequence(f"poses_{seed}", 30.0, rotations, pelvis, np.ones((30, count), bool), known)


def library(seed: int, share: float) -> Library:
    one, two = (make_bank([people(seed + k, n) for k in range(6)], n, BODY_MODEL) for n in (1, 2))
    return make_library(MotionDatasets(one, two, make_bank([], 2, BODY_MODEL)), TINY, share, CPU)


@pytest.fixture(scope="module")
def libraries() -> tuple[Library, Library]:
    return library(0, 1.0), library(100, 0.5)


def standing() -> PoseFeatures:
    """Somebody upright who looks along z, the left hand straight forward, the right one hanging; x is left."""
    places = {
        **dict.fromkeys(("nose",), (0, 1.6, 0.1)),
        "left_ear": (0.07, 1.62, 0), "right_ear": (-0.07, 1.62, 0),
        "left_shoulder": (0.18, 1.4, 0), "right_shoulder": (-0.18, 1.4, 0),
        "left_elbow": (0.18, 1.4, 0.28), "right_elbow": (-0.18, 1.15, 0),
        "left_wrist": (0.18, 1.4, 0.53), "right_wrist": (-0.18, 0.93, 0),
        "left_hip": (0.1, 0.9, 0), "right_hip": (-0.1, 0.9, 0),
        "left_knee": (0.1, 0.5, 0), "right_knee": (-0.1, 0.5, 0),
        "left_ankle": (0.1, 0.1, 0), "right_ankle": (-0.1, 0.1, 0),
        "left_heel": (0.1, 0, -0.05), "right_heel": (-0.1, 0, -0.05),
        "left_big_toe": (0.1, 0, 0.15), "right_big_toe": (-0.1, 0, 0.15),
    }  # fmt: skip
    keypoints = torch.zeros(1, 1, 23, 3)
    for name, place in places.items():
        keypoints[0, 0, KEYPOINT_INDEX[name]] = torch.tensor(place)
    return PoseFeatures(keypoints, torch.tensor([[0.0, 1.0, 0.0]]), measure(CPU).capsules)


def test_remarks_of_a_known_pose():
    figure = standing()
    seen = {remark: float(remark_confidence(remark, figure)) for remark in pose_attributes(1)}
    said = {(remark.kind, remark.side) for remark, sure in seen.items() if sure > 0.75}
    assert {("arm_forward", "left"), ("forearm_level", "left"), ("hand_at_shoulder_height", "left")} <= said
    assert {("forearm_down", "right"), ("hand_at_hip_height", "right")} <= said
    untrue = {("arm_forward", "right"), ("arm_out_sideways", "left"), ("looks_down", ""), ("kneels", "left")}
    assert not untrue & said and not any(kind in ("twisted", "leans_sideways", "foot_high") for kind, _ in said)


def test_a_gist_holds_where_one_of_each_group_does():
    table, parts, said = label_table(1), parts_of(1), labels_of(1)
    knees = [number for number, part in enumerate(parts) if isinstance(part, JointAngle) and "knee" in part.joint]
    sure = torch.zeros(1, len(parts))
    bent = {JointAngle(0, "left_knee", "bent"): 0.9, JointAngle(0, "right_knee", "sharply_bent"): 0.8}
    for number in knees:
        sure[0, number] = bent.get(parts[number], 0.0)  # type: ignore[arg-type]
    held = {one: float(value) for one, value in zip(said, table.hold(sure)[0], strict=True)}
    both = [one for one in said if isinstance(one, CompositeLabel) and "{both:knees} are clearly bent" in one.texts]
    exact = [one for one in said if isinstance(one, CompositeLabel) and "{both:knees} are half bent" in one.texts]
    assert held[both[0]] == pytest.approx(0.8) and held[exact[0]] == 0


def test_what_is_said_of_one_is_also_said_of_two():
    assert len(set(SAYINGS)) == len(SAYINGS)
    place = label_table(1).place
    assert [SAYINGS[k] for k in place] == labels_of(1)


def test_every_saying_has_wordings_and_those_of_a_and_b_differ():
    random = Random(0)
    for saying in SAYINGS:
        for _ in range(3):
            text = sentence(saying, random, named=True)
            assert text and not set("{}") & set(text), text
    left = {sentence(PoseAttribute(0, "hand_on_hip", "left"), random, False) for _ in range(30)}
    assert all("left" in text and "right" not in text for text in left) and len(left) > 10
    assert "B" in sentence(PoseAttribute(1, "looks_down"), random, True)
    assert "left head" not in " | ".join(
        sentence(PoseAttribute(0, "head_tilted", "left"), random, False) for _ in range(50)
    )


def test_the_writer_reads_its_own_share_of_the_sentences():
    """Wordings that are the writer's own say what they should."""
    random, right = Random(1), 0
    statement = Placement(0, "left_hand", "above", 0, "head")
    for _ in range(100):
        text = sentence(statement, random, named=True)
        try:
            read: Statement | None = parse_statement(text)
        except ValueError:
            continue
        assert read == statement, text
        right += 1
    assert right > 5


def test_sentences_are_shortened_as_people_do():
    said = {shortened("the left arm is bent", Random(seed)) for seed in range(40)}
    assert {"the left arm is bent", "left arm bent", "the left arm bent"} <= said
    assert any(text.startswith(("keeps", "has", "holds", "with")) for text in said) and "the bent left arm" in said


def test_batches_are_drawn_anew_and_alike_by_their_seed():
    sentences = CaptionSampler(PIECES)
    first, again, other = (list(sentences.batches(Random(seed), 16, 4)) for seed in (1, 1, 2))
    assert all(
        torch.equal(a.pieces, b.pieces) and torch.equal(a.said, b.said) for a, b in zip(first, again, strict=True)
    )
    assert not all(torch.equal(a.said, b.said) for a, b in zip(first, other, strict=True))
    assert first[0].said.shape == (16, len(SAYINGS)) and (first[0].said.sum(1) >= 1).all()


def test_contrast_is_low_where_vectors_tell_what_is_true():
    table = replace(label_table(1), place=torch.arange(2), members=torch.tensor([[[0]], [[1]]]), weight=torch.ones(2))
    sayings = LabelEmbeddings(2, 2)
    true = torch.eye(2)
    with torch.no_grad():
        sayings.vectors.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))
    right, wrong = (contrast(poses, sayings, table, true, true > 0.5) for poses in (torch.eye(2), torch.eye(2).flip(0)))
    assert max(term.item() for term in right) < 0.01 and min(term.item() for term in wrong) > 5


def test_both_parts_learn_go_on_and_are_kept(libraries: tuple[Library, Library], tmp_path: Path):
    learn, check = libraries
    before = figures(new_alignment(TINY.poses, TINY.text, PIECES).eval(), check)
    made, after = train_alignment(learn, check, PIECES, tmp_path / "all", TINY, CPU, NullProgress())
    assert after["one_joints_mm"] < 0.9 * before["one_joints_mm"]
    losses = [
        float(row.split(",")[3]) for row in (tmp_path / "all/text/log.csv").read_text().splitlines() if "reading" in row
    ]
    assert losses[-1] < 0.95 * losses[0]
    save_alignment(tmp_path, made, after)
    again, same = train_alignment(learn, check, PIECES, tmp_path / "all", TINY, CPU, NullProgress())
    assert same == after, "a run that is done has nothing left to do"
    assert torch.equal(again.poses.layers[0].weight, made.poses.layers[0].weight)
    loaded = load_alignment(CPU, tmp_path)
    torch.testing.assert_close(loaded.read(["A squats."]), made.read(["A squats."]), atol=5e-3, rtol=0)
