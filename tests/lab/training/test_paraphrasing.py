"""Every label has paraphrases, with the right person and side."""

from __future__ import annotations

from random import Random

from closemesh.lab.training.caption_labels import labels_of
from closemesh.lab.training.paraphrasing import paraphrase_label
from closemesh.lab.training.pose_attributes import PoseAttribute
from closemesh.text.grammar import parse_statement
from closemesh.text.statements import Placement, Statement


def test_every_label_has_paraphrases_and_those_of_a_and_b_differ():
    random = Random(0)
    for label in labels_of(2):
        for _ in range(3):
            text = paraphrase_label(label, random, named=True)
            assert text and not set("{}") & set(text), text
    left = {paraphrase_label(PoseAttribute(0, "hand_on_hip", "left"), random, False) for _ in range(30)}
    assert all("left" in text and "right" not in text for text in left) and len(left) > 10
    assert "B" in paraphrase_label(PoseAttribute(1, "looks_down"), random, True)
    assert "left head" not in " | ".join(
        paraphrase_label(PoseAttribute(0, "head_tilted", "left"), random, False) for _ in range(50)
    )


def test_paraphrases_of_the_grammar_are_parsed_back():
    random, right = Random(1), 0
    statement = Placement(0, "left_hand", "above", 0, "head")
    for _ in range(100):
        text = paraphrase_label(statement, random, named=True)
        try:
            parsed: Statement | None = parse_statement(text)
        except ValueError:
            continue
        assert parsed == statement, text
        right += 1
    assert right > 5
