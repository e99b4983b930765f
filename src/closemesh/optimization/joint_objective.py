"""JointObjective, contact terms between bodies.

What bodies do to each other: surfaces that cross are pushed apart, surfaces that touch are kept together.

Everything that is asked of people together: each one's own terms, the floor, what bodies do to each other, words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.body.skinning import skin
from closemesh.contact.vertex_contacts import ContactPatch, contact_patch, find_contacts
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel, single_person_loss
from closemesh.fitting.optimizer import SIGMAS, Weights
from closemesh.losses.physics import contact_distance, penetration_depth
from closemesh.optimization.floor import Ground, ground_loss
from closemesh.optimization.text_terms import TextObjective

QUERY_EVERY = 8  # Steps between two searches for crossing and touching points.
TOUCH_REACH = 0.02  # Metres; surfaces nearer than this are taken to touch.
HOLD_REACH = 0.10  # Metres; where bodies touched at first, their nearest points are held together within this.
HOLD_WIDTH = 0.01  # Metres; the points this much farther apart than the nearest ones are held too.
_FAR = 1e3  # Metres; where somebody who is away is put.


class ContactObjective:
    """Penetration and contact of some pairs in one window; what crosses and touches is searched for now and then."""

    def __init__(self, body: BodyModel, pairs: Sequence[tuple[int, int]], present: Tensor) -> None:
        """body: the closed mesh of `query_body`; present [T, P]."""
        self._body = body
        self._pairs = pairs
        self._present = present
        self._found: dict[tuple[int, int], ContactPatch] = {}
        self._touched: dict[tuple[int, int], Tensor] = {}  # [T] bool, as the window began

    @torch.no_grad()
    def update_contacts(self, variables: MotionParameters) -> None:
        """Who touches here is held together, wherever the motion has gone since."""
        self._search(self._vertices(variables))

    def loss(self, variables: MotionParameters, weights: Weights, step: int) -> Tensor:
        """Weighted energy of all pairs as one number; searches again every QUERY_EVERY steps."""
        transl, rotations = self._transl(variables), variables.rotations()
        if step % QUERY_EVERY == 0:
            with torch.no_grad():
                self._search(self._vertices(variables))
        total = transl.new_zeros(())
        for pair, met in self._found.items():
            two = list(pair)
            vertices, _ = skin(met.body, variables.betas[two], rotations[:, two], transl[:, two])
            meshes = (vertices[:, 0], vertices[:, 1], met.faces)
            depth = penetration_depth(*meshes, met.penetrations) / SIGMAS.penetration
            gap = contact_distance(*meshes, met.touching) / SIGMAS.contact
            total = total + weights.penetration * depth.square().sum() + weights.contact * gap.square().sum()
        return total

    def _transl(self, variables: MotionParameters) -> Tensor:
        return variables.transl(self._body)

    def _vertices(self, variables: MotionParameters) -> Tensor:
        return skin(self._body, variables.betas, variables.rotations(), self._transl(variables))[0]

    def _search(self, vertices: Tensor) -> None:
        for a, b in self._pairs:
            away = ((self._present[:, a] * self._present[:, b]) == 0)[:, None, None]
            meshes = (vertices[:, a], vertices[:, b] + _FAR * away, self._body.faces)
            crossings, near = find_contacts(*meshes, HOLD_REACH)
            gap = contact_distance(*meshes, near)
            touching = gap < TOUCH_REACH
            if (a, b) not in self._touched:
                touched = torch.zeros(len(vertices), dtype=torch.bool, device=gap.device)
                touched[torch.cat([crossings.frame, near.frame[touching]])] = True
                self._touched[a, b] = touched
            smallest = torch.full((len(vertices),), torch.inf, device=gap.device)
            smallest = smallest.scatter_reduce(0, near.frame, gap, "amin")
            held = self._touched[a, b][near.frame] & (gap < smallest[near.frame] + HOLD_WIDTH)
            self._found[a, b] = contact_patch(self._body, crossings, near.where(touching | held))


@dataclass(frozen=True)
class JointObjective:
    """The objective of T frames; called with variables, weights and the number of the step it gives one number."""

    subject: FitModel
    evidence: KeypointTracks
    ground: Ground | None
    words: TextObjective | None
    interaction: ContactObjective | None = None

    def frames(
        self, window: slice | Tensor, meshes: BodyModel, pairs: Sequence[tuple[int, int]], touched: MotionParameters
    ) -> JointObjective:
        """That of a window, in which `pairs` meet; who touches in `touched` [T, ...] is held together."""
        evidence = self.evidence.frames(window)
        interaction = ContactObjective(meshes, pairs, evidence.present) if pairs else None
        if interaction:
            interaction.update_contacts(touched.frames(window))
        ground, words = self.ground and self.ground.frames(window), self.words and self.words.frames(window)
        return replace(self, evidence=evidence, ground=ground, words=words, interaction=interaction)

    def __call__(self, variables: MotionParameters, weights: Weights, step: int) -> Tensor:
        posed = pose_parameters(self.subject.body, variables)
        total = single_person_loss(self.subject, variables, posed, self.evidence, weights)
        if self.ground is not None:
            total = total + ground_loss(posed, self.ground, self.evidence, weights)
        if self.words is not None:
            total = total + self.words.loss(posed, self.evidence, weights)
        if self.interaction is not None and (weights.penetration > 0 or weights.contact > 0):
            total = total + self.interaction.loss(variables, weights, step)
        return total
