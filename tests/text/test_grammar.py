"""Every sentence is parsed back: all statements of the vocabulary, all paraphrases, as text and as JSON."""

from __future__ import annotations

import json
from itertools import permutations, product
from pathlib import Path
from random import Random

import pytest

from closemesh.core.errors import ModelFileError
from closemesh.text import grammar
from closemesh.text.grammar import (
    from_json,
    paraphrases,
    parse_description,
    parse_statement,
    parse_timed,
    person_letter,
    render_description,
    render_statement,
    render_timed,
    to_json,
)
from closemesh.text.phrase_files import load_phrases
from closemesh.text.statements import (
    KINDS,
    DepthOrder,
    Facing,
    JointAngle,
    Placement,
    Statement,
    Support,
    TimedStatement,
    Touch,
    renumber,
    select_people,
)
from closemesh.text.vocabulary import (
    RELATIONS,
)

PEOPLE = ((0, 1), (1, 0), (3, 30))


def every_statement() -> list[Statement]:
    """The whole vocabulary, for a few people."""
    found: list[Statement] = []
    for kind in KINDS.values():
        names = kind.person_fields()
        groups = [(p,) for p in (0, 2, 27)] if len(names) == 1 else [*PEOPLE, *([(0, 0)] if kind is Placement else [])]
        for people, words in product(groups, product(*kind.choices.values())):
            values = {**dict(zip(names, people, strict=True)), **dict(zip(kind.choices, words, strict=True))}
            try:
                found.append(kind(**values))
            except ValueError:
                assert kind is Placement  # Two people allow only `above`, and no point is above itself.
    return list(dict.fromkeys(found))


STATEMENTS = every_statement()


def test_the_vocabulary_is_large_and_has_many_paraphrases():
    assert len(STATEMENTS) > 1500
    assert {type(statement) for statement in STATEMENTS} == set(KINDS.values())
    assert all(len(set(paraphrases(statement))) >= 4 for statement in STATEMENTS)
    assert len(set(paraphrases(Touch(0, "left_hand", 1, "upper_trunk")))) > 50


@pytest.mark.parametrize("kind", KINDS)
def test_every_paraphrase_is_parsed_back(kind: str):
    """All statements in random paraphrases, and all paraphrases of some statements."""
    random = Random(kind)
    of_kind = [statement for statement in STATEMENTS if statement.kind == kind]
    for statement in of_kind:
        assert parse_statement(render_statement(statement)) == statement
        assert parse_statement(render_statement(statement, random)) == statement
    for statement in random.sample(of_kind, min(len(of_kind), 20)):
        for text in paraphrases(statement):
            assert parse_statement(text) == statement, text


def test_no_sentence_has_two_meanings():
    meaning: dict[str, Statement] = {}
    for statement in Random(1).sample(STATEMENTS, 300):
        for text in paraphrases(statement):
            assert meaning.setdefault(text.lower(), statement) == statement, text


def test_every_statement_goes_through_json():
    for statement in STATEMENTS:
        assert from_json(json.loads(json.dumps(to_json(statement)))) == statement


def test_the_choice_of_paraphrases_is_seeded():
    timed = [TimedStatement(statement) for statement in Random(2).sample(STATEMENTS, 40)]
    assert render_description(timed, seed=3) == render_description(timed, seed=3) != render_description(timed, seed=4)
    for text in (render_description(timed, seed=3), render_description(timed)):
        assert parse_description(text) == tuple(timed)


def test_intervals_are_parsed_back():
    random = Random(4)
    inf = float("inf")
    for statement in random.sample(STATEMENTS, 60):
        for start, end in ((0.0, 0.5), (1.25, 12.0), (-inf, 3.0), (2.5, inf), (-inf, inf)):
            timed = TimedStatement(statement, start, end)
            for text in (render_timed(timed), *(render_timed(timed, random) for _ in range(6))):
                assert parse_timed(text) == timed, text


