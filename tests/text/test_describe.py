"""A clip described by a model on a real server: what is asked and shown, what is kept, and what may go wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from chat_server import CUT_OFF, MODEL, REFUSED, ChatServer, Reply, statements
from known_scenes import KnownScene

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
SAID = statements(TOUCH, ORDER)
KEY = "sk-very-secret-0123"


@pytest.fixture(scope="module")
def scene(known_scene: KnownScene, tmp_path_factory: pytest.TempPathFactory) -> KnownScene:
    """The known scene as a film of noise over 1.1 seconds, its people overlapping."""
    clip = replace(known_scene.clip, path=tmp_path_factory.mktemp("clip") / "film.mp4", times=np.arange(12) / 10)
    random = np.random.default_rng(0)
    frames = [random.integers(0, 255, (480, 640, 3), dtype=np.uint8) for _ in range(12)]
    write_video(frames, clip.path, clip.times)
    return replace(known_scene, clip=clip, observations=moved_boxes(known_scene.observations, -60))


def moved_boxes(observations: Observations, pixels: float) -> Observations:
    """The box of the second person moved to the right; at -60 most of the first one's box is covered."""
    boxes = observations.boxes.copy()
    boxes[:, 1] += [pixels, 0, pixels, 0]
    return replace(observations, boxes=boxes)


class Describer:
    """`describe` of the scene, with what it noted and how long it would have waited."""

    def __init__(self, scene: KnownScene, server: ChatServer, out: Path) -> None:
        self.scene, self.server, self.out = scene, server, out
        self.notes: list[str] = []
        self.waits: list[float] = []

    def __call__(self, *replies: Reply, **config: object) -> tuple[TimedStatement, ...]:
        self.server.replies, self.server.asked[:] = list(replies), []
        progress = NullProgress()
        told = LanguageConfig(describe_with=self.server.url, model=MODEL, num_samples=3, timeout=5.0)
        told = replace(told, **config)  # type: ignore[arg-type]
        scene = self.scene
        found = describe(
            scene.clip, scene.observations, scene.motion, told, self.out, progress, sleep=self.waits.append
        )
        self.notes = progress.notes
        return found


@pytest.fixture
def describer(scene: KnownScene, server: ChatServer, tmp_path: Path) -> Describer:
    return Describer(scene, server, tmp_path)


def test_a_model_is_shown_the_doubtful_frames_and_its_answers_are_kept(describer: Describer):
    told = describer(SAID)
    assert {one.statement for one in told} == {Touch(0, "left_hand", 1, "head"), DepthOrder(0, 1)}
    assert all(one.confidence == pytest.approx(3.5 / 4) for one in told)
    server = describer.server
    moments = len(server.asked) // 3
    assert 1 <= moments <= 4 and len(told) == 2 * moments
    assert describer.notes == []
    asked = server.asked[0]["messages"][1]["content"][0]["text"]
    assert "the people marked A and B" in asked and "left_lower_leg" in asked
    assert all(max(picture.shape) >= 500 for picture in server.pictures())

    again = describer(Reply(status=500))
    assert again == told, "to the last digit, or the refinement would be made anew"
    assert server.asked == [], "nothing is asked twice"
    [entry, *_] = read_descriptions(describer.out / "descriptions.json", describer.scene.clip.times)
    assert entry.source == MODEL and len(entry.question) == 64


def test_answers_that_disagree(describer: Describer):
    told = describer(SAID, statements(ORDER), statements(), num_frames=1)
    assert [(one.statement, one.confidence) for one in told] == [(DepthOrder(0, 1), 2.5 / 4)]


def test_another_model_is_asked_anew_and_both_are_kept(describer: Describer, monkeypatch: pytest.MonkeyPatch):
    describer(SAID, num_frames=1)
    monkeypatch.setattr("chat_server.MODEL", "another")
    told = describer(statements(ORDER), model="another", num_frames=1)
    assert {one.statement for one in told} == {DepthOrder(0, 1)}
    kept = read_descriptions(describer.out / "descriptions.json", describer.scene.clip.times)
    assert [entry.source for entry in kept] == [MODEL, "another"]


def test_what_a_hand_added_is_heeded_and_stays(describer: Describer):
    file = describer.out / "descriptions.json"
    mine = {"people": ["B"], "end": 0.5, "statements": ["B is upright"]}
    foreign = {**mine, "source": "rules", "statements": ["B is upside down"]}
    stranger = {"people": ["D"], "statements": ["D is upright"]}
    file.write_text(json.dumps({"schema": 1, "descriptions": [mine, foreign, stranger]}))
    told = describer(SAID, num_frames=1)
    assert told[0] == TimedStatement(Posture(1, "upright"), end=0.5) and len(told) == 3
    assert len(read_descriptions(file, describer.scene.clip.times)) == 4


def test_a_broken_file_of_answers_is_not_overwritten(describer: Describer):
    file = describer.out / "descriptions.json"
    file.write_text('{"schema": 1, "descriptions": [{]}')
    with pytest.raises(InputError, match=r"descriptions\.json, line 1"):
        describer(SAID)
    assert describer.server.asked == [] and "[{]" in file.read_text()


