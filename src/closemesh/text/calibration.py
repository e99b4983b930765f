"""Posterior confidence of statements, from the first motion and from statements at other times.

An annotator makes errors, but which of its statements are wrong is unknown. Statements about visible limbs show how
reliable the annotator is. Statements about occluded limbs count by that reliability, by their prior probability, and by
their agreement with statements before and after: a hidden Markov model for each topic, with the reliability estimated
by expectation maximization.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.capsules import CAPSULE_PARTS, NUM_POINTS, capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import pelvis_of
from closemesh.core.arrays import Floats
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.structures import BodyMotion, PoseUncertainty
from closemesh.text.pose_features import PoseFeatures, pose_features_at
from closemesh.text.predicates import conditions, confidence
from closemesh.text.statements import (
    DepthOrder,
    Facing,
    HeadContact,
    Placement,
    Statement,
    Support,
    TimedStatement,
    Touch,
    renumber,
)

_SAMPLES = 32  # Poses drawn from the first motion and its uncertainty, for each frame.
_FRAMES = 3  # Number of evaluated frames of each interval.
_DURATION = 1.5  # Seconds; time constant after which a statement holds only by chance.
_UNCERTAIN = 0.05  # Probability mass spread over all answers: the uncertainty of the motion is an estimate too.
_MAX_PAUSE = 1.0  # Seconds between two equal statements over which the first one is extended.
_CHANCE = 0.06  # Probability that a false touch names exactly these parts.
_NEAR = 0.06  # Meters; standard deviation of the distance of touching parts in a first motion.
_UNLIKELY = 0.003  # Probability of any touch where the first motion has people far from each other.
_MENTIONED = 0.8  # Probability that a touch is mentioned where others are.
_ROUNDS = 5
_PRIOR_CORRECT, _PRIOR_COUNT = 9.0, 10.0  # Pseudo-counts of correct and of all statements: the prior reliability.

Interval = tuple[float, float]
"""Start and end in seconds."""


def calibrate_confidence(
    statements: Sequence[TimedStatement],
    motion: BodyMotion,
    uncertainty: PoseUncertainty,
    body: BodyModel,
    times: Floats,
    up_cam: Floats,
) -> tuple[TimedStatement, ...]:
    """The statements with their posterior confidence; statements about people that do not exist are left out.

    motion: the first motion, camera frame, with its uncertainty; times: [T] seconds; up_cam: [T, 3] unit
    vectors against gravity.
    """
    statements = [one for one in statements if max(one.statement.people) < motion.num_people]
    if not statements:
        return ()
    poses = _SampledPoses(motion, uncertainty, body, times, up_cam)
    topics = dict.fromkeys(one.statement.topic for one in statements)
    chains = [_topic_chain(topic, statements, poses) for topic in topics]
    reliability = _PRIOR_CORRECT / _PRIOR_COUNT
    posterior = np.zeros(len(statements))
    for _ in range(_ROUNDS):
        for chain in chains:
            posterior[chain.statements] = chain.posterior(reliability)
        stated = sum(one.confidence for one in statements)
        reliability = min((posterior.sum() + _PRIOR_CORRECT) / (stated + _PRIOR_COUNT), 1.0)
    found = [replace(one, confidence=round(float(p), 3)) for one, p in zip(statements, posterior, strict=True)]
    for chain in chains:
        for number, end in chain.extensions():
            found[number] = replace(found[number], end=end)
    return tuple(found)


def alternatives(statement: Statement) -> tuple[Statement, ...]:
    """The other statements of the same topic, of which only one can be true; a touch has none."""
    others = [one for one in _variants(statement) if one.topic == statement.topic]
    return tuple(dict.fromkeys(one for one in others if one != statement))


def alternative_contacts(touch: Touch) -> tuple[Touch, ...]:
    """Touches of the same people with another part in the place of one of the two."""
    parts = ((name, part) for name in ("part_a", "part_b") for part in CAPSULE_PARTS)
    others = (replace(touch, **{name: part}) for name, part in parts)
    return tuple(one for one in others if one != touch)


def _variants(statement: Statement) -> Iterator[Statement]:
    """Statements that differ in one word or in the order of the people."""
    if isinstance(statement, Placement):
        people = {"person": statement.of_person, "of_person": statement.person}
        yield replace(statement, **people, point=statement.of_point, of_point=statement.point)
        return
    for name, words in statement.choices.items():
        yield from (replace(statement, **{name: word}) for word in words)
    if isinstance(statement, DepthOrder | Support | Facing):
        one, other = statement.people
        exchanged = renumber(statement, {one: other, other: one})
        yield exchanged
        for name, words in statement.choices.items():
            yield from (replace(exchanged, **{name: word}) for word in words)


@dataclass(frozen=True)
class _TopicChain:
    """Hidden Markov model of one topic: K intervals in order, V answers, of which the last is `none of the others`."""

    intervals: list[Interval]
    statements: list[int]
    """Indices of the statements about the topic."""
    node: list[int]
    """The interval of each of them."""
    answer: list[int]
    """The answer of each of them."""
    confidence: list[float]
    """As stated."""
    chance: float
    """Probability that a false statement is a particular answer."""
    silent: list[int]
    """Intervals without a statement about the topic where one was to be expected."""
    prior: Floats  # [K, V] probability of each answer, by the first motion
    stay: Floats  # [K - 1] probability that the answer stays the same in the next interval

    def posterior(self, reliability: float) -> Floats:
        """Posterior probability of each statement; reliability: share of correct statements."""
        evidence = self._evidence(reliability)
        forward, backward = evidence.copy(), np.ones_like(evidence)
        for k, stay in enumerate(self.stay):
            forward[k + 1] *= _transition(forward[k], stay)
        for k, stay in reversed(list(enumerate(self.stay))):
            backward[k] = _transition(backward[k + 1] * evidence[k + 1], stay)
        both = forward * backward
        both /= both.sum(1, keepdims=True)
        return both[self.node, self.answer]

    def extensions(self) -> Iterator[tuple[int, float]]:
        """Statements that the next interval repeats, with the start of that interval as their new end."""
        stated = zip(self.statements, self.node, self.answer, strict=True)
        number_of = {(node, answer): number for number, node, answer in stated}
        for (node, answer), number in number_of.items():
            if (node + 1, answer) in number_of:
                end, start = self.intervals[node][1], self.intervals[node + 1][0]
                if start - end < _MAX_PAUSE:
                    yield number, max(end, start)

    def _evidence(self, reliability: float) -> Floats:
        """Likelihoods [K, V]; errors of the motion are alike in near intervals, whose priors count once together."""
        position = np.concatenate([[0.0], np.cumsum(-np.log(self.stay))])
        similar = np.exp(-np.abs(position[:, None] - position)).sum(1)
        evidence = self.prior ** (1 / similar[:, None])
        for node, answer, stated in zip(self.node, self.answer, self.confidence, strict=True):
            correct = reliability * stated
            likelihood = np.full(evidence.shape[1], (1 - correct) * self.chance)
            likelihood[answer] = correct
            evidence[node] *= likelihood
        evidence[self.silent, 0] *= 1 - _MENTIONED * reliability
        return evidence


def _transition(belief: Floats, stay: float) -> Floats:
    """The belief [V] in the next interval, from the belief [V] in one."""
    belief = belief / belief.sum()
    return stay * belief + (1 - stay) / len(belief)


def _topic_chain(topic: tuple[object, ...], statements: Sequence[TimedStatement], poses: _SampledPoses) -> _TopicChain:
    own = [number for number, one in enumerate(statements) if one.statement.topic == topic]
    first = statements[own[0]].statement
    answers = (first, *alternatives(first))
    relevant = own
    if isinstance(first, Touch):  # A touch may be mentioned wherever there is a statement about the two people.
        relevant = [number for number, one in enumerate(statements) if one.statement.people == first.people]
    intervals = sorted({_interval(statements[number]) for number in relevant}, key=poses.middle)
    node = [intervals.index(_interval(statements[number])) for number in own]
    middles = np.array([poses.middle(interval) for interval in intervals])
    return _TopicChain(
        intervals=intervals,
        statements=own,
        node=node,
        answer=[answers.index(statements[number].statement) for number in own],
        confidence=[statements[number].confidence for number in own],
        chance=_CHANCE if isinstance(first, Touch) else 1 / max(len(answers) - 1, 1),
        silent=sorted(set(range(len(intervals))) - set(node)) if isinstance(first, Touch) else [],
        prior=np.stack([poses.probability(answers, interval) for interval in intervals]),
        stay=np.exp(-np.maximum(np.diff(middles), 1e-3) / _DURATION),
    )


def _interval(timed: TimedStatement) -> Interval:
    return timed.start, timed.end


class _SampledPoses:
    """Poses drawn from the first motion and its uncertainty, and the probabilities of statements in them."""

    def __init__(
        self, motion: BodyMotion, uncertainty: PoseUncertainty, body: BodyModel, times: Floats, up_cam: Floats
    ) -> None:
        self._motion, self._uncertainty, self._up_cam = motion, uncertainty, up_cam
        self._times = np.asarray(times)
        self._body, self._capsules = load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)
        self._features: dict[int, PoseFeatures] = {}
        self._probabilities: dict[tuple[Statement, int], float] = {}

    def middle(self, interval: Interval) -> float:
        """Seconds; for an unlimited interval the middle of the clip."""
        start, end = np.clip(interval, self._times[0], self._times[-1])
        return float(start + end) / 2

    def probability(self, answers: Sequence[Statement], interval: Interval) -> Floats:
        """Probability [V] of each answer and, last, of none of them; the sum is 1."""
        frames = self._frames(interval)
        found = np.array([np.mean([self._mean_confidence(one, frame) for frame in frames]) for one in answers])
        found = np.append(found, max(1 - found.sum(), 0.0))
        uncertain = 2 * _UNLIKELY if isinstance(answers[0], Touch) else _UNCERTAIN
        return (1 - uncertain) * found / found.sum() + uncertain / len(found)

    def _frames(self, interval: Interval) -> list[int]:
        inside = np.flatnonzero((self._times >= interval[0]) & (self._times <= interval[1]))
        if len(inside) == 0:
            return [int(np.abs(self._times - self.middle(interval)).argmin())]
        return sorted({int(inside[round(k)]) for k in np.linspace(0, len(inside) - 1, _FRAMES + 2)[1:-1]})

    def _mean_confidence(self, statement: Statement, frame: int) -> float:
        if (statement, frame) not in self._probabilities:
            if frame not in self._features:
                self._features[frame] = self._sample(frame)
            with torch.inference_mode():
                mean = float(_confidence_in_sample(statement, self._features[frame]).mean())
            self._probabilities[statement, frame] = mean
        return self._probabilities[statement, frame]

    def _sample(self, frame: int) -> PoseFeatures:
        """Features [_SAMPLES, P, ...] of random poses; the frame is the seed."""
        motion, uncertainty = self._motion, self._uncertainty
        noise = torch.Generator().manual_seed(frame)

        def drawn(deviation: Floats, *shape: int) -> Tensor:
            scale = torch.as_tensor(deviation, dtype=torch.float32)
            return scale * torch.randn(_SAMPLES, *shape, generator=noise)

        def mean(array: Floats) -> Tensor:
            return torch.as_tensor(array, dtype=torch.float32).expand(_SAMPLES, *array.shape)

        people = motion.num_people
        turns = axis_angle_to_matrix(drawn(uncertainty.rotation_std[frame, :, :, None], people, 22, 3))
        rotations = mean(motion.rotations[frame, :, :22]) @ turns
        betas = mean(motion.betas)[..., : self._body.num_betas]
        pelvis = pelvis_of(self._body, betas, mean(motion.transl[frame]))
        pelvis = pelvis + drawn(uncertainty.pelvis_std[frame], people, 3)
        up = F.normalize(mean(self._up_cam[frame]), dim=-1)
        return pose_features_at(rotations, pelvis, betas, up, self._body, self._capsules)


def _confidence_in_sample(statement: Statement, features: PoseFeatures) -> Tensor:
    """Confidence 0..1 [...]; contact holds also where parts are only near, because no first motion has it exactly."""
    if isinstance(statement, Touch | HeadContact):
        [distance, *_] = conditions(statement, features)
        return torch.exp(-0.5 * (F.relu(distance.value - distance.high) / _NEAR).square())
    return confidence(statement, features)
