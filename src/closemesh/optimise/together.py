"""Everything that is asked of people together: each one's own terms, the floor, what bodies do to each other, words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.variables import MotionVariables, pose_variables
from closemesh.fitting.evidence import Evidence
from closemesh.fitting.objective import Subject, single_person_loss
from closemesh.fitting.schedule import Weights
from closemesh.optimise.ground import Ground, ground_loss
from closemesh.optimise.interaction import Interaction
from closemesh.optimise.words import Words


@dataclass(frozen=True)
class Together:
    """The objective of T frames; called with variables, weights and the number of the step it gives one number."""

    subject: Subject
    evidence: Evidence
    ground: Ground | None
    words: Words | None
    interaction: Interaction | None = None

    def frames(
        self, window: slice | Tensor, meshes: BodyModel, pairs: Sequence[tuple[int, int]], touched: MotionVariables
    ) -> Together:
        """That of a window, in which `pairs` meet; who touches in `touched` [T, ...] is held together."""
        evidence = self.evidence.frames(window)
        interaction = Interaction(meshes, pairs, evidence.present) if pairs else None
        if interaction:
            interaction.remember(touched.frames(window))
        ground, words = self.ground and self.ground.frames(window), self.words and self.words.frames(window)
        return replace(self, evidence=evidence, ground=ground, words=words, interaction=interaction)

    def __call__(self, variables: MotionVariables, weights: Weights, step: int) -> Tensor:
        posed = pose_variables(self.subject.body, variables)
        total = single_person_loss(self.subject, variables, posed, self.evidence, weights)
        if self.ground is not None:
            total = total + ground_loss(posed, self.ground, self.evidence, weights)
        if self.words is not None:
            total = total + self.words.loss(posed, self.evidence, weights)
        if self.interaction is not None and (weights.penetration > 0 or weights.contact > 0):
            total = total + self.interaction.loss(variables, weights, step)
        return total
