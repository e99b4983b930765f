"""Statements about the people of a clip: from a file, or from a model that is asked about key frames."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from closemesh.config.schema import LanguageConfig
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import DownloadError, InputError
from closemesh.core.progress import Progress
from closemesh.structures import BodyMotion, Clip, Observations
from closemesh.text.descriptions import (
    DESCRIPTIONS_FILE,
    Description,
    all_statements,
    check_people,
    read_descriptions,
    write_descriptions,
)
from closemesh.text.statements import Statement, TimedStatement
from closemesh.text.vlm_client import KEY_VARIABLE, ChatClient, Endpoint, Message, UnusableAnswerError
from closemesh.text.vlm_prompt import annotated_crop, as_data_url, load_frames, messages, parse_answer, vote

VALIDITY_SECONDS = 0.25  # Before and after a key frame, for which its statements hold.
MIN_SECONDS_BETWEEN = 0.5  # Between two key frames of the same people, while others are left.
_MIN_AMBIGUITY = 0.03  # Below it people are separate in the image, and keypoints suffice.
_DETECTED = 0.5  # Confidence from which on a keypoint counts as detected.
_LIMBS = slice(5, 17)  # Keypoints of shoulders, elbows, wrists, hips, knees and ankles.
_RETRIES = 2  # Unusable answers to a question that are replaced by further ones.

Sleep = Callable[[float], None]


class Annotator(Protocol):
    """A chat endpoint, or an object that replaces it."""

    def ask(self, messages: Sequence[Message]) -> str:
        """One answer. Raises UnusableAnswerError for this answer, DownloadError when no further answer will come."""
        ...


@dataclass(frozen=True)
class KeyFrame:
    """One frame, and the people in it to ask about."""

    people: tuple[int, ...]
    frame: int
    ambiguity: float
    """0..1, how ambiguous their poses are."""


def select_key_frames(observations: Observations, motion: BodyMotion, times: Floats, count: int) -> list[KeyFrame]:
    """At most `count` key frames in order of time, the most ambiguous ones; times: [T] seconds.

    Key frames of one person are MIN_SECONDS_BETWEEN from each other. The rest of `count` goes to frames between them,
    farther than VALIDITY_SECONDS from any. Pairs qualify while they are beside each other in the image, single people
    while limbs are hidden or the confidence of their pose is low.
    """
    chosen: list[KeyFrame] = []

    def seconds_to_chosen(candidate: KeyFrame) -> float:
        same = (one for one in chosen if set(one.people) & set(candidate.people))
        return min((abs(times[one.frame] - times[candidate.frame]) for one in same), default=math.inf)

    candidates = sorted(_candidates(observations, motion), key=lambda one: (-one.ambiguity, one.frame, one.people))
    for candidate in candidates:
        if len(chosen) < count and seconds_to_chosen(candidate) >= MIN_SECONDS_BETWEEN:
            chosen.append(candidate)
    while len(chosen) < count and any(seconds_to_chosen(one) > VALIDITY_SECONDS for one in candidates):
        chosen.append(max(candidates, key=seconds_to_chosen))
    return sorted(chosen, key=lambda one: (one.frame, one.people))


def validity_interval(frame: int, times: Floats) -> tuple[float, float]:
    """Start and end, in seconds, of the statements about a frame; times: [T] seconds.

    Rounded as in the file, so that a second run has the same intervals.
    """
    start, end = max(times[frame] - VALIDITY_SECONDS, times[0]), min(times[frame] + VALIDITY_SECONDS, times[-1])
    return round(float(start), 4), round(float(end), 4)


def box_overlap(a: Floats, b: Floats) -> Floats:
    """Fraction [T] of the smaller of two boxes that the other one covers; a, b: [T, 4] pixels."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    areas = [np.prod(box[:, 2:] - box[:, :2], axis=-1) for box in (a, b)]
    return np.prod(sides.clip(min=0), axis=-1) / np.minimum(*areas).clip(min=1e-6)