@pytest.mark.parametrize(
    ("replies", "told", "requests"),
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
def test_without_an_answer_the_run_goes_on(describer: Describer, replies: tuple[Reply, ...], told: str, requests: int):
    assert describer(*replies, num_frames=1) == ()
    [note] = describer.notes
    assert note.startswith(f"{MODEL} at 127.0.0.1 left 1 of 1 pictures without a description")
    assert told in note and note.endswith("going on without")
    assert len(describer.server.asked) == requests
    assert not (describer.out / "descriptions.json").exists()


def test_unusable_answers_are_asked_for_again(describer: Describer):
    told = describer(CUT_OFF, Reply(status=429, headers={"Retry-After": "3"}), REFUSED, SAID, num_frames=1)
    assert len(told) == 2 and describer.notes == [] and describer.waits == [3.0]
    assert len(describer.server.asked) == 6


def test_a_server_that_dies_is_asked_no_more(describer: Describer):
    """One answer to the first picture came: it is used, but the next run asks for the others."""
    told = describer(SAID, Reply(status=404))
    assert {one.statement for one in told} == {Touch(0, "left_hand", 1, "head"), DepthOrder(0, 1)}
    assert len(describer.server.asked) == 2
    [note] = describer.notes
    assert "404" in note
    assert not (describer.out / "descriptions.json").exists()


def test_the_key_stands_nowhere(describer: Describer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY + "\n")
    describer.server.key = KEY
    assert describer(SAID, num_frames=1)
    describer.server.key = "another"
    describer(SAID, model="sees-worse")
    assert describer.notes
    written = "".join(path.read_text() for path in describer.out.glob("*.json"))
    assert KEY not in written + "".join(describer.notes)


def test_nothing_doubtful_nothing_asked(describer: Describer):
    apart = moved_boxes(describer.scene.observations, 1000)
    describer.scene = replace(describer.scene, observations=apart)
    assert describer(SAID) == ()
    assert describer.server.asked == [] and "was not asked" in describer.notes[0]


def test_a_file_instead_of_a_model(known_scene: KnownScene, tmp_path: Path):
    file = tmp_path / "mine.json"
    file.write_text('{"schema": 1, "descriptions": [{"people": ["A", "C"], "statements": ["A carries C"]}]}')
    config = LanguageConfig(descriptions=str(file))
    scene = known_scene
    check_language(config, scene.clip.times)
    with pytest.raises(InputError, match=r"mine\.json, entry 1: C was not found; there are A, B"):
        describe(scene.clip, scene.observations, scene.motion, config, tmp_path, NullProgress())
    file.write_text(file.read_text().replace("C", "B"))
    [told] = describe(scene.clip, scene.observations, scene.motion, config, tmp_path, NullProgress())
    assert told.statement.people == (0, 1)
    assert describe(scene.clip, scene.observations, scene.motion, LanguageConfig(), tmp_path, NullProgress()) == ()


def test_what_would_stop_the_run_is_told_before_it(tmp_path: Path):
    with pytest.raises(InputError, match="not found"):
        check_language(LanguageConfig(descriptions=str(tmp_path / "none.json")), np.arange(3.0))
    with pytest.raises(InputError, match="no http or https address"):
        check_language(LanguageConfig(describe_with="host/v1", model=MODEL), np.arange(3.0))


def test_doubt_is_overlap_hidden_limbs_and_missing_confidence(scene: KnownScene):
    observations, motion, times = scene.observations, scene.motion, scene.clip.times
    pairs = select_key_frames(observations, motion, times, 8)
    assert pairs and all(moment.people == (0, 1) for moment in pairs)
    shown = times[[moment.frame for moment in pairs]]
    assert (np.diff(shown) > VALIDITY_SECONDS).all() and (
        np.abs(times[:, None] - shown).min(1) <= VALIDITY_SECONDS
    ).all()
    assert len(select_key_frames(observations, motion, times, 1)) == 1
    confidence = np.ones((12, 2), np.float32)
    confidence[6, 1] = 0.1
    unsure = replace(motion, confidence=confidence)
    moments = select_key_frames(moved_boxes(observations, 1000), unsure, times, 8)
    assert [(moment.people, moment.frame) for moment in moments] == [((1,), 6)]
    assert select_key_frames(moved_boxes(observations, 1000), replace(unsure, valid=~motion.valid), times, 8) == []
    sure = replace(motion, confidence=np.ones((12, 2), np.float32))
    keypoints = observations.keypoints.copy()
    keypoints[3, 0, 9, 2] = 0.1
    hidden = replace(moved_boxes(observations, 1000), keypoints=keypoints)
    assert [(moment.people, moment.frame) for moment in select_key_frames(hidden, sure, times, 8)] == [((0,), 3)]


def test_overlap_of_boxes():
    a = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    b = np.array([[5.0, 0, 10, 5], [20, 0, 30, 10], [5, 5, 25, 25]])
    assert box_overlap(a, b).tolist() == [1.0, 0.0, 0.25]


def test_people_are_boxed_and_named():
    frame = np.full((400, 600, 3), 128, np.uint8)
    boxes = {0: np.array([100.0, 50, 200, 350]), 3: np.array([180.0, 60, 330, 360])}
    picture = annotated_crop(frame, boxes)
    assert max(picture.shape) == 512 and picture.shape[2] == 3
    red, yellow = ((picture == colour).all(-1) for colour in ((255, 64, 64), (64, 160, 255)))
    assert red.sum() > 500 and yellow.sum() > 500
    assert red.argmax(1).max() < yellow.argmax(1).max(), "A stands on the left"
    assert as_data_url(picture) == as_data_url(annotated_crop(frame, boxes))
    outside = annotated_crop(frame, {1: np.array([-50.0, -50, 700, 500])})
    assert outside.shape[:2] == (400, 600)
