"""Answers of a model become statements; several answers are combined by a vote."""

from __future__ import annotations

import json
import time

import pytest

from closemesh.text.grammar import from_json, to_json
from closemesh.text.statements import (
    KINDS,
    DepthOrder,
    Facing,
    JointAngle,
    Posture,
    Statement,
    Support,
    Touch,
)
from closemesh.text.vlm_client import UnusableAnswerError
from closemesh.text.vlm_prompt import parse_answer, question, vote
from closemesh.text.vocabulary import (
    POSTURES,
)

TOUCH, UPRIGHT = Touch(0, "left_hand", 1, "head"), Posture(0, "upright")
PAIR = (0, 1)


def written(*statements: Statement) -> str:
    return json.dumps({"statements": [to_json(statement) for statement in statements]})


@pytest.mark.parametrize(
    "text",
    [
        written(TOUCH, UPRIGHT),
        f"A is the one in red {{on the left}}.\n```json\n{written(TOUCH, UPRIGHT)}\n```\nThat is all.",
        f"First guess: {written(UPRIGHT)}. Looking again: {written(TOUCH, UPRIGHT)}",
        f'{{"thoughts": "they hug", "statements": {json.loads(written(TOUCH, UPRIGHT))["statements"]}}}'.replace(
            "'", '"'
        ),
        written(TOUCH, UPRIGHT, Posture(4, "face_up")).replace("}]", '}, {"kind": "hug"}, 7, "A hugs B"]'),
    ],
)
def test_the_last_list_counts_and_text_around_it_does_not(text: str):
    assert parse_answer(text, PAIR) == {TOUCH, UPRIGHT}


def test_an_empty_list_is_an_answer():
    assert parse_answer('I see nothing. {"statements": []}', PAIR) == frozenset()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("I cannot say.", "without the JSON"),
        ('{"statements": "none"}', "without the JSON"),
        ('{"statements": [{"kind": "touch", "person_a": "A"', "without the JSON"),
        ("{" * 100_000, "without the JSON"),
        ('{"a":' * 50_000, "without the JSON"),
        ('{"statements": ["A hugs B"]}', "not in the vocabulary"),
        (written(Posture(3, "upright")), "not in the vocabulary"),
    ],
)
def test_an_unusable_answer_is_an_error(text: str, message: str):
    began = time.monotonic()
    with pytest.raises(UnusableAnswerError, match=message):
        parse_answer(text, PAIR)
    assert time.monotonic() - began < 2


def test_disagreement_lowers_the_confidence():
    answers = [frozenset({TOUCH, UPRIGHT}), frozenset({TOUCH}), frozenset({TOUCH, UPRIGHT}), frozenset()]
    found = {one.statement: one for one in vote(answers, 1.0, 2.0)}
    assert found[TOUCH].confidence == pytest.approx(3.5 / 5)
    assert UPRIGHT not in found, "half of the answers are not enough"
    assert (found[TOUCH].start, found[TOUCH].end) == (1.0, 2.0)
    single, agreed = (vote([frozenset({TOUCH})] * count, 0, 1)[0].confidence for count in (1, 5))
    assert 0.5 < single < agreed < 1


def test_one_statement_of_each_topic_stays():
    bent, straight = (frozenset({JointAngle(0, "left_knee", bend)}) for bend in ("bent", "straight"))
    [found] = vote([bent, bent, straight, bent], 0, 1)
    assert found.statement == JointAngle(0, "left_knee", "bent")
    assert vote([bent, straight], 0, 1) == ()
    order = [frozenset({DepthOrder(0, 1), Facing(0, 1, "behind")}), frozenset({DepthOrder(0, 1)})]
    assert vote(order, 0, 1) == vote(order[::-1], 0, 1)


def test_the_question_lists_every_word_and_its_example_is_valid():
    text = question((0, 2))
    assert all(f'"{kind}"' in text for kind in KINDS)
    assert all(word in text for kind in KINDS.values() for words in kind.choices.values() for word in words)
    assert "marked A and C" in text and "A|C" in text
    example = text[text.rindex('{"statements"') :].replace(", ...", "")
    assert all(set(from_json(value).people) <= {0, 2} for value in json.loads(example)["statements"])


def test_a_single_person_has_no_partner_in_the_question():
    text = question((1,))
    assert "the person marked B" in text
    assert not any(f'"{kind.kind}"' in text for kind in (Touch, Facing, DepthOrder, Support))
    assert all(posture in text for posture in POSTURES)
