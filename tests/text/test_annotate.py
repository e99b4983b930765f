"""A clip described by a model on a real server: questions and images, cached answers, and failures."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chat_server import CUT_OFF, MODEL, REFUSED, ChatServer, Reply, statements
from known_scenes import KnownScene
from raw_answer import BROKEN, ENDLESS

from closemesh.config.schema import LanguageConfig
from closemesh.core.errors import InputError
from closemesh.core.progress import NullProgress
from closemesh.structures import Observations
from closemesh.text.annotate import VALIDITY_SECONDS, box_overlap, check_language, describe, select_key_frames
from closemesh.text.descriptions import read_descriptions
from closemesh.text.statements import DepthOrder, Posture, TimedStatement, Touch
from closemesh.text.vlm_client import KEY_VARIABLE
from closemesh.text.vlm_prompt import annotated_crop, as_data_url
from closemesh.video.video_files import write_video

TOUCH = {"kind": "touch", "person_a": "A", "part_a": "left_hand", "person_b": "B", "part_b": "head"}
ORDER = {"kind": "depth_order", "nearer": "A", "farther": "B"}
ANSWER = statements(TOUCH, ORDER)
KEY = "sk-very-secret-0123"


@pytest.fixture(scope="module")
def scene(known_scene: KnownScene, tmp_path_factory: pytest.TempPathFactory) -> KnownScene:
    """The known scene as a video of noise over 1.1 seconds, with overlapping people."""
    clip = replace(known_scene.clip, path=tmp_path_factory.mktemp("clip") / "video.mp4", times=np.arange(12) / 10)
    random = np.random.default_rng(0)
    frames = [random.integers(0, 255, (480, 640, 3), dtype=np.uint8) for _ in range(12)]
    write_video(frames, clip.path, clip.times)
    return replace(known_scene, clip=clip, observations=moved_boxes(known_scene.observations, -60))


def moved_boxes(observations: Observations, pixels: float) -> Observations:
    """The box of the second person moved to the right; at -60 it covers most of the first box."""
    boxes = observations.boxes.copy()
    boxes[:, 1] += [pixels, 0, pixels, 0]
    return replace(observations, boxes=boxes)


class Describer:
    """Calls `describe` for the scene, and records notes and waiting times."""

    def __init__(self, scene: KnownScene, server: ChatServer, out: Path) -> None:
        self.scene, self.server, self.out = scene, server, out
        self.notes: list[str] = []
        self.waits: list[float] = []

    def __call__(self, *replies: Reply, **config: object) -> tuple[TimedStatement, ...]:
        self.server.replies, self.server.requests[:] = list(replies), []
        progress = NullProgress()
        settings = LanguageConfig(describe_with=self.server.url, model=MODEL, num_samples=3, timeout=5.0)
        settings = replace(settings, **config)  # type: ignore[arg-type]
        scene = self.scene
        found = describe(
            scene.clip, scene.observations, scene.motion, settings, self.out, progress, sleep=self.waits.append
        )
        self.notes = progress.notes
        return found


@pytest.fixture
def describer(scene: KnownScene, server: ChatServer, tmp_path: Path) -> Describer:
    return Describer(scene, server, tmp_path)


def test_a_model_is_asked_about_key_frames_and_its_answers_are_cached(describer: Describer):
    found = describer(ANSWER)
    assert {one.statement for one in found} == {Touch(0, "left_hand", 1, "head"), DepthOrder(0, 1)}
    assert all(one.confidence == pytest.approx(3.5 / 4) for one in found)
    server = describer.server
    key_frames = len(server.requests) // 3
    assert 1 <= key_frames <= 4 and len(found) == 2 * key_frames
    assert describer.notes == []
    text = server.requests[0]["messages"][1]["content"][0]["text"]
    assert "the people marked A and B" in text and "left_lower_leg" in text
    assert all(max(image.shape) >= 500 for image in server.images())

    again = describer(Reply(status=500))
    assert again == found, "to the last digit, or the refinement would run again"
    assert server.requests == [], "no question is asked twice"
    [entry, *_] = read_descriptions(describer.out / "descriptions.json", describer.scene.clip.times)
    assert entry.source == MODEL and len(entry.question) == 64


def test_answers_that_disagree(describer: Describer):
    found = describer(ANSWER, statements(ORDER), statements(), num_frames=1)
    assert [(one.statement, one.confidence) for one in found] == [(DepthOrder(0, 1), 2.5 / 4)]


def test_another_model_is_asked_again_and_both_answers_are_cached(
    describer: Describer, monkeypatch: pytest.MonkeyPatch
):
    describer(ANSWER, num_frames=1)
    monkeypatch.setattr("chat_server.MODEL", "another")
    found = describer(statements(ORDER), model="another", num_frames=1)
    assert {one.statement for one in found} == {DepthOrder(0, 1)}
    cached = read_descriptions(describer.out / "descriptions.json", describer.scene.clip.times)
    assert [entry.source for entry in cached] == [MODEL, "another"]


def test_entries_by_hand_are_used_and_stay(describer: Describer):
    file = describer.out / "descriptions.json"
    own = {"people": ["B"], "end": 0.5, "statements": ["B is upright"]}
    foreign = {**own, "source": "rules", "statements": ["B is upside down"]}
    missing = {"people": ["D"], "statements": ["D is upright"]}
    file.write_text(json.dumps({"schema": 1, "descriptions": [own, foreign, missing]}))
    found = describer(ANSWER, num_frames=1)
    assert found[0] == TimedStatement(Posture(1, "upright"), end=0.5) and len(found) == 3
    assert len(read_descriptions(file, describer.scene.clip.times)) == 4


def test_a_broken_file_of_answers_is_not_overwritten(describer: Describer):
    file = describer.out / "descriptions.json"
    file.write_text('{"schema": 1, "descriptions": [{]}')
    with pytest.raises(InputError, match=r"descriptions\.json, line 1"):
        describer(ANSWER)
    assert describer.server.requests == [] and "[{]" in file.read_text()


@pytest.mark.parametrize(
    ("replies", "message", "requests"),
    [
        ((REFUSED,), "(refused)", 3),
        ((Reply("I would rather not."),), "(without the JSON that was asked for)", 3),
        ((CUT_OFF, REFUSED, REFUSED), "(refused)", 3),
        ((Reply(status=401),), f"is {KEY_VARIABLE} set to its key?)", 1),
        ((Reply(status=500),), "(the server answered 500 Internal Server Error, 4 times)", 4),
        ((Reply(status=429, headers={"Retry-After": "9999"}),), "(the server asks to come back in 9999 s)", 1),
        ((Reply(cut=10),), "4 times)", 4),
    ],
)
def test_without_an_answer_the_run_goes_on(
    describer: Describer, replies: tuple[Reply, ...], message: str, requests: int
):
    assert describer(*replies, num_frames=1) == ()
    [note] = describer.notes
    assert note.startswith(f"{MODEL} at 127.0.0.1 left 1 of 1 frames without a description")
    assert message in note and note.endswith("going on without")
    assert len(describer.server.requests) == requests
    assert not (describer.out / "descriptions.json").exists()


def test_unusable_answers_are_replaced(describer: Describer):
    found = describer(CUT_OFF, Reply(status=429, headers={"Retry-After": "3"}), REFUSED, ANSWER, num_frames=1)
    assert len(found) == 2 and describer.notes == [] and describer.waits == [3.0]
    assert len(describer.server.requests) == 6


def test_a_server_that_fails_is_not_asked_again(describer: Describer):
    """The one answer is used, but it is not cached: the next run asks again."""
    found = describer(ANSWER, Reply(status=404))
    assert {one.statement for one in found} == {Touch(0, "left_hand", 1, "head"), DepthOrder(0, 1)}
    assert len(describer.server.requests) == 2
    [note] = describer.notes
    assert "404" in note
    assert not (describer.out / "descriptions.json").exists()


@pytest.mark.parametrize("last", [Reply(drip=0.1), Reply(body=b"[" * 100_000), Reply(raw=ENDLESS["interim answers"])])
def test_what_is_answered_already_stays_when_the_server_fails(describer: Describer, last: Reply):
    whole = describer(ANSWER)
    (describer.out / "descriptions.json").unlink()
    found = describer(ANSWER, ANSWER, ANSWER, last, timeout=0.3)
    assert found == whole[:2] and len(whole) > 2
    [note] = describer.notes
    assert "left" in note and "going on without" in note
    [entry] = read_descriptions(describer.out / "descriptions.json", describer.scene.clip.times)
    assert len(entry.statements) == 2
    assert describer(ANSWER) == whole and describer.notes == []
    assert len(describer.server.requests) == 3 * (len(whole) // 2 - 1), "only the open questions are asked"


@pytest.mark.parametrize("seed", range(6))
def test_a_run_over_a_server_that_lies_ends_with_a_note(
    describer: Describer, monkeypatch: pytest.MonkeyPatch, seed: int
):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    source = random.Random(seed)
    values = [7, None, [], {}, "A", ["A"], 10**400, -1, 0.5, {"a": [{}]}, "\x1b[31m", True]
    lies = [Reply(f'{{"statements": {"[" * depth}{"]" * depth}}}') for depth in (2, 1000, 50_000)]
    lies += [statements({**TOUCH, source.choice([*TOUCH, "more"]): source.choice(values)}) for _ in range(20)]
    lies += [Reply(json.dumps({"statements": source.choice(values)})) for _ in range(5)]
    lies += [Reply('{"statements": [{"kind": "touch", "person_a": ' + "9" * 5000 + "}]}"), Reply(body=b"\xff{" * 99)]
    lies += [Reply(status=429, headers={"Retry-After": "\xb2"}), Reply(raw=BROKEN["nothing"]), ANSWER]
    source.shuffle(lies)
    for one in describer(*lies, Reply(status=500, body=f'{{"error": "{KEY}"}}'.encode())):
        assert one.statement in (Touch(0, "left_hand", 1, "head"), DepthOrder(0, 1)) or isinstance(one.statement, Touch)
    assert len(describer.notes) <= 1 and all(note.isprintable() and KEY not in note for note in describer.notes)


def test_the_key_is_never_written(describer: Describer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY + "\n")
    describer.server.key = KEY
    assert describer(ANSWER, num_frames=1)
    describer.server.key = "another"
    describer(ANSWER, model="sees-worse")
    assert describer.notes
    written = "".join(path.read_text() for path in describer.out.glob("*.json"))
    assert KEY not in written + "".join(describer.notes)


def test_without_ambiguous_frames_the_model_is_not_asked(describer: Describer):
    separate = moved_boxes(describer.scene.observations, 1000)
    describer.scene = replace(describer.scene, observations=separate)
    assert describer(ANSWER) == ()
    assert describer.server.requests == [] and "was not asked" in describer.notes[0]


def test_a_file_instead_of_a_model(known_scene: KnownScene, tmp_path: Path):
    file = tmp_path / "mine.json"
    file.write_text('{"schema": 1, "descriptions": [{"people": ["A", "C"], "statements": ["A carries C"]}]}')
    config = LanguageConfig(descriptions=str(file))
    scene = known_scene
    check_language(config, scene.clip.times, tmp_path)
    with pytest.raises(InputError, match=r"mine\.json, entry 1: C was not found; there are A, B"):
        describe(scene.clip, scene.observations, scene.motion, config, tmp_path, NullProgress())
    file.write_text(file.read_text().replace("C", "B"))
    [found] = describe(scene.clip, scene.observations, scene.motion, config, tmp_path, NullProgress())
    assert found.statement.people == (0, 1)
    assert describe(scene.clip, scene.observations, scene.motion, LanguageConfig(), tmp_path, NullProgress()) == ()


def test_errors_are_found_before_the_run(tmp_path: Path):
    with pytest.raises(InputError, match="not found"):
        check_language(LanguageConfig(descriptions=str(tmp_path / "none.json")), np.arange(3.0), tmp_path)
    with pytest.raises(InputError, match="no http or https address"):
        check_language(LanguageConfig(describe_with="host/v1", model=MODEL), np.arange(3.0), tmp_path)
    (tmp_path / "descriptions.json").write_text('"words of another kind"')
    with pytest.raises(InputError, match="has schema None"):
        check_language(LanguageConfig(describe_with="http://localhost/v1", model=MODEL), np.arange(3.0), tmp_path)


def test_ambiguity_is_overlap_hidden_limbs_and_low_confidence(scene: KnownScene):
    observations, motion, times = scene.observations, scene.motion, scene.clip.times
    pairs = select_key_frames(observations, motion, times, 8)
    assert pairs and all(one.people == (0, 1) for one in pairs)
    asked = times[[one.frame for one in pairs]]
    assert (np.diff(asked) > VALIDITY_SECONDS).all() and (
        np.abs(times[:, None] - asked).min(1) <= VALIDITY_SECONDS
    ).all()
    assert len(select_key_frames(observations, motion, times, 1)) == 1
    confidence = np.ones((12, 2), np.float32)
    confidence[6, 1] = 0.1
    uncertain = replace(motion, confidence=confidence)
    key_frames = select_key_frames(moved_boxes(observations, 1000), uncertain, times, 8)
    assert [(one.people, one.frame) for one in key_frames] == [((1,), 6)]
    assert select_key_frames(moved_boxes(observations, 1000), replace(uncertain, valid=~motion.valid), times, 8) == []
    certain = replace(motion, confidence=np.ones((12, 2), np.float32))
    keypoints = observations.keypoints.copy()
    keypoints[3, 0, 9, 2] = 0.1
    hidden = replace(moved_boxes(observations, 1000), keypoints=keypoints)
    assert [(one.people, one.frame) for one in select_key_frames(hidden, certain, times, 8)] == [((0,), 3)]


def test_overlap_of_boxes():
    a = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    b = np.array([[5.0, 0, 10, 5], [20, 0, 30, 10], [5, 5, 25, 25]])
    assert box_overlap(a, b).tolist() == [1.0, 0.0, 0.25]


def test_people_are_boxed_and_lettered():
    frame = np.full((400, 600, 3), 128, np.uint8)
    boxes = {0: np.array([100.0, 50, 200, 350]), 3: np.array([180.0, 60, 330, 360])}
    image = annotated_crop(frame, boxes)
    assert max(image.shape) == 512 and image.shape[2] == 3
    red, blue = ((image == color).all(-1) for color in ((255, 64, 64), (64, 160, 255)))
    assert red.sum() > 500 and blue.sum() > 500
    assert red.argmax(1).max() < blue.argmax(1).max(), "A stands on the left"
    assert as_data_url(image) == as_data_url(annotated_crop(frame, boxes))
    outside = annotated_crop(frame, {1: np.array([-50.0, -50, 700, 500])})
    assert outside.shape[:2] == (400, 600)
