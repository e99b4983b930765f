"""Texts are split into clauses, and a clause without a subject gets that of the clause before."""

from __future__ import annotations

import pytest

from closemesh.text.text_encoder import split_clauses


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("A's left leg forward, right one straight.", ["A's left leg forward", "right leg straight"]),
        ("Left arm raised, the other hanging down", ["Left arm raised", "the right arm hanging down"]),
        ("Left arm bent and slightly raised", ["Left arm bent", "left arm slightly raised"]),
        ("right knee lifted with the foot behind", ["right knee lifted", "the right foot behind"]),
        ("Stands on the left leg while the other leg is back", ["Stands on the left leg", "the right leg is back"]),
        ("knees bent, looking down", ["knees bent", "looking down"]),
        ("B's left arm up, the other down. He looks up", ["B's left arm up", "B's right arm down", "B looks up"]),
        ("B sits, A's head is bowed, eyes shut", ["B sits", "A's head is bowed", "eyes shut"]),
        ("Sits; arms crossed. Head up!", ["Sits", "arms crossed", "Head up"]),
    ],
)
def test_each_clause_has_its_subject(text: str, clauses: list[str]):
    assert split_clauses(text) == clauses


@pytest.mark.parametrize(
    "text",
    [
        "hands and knees on the floor",
        "Arms hanging between the body and the knees",
        "The left hand is above the right hand and the head",
        "A's left knee is bent at about a right angle",
    ],
)
def test_lists_of_limbs_stay_together(text: str):
    assert split_clauses(text) == [text]


def test_a_text_of_punctuation_is_one_clause():
    assert split_clauses(",") == [","] and split_clauses("") == [""]
