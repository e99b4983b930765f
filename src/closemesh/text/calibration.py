"""How far each statement is believed: by what the picture shows, and by what is said at other times of the same.

Whoever describes pictures errs, and does not know where. What is said of limbs that are seen well tells how reliable
the describer is at all; what he says of hidden ones counts by that, by how likely it was before, and by whether he says
the same of the moments before and after: a hidden Markov model of each topic, the reliability by expectation
maximisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.capsules import NUM_POINTS, capsule_body
from closemesh.body.loading import load_landmark_body
from closemesh.body.model import BodyModel
from closemesh.body.motion import pelvis_of
from closemesh.core.arrays import Floats
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.structures import BodyMotion, PoseUncertainty
from closemesh.text.predicates import PoseFeatures, conditions, confidence, figures_at
from closemesh.text.statements import Statement, TimedStatement, Touch, alternatives

_SAMPLES = 32  # Poses that the first one could be, of each frame.
_FRAMES = 3  # Of each span that are looked at.
_LASTS = 1.5  # Seconds after which a statement holds no longer than by chance.
_UNSURE = 0.05  # Share of what the first pose says that is not believed: its spread is a guess too.
_BETWEEN = 1.0  # Seconds without words over which a statement lasts that is repeated after them.
_CHANCE = 0.06  # That a false touch names just these parts.
_NEAR = 0.06  # Metres of the gap of a touch in a first motion.
_UNLIKELY = 0.003  # Of any touch, where the first pose has people far from each other.
_NAMED = 0.8  # Share of the touches that are mentioned where others are.
_ROUNDS = 5
_BELIEVED, _ASKED = 9.0, 10.0  # Right ones among statements before, on which the first reliability stands.

Span = tuple[float, float]


def calibrate_confidence(
    told: Sequence[TimedStatement],
    motion: BodyMotion,
    spread: PoseUncertainty,
    body: BodyModel,
    times: Floats,
    up_cam: Floats,
) -> tuple[TimedStatement, ...]:
    """The same statements, each as sure as it is to be believed.

    motion: the first one, camera frame, with its spread; times [T] seconds; up_cam [T, 3] against gravity. Statements
    about people who are not there are left out.
    """
    told = [one for one in told if max(one.statement.people) < motion.num_people]
    if not told:
        return ()
    poses = _Poses(motion, spread, body, times, up_cam)
    questions = [_question(topic, told, poses) for topic in dict.fromkeys(one.statement.topic for one in told)]
    reliable = _BELIEVED / _ASKED
    trust = np.zeros(len(told))
    for _ in range(_ROUNDS):
        for question in questions:
            trust[question.told] = question.posterior(reliable)
        sure = sum(one.confidence for one in told)
        reliable = min((trust.sum() + _BELIEVED) / (sure + _ASKED), 1.0)
    believed = [replace(one, confidence=round(float(t), 3)) for one, t in zip(told, trust, strict=True)]
    for question in questions:
        for number, end in question.lasting():
            believed[number] = replace(believed[number], end=end)
    return tuple(believed)


@dataclass(frozen=True)
class _TopicChain:
    """One topic: K spans of which something is said, in order, and V answers; the last one is none of the others."""

    spans: list[Span]
    told: list[int]  # Which statements answer it,
    node: list[int]  # in which span,
    answer: list[int]  # how,
    confidence: list[float]  # and how surely.
    chance: float
    """That a false statement is this one."""
    silent: list[int]
    """Spans in which it is not mentioned though it could have been."""
    seen: Floats  # [K, V] by what the picture shows
    stay: Floats  # [K - 1] share that is the same in the next span

    def posterior(self, reliable: float) -> Floats:
        """How far each of its statements is believed, when this share of what is said is right."""
        evidence = self._evidence(reliable)
        forward, backward = evidence.copy(), np.ones_like(evidence)
        for k, stay in enumerate(self.stay):
            forward[k + 1] *= _carried(forward[k], stay)
        for k, stay in reversed(list(enumerate(self.stay))):
            backward[k] = _carried(backward[k + 1] * evidence[k + 1], stay)
        both = forward * backward
        both /= both.sum(1, keepdims=True)
        return both[self.node, self.answer]

    def lasting(self) -> Iterator[tuple[int, float]]:
        """Statements that the next span repeats, and when that begins: what holds before and after holds between."""
        said = {(node, answer): number for number, node, answer in zip(self.told, self.node, self.answer, strict=True)}
        for (node, answer), number in said.items():
            if (node + 1, answer) in said and self.spans[node + 1][0] - self.spans[node][1] < _BETWEEN:
                yield number, max(self.spans[node][1], self.spans[node + 1][0])

    def _evidence(self, reliable: float) -> Floats:
        """[K, V]; the picture errs alike in spans near each other, so that together they count once."""
        apart = np.concatenate([[0.0], np.cumsum(-np.log(self.stay))])
        alike = np.exp(-np.abs(apart[:, None] - apart)).sum(1)
        evidence = self.seen ** (1 / alike[:, None])
        for node, answer, sure in zip(self.node, self.answer, self.confidence, strict=True):
            right = reliable * sure
            likely = np.full(evidence.shape[1], (1 - right) * self.chance)
            likely[answer] = right
            evidence[node] *= likely
        evidence[self.silent, 0] *= 1 - _NAMED * reliable
        return evidence


def _carried(belief: Floats, stay: float) -> Floats:
    """What a belief [V] of one span says of the next one."""
    belief = belief / belief.sum()
    return stay * belief + (1 - stay) / len(belief)


def _question(topic: tuple[object, ...], told: Sequence[TimedStatement], poses: _Poses) -> _TopicChain:
    mine = [number for number, one in enumerate(told) if one.statement.topic == topic]
    first = told[mine[0]].statement
    answers = (first, *alternatives(first))
    asked = mine
    if isinstance(first, Touch):  # Wherever something is said of the two.
        asked = [number for number, one in enumerate(told) if one.statement.people == first.people]
    spans = sorted({(told[number].start, told[number].end) for number in asked}, key=poses.middle)
    node = [spans.index((told[number].start, told[number].end)) for number in mine]
    middles = np.array([poses.middle(span) for span in spans])
    return _TopicChain(
        spans=spans,
        told=mine,
        node=node,
        answer=[answers.index(told[number].statement) for number in mine],
        confidence=[told[number].confidence for number in mine],
        chance=_CHANCE if isinstance(first, Touch) else 1 / max(len(answers) - 1, 1),
        silent=sorted(set(range(len(spans))) - set(node)) if isinstance(first, Touch) else [],
        seen=np.stack([poses.shown(answers, span) for span in spans]),
        stay=np.exp(-np.maximum(np.diff(middles), 1e-3) / _LASTS),
    )


class _Poses:
    """What people could be like in each frame, by the first motion and its spread."""

    def __init__(
        self, motion: BodyMotion, spread: PoseUncertainty, body: BodyModel, times: Floats, up_cam: Floats
    ) -> None:
        self._made_of = motion, spread, up_cam
        self._times = np.asarray(times)
        self._points, self._capsules = load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body)
        self._figures: dict[int, PoseFeatures] = {}
        self._shown: dict[tuple[Statement, int], float] = {}

    def middle(self, span: Span) -> float:
        """Seconds; of a span without borders the middle of the clip."""
        start, end = np.clip(span, self._times[0], self._times[-1])
        return float(start + end) / 2

    def shown(self, answers: Sequence[Statement], span: Span) -> Floats:
        """[V] how likely each answer is, and that none of them holds; adds up to 1."""
        frames = self._frames(span)
        likely = np.array([np.mean([self._likely(one, frame) for frame in frames]) for one in answers])
        likely = np.append(likely, max(1 - likely.sum(), 0.0))
        unsure = 2 * _UNLIKELY if isinstance(answers[0], Touch) else _UNSURE
        return (1 - unsure) * likely / likely.sum() + unsure / len(likely)

    def _frames(self, span: Span) -> list[int]:
        inside = np.flatnonzero((self._times >= span[0]) & (self._times <= span[1]))
        if len(inside) == 0:
            return [int(np.abs(self._times - self.middle(span)).argmin())]
        return sorted({int(inside[round(k)]) for k in np.linspace(0, len(inside) - 1, _FRAMES + 2)[1:-1]})

    def _likely(self, statement: Statement, frame: int) -> float:
        if (statement, frame) not in self._shown:
            if frame not in self._figures:
                self._figures[frame] = self._sampled(frame)
            with torch.inference_mode():
                self._shown[statement, frame] = float(_holds(statement, self._figures[frame]).mean())
        return self._shown[statement, frame]

    def _sampled(self, frame: int) -> PoseFeatures:
        """Poses drawn about the first one [_SAMPLES, P, ...]; always the same ones."""
        motion, spread, up_cam = self._made_of
        noise = torch.Generator().manual_seed(frame)

        def drawn(deviation: Floats, *shape: int) -> Tensor:
            scale = torch.as_tensor(deviation, dtype=torch.float32)
            return scale * torch.randn(_SAMPLES, *shape, generator=noise)

        def mean(array: Floats) -> Tensor:
            return torch.as_tensor(array, dtype=torch.float32).expand(_SAMPLES, *array.shape)

        people = motion.num_people
        turns = axis_angle_to_matrix(drawn(spread.rotation_std[frame, :, :, None], people, 22, 3))
        rotations = mean(motion.rotations[frame, :, :22]) @ turns
        betas = mean(motion.betas)[..., : self._points.num_betas]
        pelvis = pelvis_of(self._points, betas, mean(motion.transl[frame]))
        pelvis = pelvis + drawn(spread.pelvis_std[frame], people, 3)
        up = F.normalize(mean(up_cam[frame]), dim=-1)
        return figures_at(rotations, pelvis, betas, up, self._points, self._capsules)


def _holds(statement: Statement, figures: PoseFeatures) -> Tensor:
    """How surely a statement holds 0..1 [...]; a touch also where parts are only near: no first pose has it exactly."""
    if isinstance(statement, Touch):
        [gap] = conditions(statement, figures)
        return torch.exp(-0.5 * (F.relu(gap.value - gap.high) / _NEAR).square())
    return confidence(statement, figures)
