"""What is said of the people of a clip: from a file, or from a model that is shown its most doubtful frames."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closemesh.config import LanguageConfig
from closemesh.errors import DownloadError
from closemesh.language.answers import read_answer, vote
from closemesh.language.chat import KEY_VARIABLE, Chat, Endpoint, UnusableAnswerError
from closemesh.language.descriptions_file import (
    DESCRIPTIONS_FILE,
    Description,
    all_told,
    check_people,
    read_descriptions,
    write_descriptions,
)
from closemesh.language.key_frames import Moment, doubtful_moments, held_span
from closemesh.language.pictures import as_data_url, frames_at, marked_picture
from closemesh.language.prompt import messages
from closemesh.language.statements import Statement
from closemesh.language.told import Told
from closemesh.progress import Progress
from closemesh.scene import BodyMotion, Clip, Floats, Observations

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
) -> tuple[Told, ...]:
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
    moments = doubtful_moments(observations, motion, clip.times, config.pictures)
    if not moments:
        progress.note("nobody overlaps or is badly seen, so the model was not asked to describe anybody")
    entries = _ask_about(moments, clip, observations, config, out / DESCRIPTIONS_FILE, progress, sleep)
    return tuple(told for told in all_told(entries) if max(told.statement.people) < motion.num_people)


def _ask_about(
    moments: Sequence[Moment],
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
    describer = _Describer(Chat(endpoint, sleep=sleep), endpoint, config.answers, kept, path)
    with progress.task(f"describe with {endpoint.model}", len(moments)) as advance:
        for asked in _questions(clip, observations, moments, endpoint.model):
            describer.answer(asked)
            advance(1)
    describer.tell(progress)
    return describer.heeded


@dataclass(frozen=True)
class _Question:
    people: tuple[int, ...]
    start: float
    end: float
    messages: list[dict[str, Any]]
    identity: str


class _Describer:
    """Asks, keeps what was answered, and remembers why something was not."""

    def __init__(self, chat: Chat, endpoint: Endpoint, answers: int, kept: Sequence[Description], path: Path) -> None:
        self._chat, self._endpoint, self._answers, self._path = chat, endpoint, answers, path
        self._kept = list(kept)
        # What somebody wrote into the file by hand is heeded; answers to other questions are only kept.
        self.heeded = [entry for entry in kept if not entry.source]
        self._asked = 0
        self._unanswered: Counter[str] = Counter()
        self._gone = ""

    def answer(self, asked: _Question) -> None:
        """The entry of this question, kept or asked for now."""
        self._asked += 1
        known = next((entry for entry in self._kept if entry.question == asked.identity), None)
        if known is not None:
            self.heeded.append(known)
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
        self.heeded.append(entry)
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


def _questions(clip: Clip, observations: Observations, moments: Sequence[Moment], model: str) -> list[_Question]:
    frames = frames_at(clip, {moment.frame for moment in moments}) if moments else {}
    return [
        _question(frames[moment.frame], observations, moment, clip.times, model)
        for moment in moments
        if moment.frame in frames
    ]


def _question(frame: Any, observations: Observations, moment: Moment, times: Floats, model: str) -> _Question:
    boxes = {person: observations.boxes[moment.frame, person] for person in moment.people}
    asked = messages(moment.people, as_data_url(marked_picture(frame, boxes)))
    # The frame too: the same picture may be shown twice.
    told = json.dumps([model, moment.frame, asked], sort_keys=True)
    return _Question(moment.people, *held_span(moment.frame, times), asked, hashlib.sha256(told.encode()).hexdigest())