def check_language(config: LanguageConfig, times: Floats, out: Path) -> None:
    """Raises InputError for a descriptions file or an endpoint that would stop the run later.

    times: [T] seconds. out: folder of the result, in which a file of another kind may have the name of the answers.
    """
    if config.descriptions:
        read_descriptions(Path(config.descriptions).expanduser(), times)
    if config.describe_with:
        _endpoint(config)
        answers = out / DESCRIPTIONS_FILE
        if answers.is_symlink():
            raise InputError(f"{answers} is a symbolic link, and answers are not written through links; remove it")
        if answers.exists():
            read_descriptions(answers, times)


def describe(
    clip: Clip,
    observations: Observations,
    motion: BodyMotion,
    config: LanguageConfig,
    out: Path,
    progress: Progress,
    sleep: Sleep = time.sleep,
) -> tuple[TimedStatement, ...]:
    """Statements about the people of a clip; none when neither a file nor a model is configured.

    Answers of a model are cached in out/descriptions.json and not asked for again. Questions without an answer become
    one note. Raises InputError when the file is wrong or has people who were not found.
    """
    if config.descriptions:
        path = Path(config.descriptions).expanduser()
        entries = read_descriptions(path, clip.times)
        check_people(entries, motion.num_people, str(path))
        return all_statements(entries)
    if not config.describe_with:
        return ()
    key_frames = select_key_frames(observations, motion, clip.times, config.num_frames)
    if not key_frames:
        progress.note("no people overlap and all limbs are visible, so the model was not asked")
    entries = _annotate(key_frames, clip, observations, config, out / DESCRIPTIONS_FILE, progress, sleep)
    return tuple(one for one in all_statements(entries) if max(one.statement.people) < motion.num_people)


@dataclass(frozen=True)
class Question:
    """What the model is asked about some people, and the seconds for which the answer holds."""

    people: tuple[int, ...]
    start: float
    end: float
    messages: list[dict[str, Any]]
    fingerprint: str
    """Of model, frame and messages: a question with a known fingerprint is not asked again."""


class VlmAnnotator:
    """Asks a model, caches its answers in descriptions.json, and counts questions without an answer."""

    def __init__(
        self, chat: Annotator, endpoint: Endpoint, samples: int, cached: Sequence[Description], path: Path
    ) -> None:
        self._chat, self._endpoint, self._samples, self._path = chat, endpoint, samples, path
        self._cached = list(cached)
        # Entries by hand are accepted; answers to other questions only stay in the file.
        self.accepted = [entry for entry in cached if not entry.source]
        self._asked = 0
        self._unanswered: Counter[str] = Counter()
        self._failure = ""

    def answer(self, question: Question) -> None:
        """Append the entry for a question to `accepted`, from the cache or from the model."""
        self._asked += 1
        known = next((entry for entry in self._cached if entry.question == question.fingerprint), None)
        if known is not None:
            self.accepted.append(known)
        elif self._failure:
            self._unanswered[self._failure] += 1
        else:
            self._ask(question)

    def report(self, progress: Progress) -> None:
        """One note about the questions without an answer."""
        if self._unanswered:
            why = "; ".join(self._unanswered)
            progress.note(
                f"{self._endpoint.model} at {self._endpoint.host} left {self._unanswered.total()} of {self._asked} "
                f"frames without a description ({why}); going on without"
            )

    def _ask(self, question: Question) -> None:
        answers, failures = self._sample(question)
        if not answers:
            self._unanswered[failures.most_common(1)[0][0]] += 1
            return
        statements = vote(answers, question.start, question.end)
        source = self._endpoint.model
        entry = Description(question.people, statements, question.start, question.end, source, question.fingerprint)
        self.accepted.append(entry)
        if not self._failure:  # Otherwise there were too few answers, and the next run asks again.
            self._cached.append(entry)
            write_descriptions(self._path, self._cached)

    def _sample(self, question: Question) -> tuple[list[frozenset[Statement]], Counter[str]]:
        """Usable answers, and the number of failures of each kind."""
        answers: list[frozenset[Statement]] = []
        failures: Counter[str] = Counter()
        while len(answers) < self._samples and failures.total() <= _RETRIES:
            try:
                answers.append(parse_answer(self._chat.ask(question.messages), question.people))
            except UnusableAnswerError as error:
                failures[str(error)] += 1
            except DownloadError as error:  # The endpoint does not answer now, so later questions are not sent.
                self._failure = str(error)
                failures[self._failure] += _RETRIES + 1
        return answers, failures


