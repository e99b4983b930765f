"""Key frames, asking, caching answers.

Which people to ask about in which frames: where the pose is ambiguous, because they overlap or are badly seen.

What is said of the people of a clip: from a file, or from a model that is shown its most doubtful frames.
"""

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
from typing import Any

import numpy as np

from closemesh.config.schema import LanguageConfig
from closemesh.core.arrays import Bools, Floats
from closemesh.core.errors import DownloadError
from closemesh.core.progress import Progress
from closemesh.structures import BodyMotion, Clip, Observations
from closemesh.text.descriptions import (
    DESCRIPTIONS_FILE,
    Description,
    all_told,
    check_people,
    read_descriptions,
    write_descriptions,
)
from closemesh.text.statements import Statement, TimedStatement
from closemesh.text.vlm_client import KEY_VARIABLE, ChatClient, Endpoint, UnusableAnswerError
from closemesh.text.vlm_prompt import annotated_crop, as_data_url, frames_at, messages, read_answer, vote

VALIDITY_SECONDS = 0.25  # Seconds before and after a picture for which what it shows is taken to hold.
APART = 0.5  # Seconds between two pictures of the same people.
_WORTH_ASKING = 0.03  # Of 0..1; below it people are apart in the picture, which speaks for itself.
_SEEN = 0.5  # Confidence from which on a keypoint is taken to be seen.
_LIMBS = slice(5, 17)  # Keypoints of shoulders, elbows, wrists, hips, knees and ankles.


@dataclass(frozen=True)
class KeyFrame:
    """Some people in one frame."""

    people: tuple[int, ...]
    frame: int
    ambiguity: float
    """0..1, how ambiguous their poses are."""


def select_key_frames(observations: Observations, motion: BodyMotion, times: Floats, count: int) -> list[KeyFrame]:
    """At most `count` moments in order of time: the most doubtful ones, those of one person APART from each other.

    What is left of `count` goes to what lies between them, further than HOLD from any. times [T] seconds. Pairs are
    asked about while they are beside each other in the picture, lone people while limbs of theirs are hidden or their
    pose is not trusted.
    """
    chosen: list[KeyFrame] = []

    def away(moment: KeyFrame) -> float:
        """Seconds to the next moment that is asked about already."""
        same = (m for m in chosen if set(m.people) & set(moment.people))
        return min((abs(times[m.frame] - times[moment.frame]) for m in same), default=math.inf)

    moments = sorted(_all_moments(observations, motion), key=lambda m: (-m.ambiguity, m.frame, m.people))
    for moment in moments:
        if len(chosen) < count and away(moment) >= APART:
            chosen.append(moment)
    while len(chosen) < count and any(away(moment) > VALIDITY_SECONDS for moment in moments):
        chosen.append(max(moments, key=away))
    return sorted(chosen, key=lambda m: (m.frame, m.people))


def validity_interval(frame: int, times: Floats) -> tuple[float, float]:
    """Seconds over which a picture of this frame speaks, rounded as in the file: a second run has the same spans."""
    start, end = max(times[frame] - VALIDITY_SECONDS, times[0]), min(times[frame] + VALIDITY_SECONDS, times[-1])
    return round(float(start), 4), round(float(end), 4)


def _all_moments(observations: Observations, motion: BodyMotion) -> Iterator[KeyFrame]:
    hidden = (observations.keypoints[:, :, _LIMBS, 2] < _SEEN).mean(-1)  # [T, P]
    unsure = np.maximum(1 - motion.confidence.clip(0, 1), hidden)
    in_company = np.zeros_like(unsure)
    for pair in combinations(range(motion.num_people), 2):
        there = _seen(observations, motion, pair)
        boxes = [observations.boxes[:, person] for person in pair]
        overlap, beside = box_overlap(*boxes), box_overlap(*map(_within_reach, boxes)) > 0
        in_company[:, pair] = np.maximum(in_company[:, pair], beside[:, None])
        doubt = overlap * (0.5 + 0.5 * unsure[:, pair].max(1)) + 0.5 * hidden[:, pair].max(1)
        asked = there & beside & (doubt > _WORTH_ASKING)
        yield from (KeyFrame(pair, int(t), float(doubt[t])) for t in np.flatnonzero(asked))
    for person in range(motion.num_people):
        doubt = np.where(unsure[:, person] > 0.5, unsure[:, person], hidden[:, person])
        asked = _seen(observations, motion, (person,)) & (in_company[:, person] == 0) & (doubt > _WORTH_ASKING)
        yield from (KeyFrame((person,), int(t), float(doubt[t])) for t in np.flatnonzero(asked))


def _within_reach(boxes: Floats) -> Floats:
    """[T, 4] with a quarter of the height added to both sides."""
    reach = 0.25 * (boxes[:, 3] - boxes[:, 1])
    return boxes + np.stack([-reach, 0 * reach, reach, 0 * reach], axis=-1)


def _seen(observations: Observations, motion: BodyMotion, people: tuple[int, ...]) -> Bools:
    """[T] all of them are detected and have a pose."""
    which = list(people)
    return np.all(observations.detected[:, which] & motion.valid[:, which], axis=-1)