def test_symmetric_statements_are_stored_in_one_order():
    assert Touch(1, "head", 0, "left_hand") == Touch(0, "left_hand", 1, "head")
    assert Facing(1, 0, "back_to_back") == Facing(0, 1, "back_to_back")
    assert Facing(1, 0, "behind") != Facing(0, 1, "behind")
    assert parse_statement("B and A are face to face.") == Facing(0, 1, "facing_each_other")
    assert parse_statement("B's left hand rests on A's head") == Touch(0, "head", 1, "left_hand")


def test_capitals_spaces_and_apostrophes_do_not_matter():
    wanted = Placement(0, "left_hand", "above", 0, "head")
    for text in ("a's left hand is above their head", "THE LEFT HAND of person A is  higher than the head of A."):
        assert parse_statement(text) == wanted
    assert parse_statement("A\N{RIGHT SINGLE QUOTATION MARK}s head is below A's left hand") == wanted
    assert parse_statement("Person A is carried by P30") == Support(30, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A dances", "'A dances' is not in the vocabulary; write it as in \"A's left hand touches B's upper trunk\""),
        ("A's left hand touches A's head", "two different people"),
        ("A's left hand is in front of B's head", "only above"),
        ("A's head is above their head", "cannot be above itself"),
    ],
)
def test_a_wrong_sentence_is_an_error(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        parse_statement(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "hug", "person_a": "A"}, "kind 'hug' is unknown; it is one of joint_angle"),
        ({"kind": "support", "carrier": "A"}, "lacks carried; it has carrier, carried"),
        ({"kind": "support", "carrier": "A", "carried": "B", "how": "high"}, "has no how"),
        ({"kind": "support", "carrier": "Anna", "carried": "B"}, "'Anna' is no person"),
        ({"kind": "support", "carrier": True, "carried": "B"}, "'True' is no person"),
        ({"kind": "joint_angle", "person": "A", "joint": "nose", "bend": "bent"}, "joint 'nose' is unknown; it is one"),
        ({"kind": "joint_angle", "person": -1, "joint": "left_knee", "bend": "bent"}, "person -1 is no person"),
    ],
)
def test_wrong_json_is_an_error(values: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        from_json(values)


def test_statements_of_one_topic_exclude_each_other():
    assert JointAngle(0, "left_knee", "bent").topic == JointAngle(0, "left_knee", "straight").topic
    assert Placement(0, "head", "above", 1, "head").topic == Placement(1, "head", "above", 0, "head").topic
    assert DepthOrder(0, 1).topic == DepthOrder(1, 0).topic
    assert Touch(0, "head", 1, "head").topic != Touch(0, "head", 1, "left_hand").topic


def test_the_statements_of_a_pair_are_selected_and_renumbered():
    timed = tuple(TimedStatement(Support(a, b)) for a, b in permutations((0, 2, 5), 2))
    assert [one.statement for one in select_people(timed, (5, 2))] == [Support(1, 0), Support(0, 1)]
    assert renumber(Touch(0, "head", 1, "left_hand"), {0: 7, 1: 3}) == Touch(3, "left_hand", 7, "head")
    assert person_letter(25) == "Z" and person_letter(26) == "P26"
    assert set(RELATIONS) == {"above", "in_front_of", "left_of"}


SHIPPED = Path(grammar.__file__).with_name("phrases.toml").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SHIPPED + '\n[phrases.color]\nred = ["red"]\n', "'color' is not in the vocabulary"),
        (SHIPPED.replace("sharply_bent = ", "very_bent = "), "'very_bent' is not in the vocabulary"),
        (SHIPPED.replace("fixed = {", "always = {"), r"templates\.facing\.2"),
        (SHIPPED.replace("support = [", "lift = ["), "'lift' is not in the vocabulary"),
        ("[templates", "cannot read the phrases of .*; reinstall closemesh"),
    ],
)
def test_a_damaged_phrase_file_is_an_error(tmp_path: Path, content: str, message: str):
    path = tmp_path / "phrases.toml"
    path.write_text(content)
    with pytest.raises(ModelFileError, match=message):
        load_phrases(path, grammar._PhraseFile)