def _annotate(
    key_frames: Sequence[KeyFrame],
    clip: Clip,
    observations: Observations,
    config: LanguageConfig,
    path: Path,
    progress: Progress,
    sleep: Sleep,
) -> list[Description]:
    """Entries by hand from the file at `path`, then the model's entries for the key frames."""
    endpoint = _endpoint(config)
    cached = read_descriptions(path, clip.times) if path.is_file() else ()
    annotator = VlmAnnotator(ChatClient(endpoint, sleep=sleep), endpoint, config.num_samples, cached, path)
    with progress.task(f"describe with {endpoint.model}", len(key_frames)) as advance:
        for question in _questions(clip, observations, key_frames, endpoint.model):
            annotator.answer(question)
            advance(1)
    annotator.report(progress)
    return annotator.accepted


def _endpoint(config: LanguageConfig) -> Endpoint:
    assert config.describe_with and config.model
    return Endpoint(
        config.describe_with, config.model, os.environ.get(KEY_VARIABLE, "").strip() or None, config.timeout
    )


def _questions(clip: Clip, observations: Observations, key_frames: Sequence[KeyFrame], model: str) -> list[Question]:
    frames = load_frames(clip, {one.frame for one in key_frames}) if key_frames else {}
    return [
        _question(frames[one.frame], observations, one, clip.times, model) for one in key_frames if one.frame in frames
    ]


def _question(frame: Any, observations: Observations, key_frame: KeyFrame, times: Floats, model: str) -> Question:
    boxes = {person: observations.boxes[key_frame.frame, person] for person in key_frame.people}
    content = messages(key_frame.people, as_data_url(annotated_crop(frame, boxes)))
    # With the frame number, because two frames may have equal crops.
    identity = json.dumps([model, key_frame.frame, content], sort_keys=True)
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()
    return Question(key_frame.people, *validity_interval(key_frame.frame, times), content, fingerprint)


def _candidates(observations: Observations, motion: BodyMotion) -> Iterator[KeyFrame]:
    """All frames of pairs and of single people that are ambiguous enough."""
    hidden = (observations.keypoints[:, :, _LIMBS, 2] < _DETECTED).mean(-1)  # [T, P]
    uncertainty = np.maximum(1 - motion.confidence.clip(0, 1), hidden)
    in_pair = np.zeros_like(uncertainty)
    for pair in combinations(range(motion.num_people), 2):
        valid = _all_valid(observations, motion, pair)
        boxes = [observations.boxes[:, person] for person in pair]
        overlap, beside = box_overlap(*boxes), box_overlap(*map(_widened, boxes)) > 0
        in_pair[:, pair] = np.maximum(in_pair[:, pair], beside[:, None])
        ambiguity = overlap * (0.5 + 0.5 * uncertainty[:, pair].max(1)) + 0.5 * hidden[:, pair].max(1)
        chosen = valid & beside & (ambiguity > _MIN_AMBIGUITY)
        yield from (KeyFrame(pair, int(t), float(ambiguity[t])) for t in np.flatnonzero(chosen))
    for person in range(motion.num_people):
        ambiguity = np.where(uncertainty[:, person] > 0.5, uncertainty[:, person], hidden[:, person])
        valid = _all_valid(observations, motion, (person,))
        chosen = valid & (in_pair[:, person] == 0) & (ambiguity > _MIN_AMBIGUITY)
        yield from (KeyFrame((person,), int(t), float(ambiguity[t])) for t in np.flatnonzero(chosen))


def _widened(boxes: Floats) -> Floats:
    """Boxes [T, 4] with a quarter of their height added on both sides."""
    margin = 0.25 * (boxes[:, 3] - boxes[:, 1])
    return boxes + np.stack([-margin, 0 * margin, margin, 0 * margin], axis=-1)


def _all_valid(observations: Observations, motion: BodyMotion, people: tuple[int, ...]) -> Bools:
    """Frames [T] in which all these people are detected and have a pose."""
    which = list(people)
    return np.all(observations.detected[:, which] & motion.valid[:, which], axis=-1)