def box_overlap(a: Floats, b: Floats) -> Floats:
    """Share [T] of the smaller of two boxes [T, 4] that the other one covers."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    areas = [np.prod(box[:, 2:] - box[:, :2], axis=-1) for box in (a, b)]
    return np.prod(sides.clip(min=0), axis=-1) / np.minimum(*areas).clip(min=1e-6)


_SPARE = 2  # Unusable answers to a question that are asked for again.

Sleep = Callable[[float], None]


def check_language(config: LanguageConfig, times: Floats) -> None:
    """Raises InputError now for what would otherwise stop the run later."""
    if config.descriptions:
        read_descriptions(Path(config.descriptions).expanduser(), times)
    if config.describe_with:
        _endpoint(config)


def describe(
    clip: Clip,
    observations: Observations,
    motion: BodyMotion,
    config: LanguageConfig,
    out: Path,
    progress: Progress,
    sleep: Sleep = time.sleep,
) -> tuple[TimedStatement, ...]:
    """Statements about the people of a clip; none when neither a file nor a model was named.

    A model's answers are kept in out/descriptions.json and not asked for again. What it leaves unanswered becomes one
    note. Raises InputError when the file is wrong or speaks of somebody who is not there.
    """
    if config.descriptions:
        path = Path(config.descriptions).expanduser()
        entries = read_descriptions(path, clip.times)
        check_people(entries, motion.num_people, str(path))
        return all_told(entries)
    if not config.describe_with:
        return ()
    moments = select_key_frames(observations, motion, clip.times, config.num_frames)
    if not moments:
        progress.note("nobody overlaps or is badly seen, so the model was not asked to describe anybody")
    entries = _ask_about(moments, clip, observations, config, out / DESCRIPTIONS_FILE, progress, sleep)
    return tuple(told for told in all_told(entries) if max(told.statement.people) < motion.num_people)


def _ask_about(
    moments: Sequence[KeyFrame],
    clip: Clip,
    observations: Observations,
    config: LanguageConfig,
    path: Path,
    progress: Progress,
    sleep: Sleep,
) -> list[Description]:
    """The model's entries of these moments, after what a hand wrote into the file at `path`."""
    endpoint = _endpoint(config)
    kept = read_descriptions(path, clip.times) if path.is_file() else ()
    describer = VlmAnnotator(ChatClient(endpoint, sleep=sleep), endpoint, config.num_samples, kept, path)
    with progress.task(f"describe with {endpoint.model}", len(moments)) as advance:
        for asked in _questions(clip, observations, moments, endpoint.model):
            describer.answer(asked)
            advance(1)
    describer.tell(progress)
    return describer.accepted


@dataclass(frozen=True)
class _Question:
    people: tuple[int, ...]
    start: float
    end: float
    messages: list[dict[str, Any]]
    identity: str


class VlmAnnotator:
    """Asks, keeps what was answered, and remembers why something was not."""

    def __init__(
        self, chat: ChatClient, endpoint: Endpoint, answers: int, kept: Sequence[Description], path: Path
    ) -> None:
        self._chat, self._endpoint, self._answers, self._path = chat, endpoint, answers, path
        self._kept = list(kept)
        # What somebody wrote into the file by hand is heeded; answers to other questions are only kept.
        self.accepted = [entry for entry in kept if not entry.source]
        self._asked = 0
        self._unanswered: Counter[str] = Counter()
        self._gone = ""

    def answer(self, asked: _Question) -> None:
        """The entry of this question, kept or asked for now."""
        self._asked += 1
        known = next((entry for entry in self._kept if entry.question == asked.identity), None)
        if known is not None:
            self.accepted.append(known)
        elif self._gone:
            self._unanswered[self._gone] += 1
        else:
            self._ask(asked)

    def _ask(self, asked: _Question) -> None:
        answers, faults = self._sample(asked)
        if not answers:
            self._unanswered[faults.most_common(1)[0][0]] += 1
            return
        told = vote(answers, asked.start, asked.end)
        entry = Description(asked.people, told, asked.start, asked.end, self._endpoint.model, asked.identity)
        self.accepted.append(entry)
        if not self._gone:  # Else there were fewer answers than wanted, and the next run asks again.
            self._kept.append(entry)
            write_descriptions(self._path, self._kept)

    def _sample(self, asked: _Question) -> tuple[list[frozenset[Statement]], Counter[str]]:
        """Usable answers, and how often the others were what."""
        answers: list[frozenset[Statement]] = []
        faults: Counter[str] = Counter()
        while len(answers) < self._answers and faults.total() <= _SPARE:
            try:
                answers.append(read_answer(self._chat.ask(asked.messages), asked.people))
            except UnusableAnswerError as fault:
                faults[str(fault)] += 1
            except DownloadError as fault:  # Whoever cannot be asked now is not asked about the next picture either.
                self._gone = str(fault)
                faults[self._gone] += _SPARE + 1
        return answers, faults

    def tell(self, progress: Progress) -> None:
        """One note about what stayed unanswered."""
        if self._unanswered:
            why = "; ".join(self._unanswered)
            progress.note(
                f"{self._endpoint.model} at {self._endpoint.host} left {self._unanswered.total()} of {self._asked} "
                f"pictures without a description ({why}); going on without"
            )


def _endpoint(config: LanguageConfig) -> Endpoint:
    assert config.describe_with and config.model
    return Endpoint(
        config.describe_with, config.model, os.environ.get(KEY_VARIABLE, "").strip() or None, config.timeout
    )


def _questions(clip: Clip, observations: Observations, moments: Sequence[KeyFrame], model: str) -> list[_Question]:
    frames = frames_at(clip, {moment.frame for moment in moments}) if moments else {}
    return [
        _question(frames[moment.frame], observations, moment, clip.times, model)
        for moment in moments
        if moment.frame in frames
    ]


def _question(frame: Any, observations: Observations, moment: KeyFrame, times: Floats, model: str) -> _Question:
    boxes = {person: observations.boxes[moment.frame, person] for person in moment.people}
    asked = messages(moment.people, as_data_url(annotated_crop(frame, boxes)))
    # The frame too: the same picture may be shown twice.
    told = json.dumps([model, moment.frame, asked], sort_keys=True)
    return _Question(
        moment.people, *validity_interval(moment.frame, times), asked, hashlib.sha256(told.encode()).hexdigest()
    )
