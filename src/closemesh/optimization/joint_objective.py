"""The objective of all people jointly: single-person terms, the floor, contact, appearance, and statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.motion import MotionParameters, pose_parameters
from closemesh.body.skinning import skin
from closemesh.contact.body_parts import PART_NAMES, part_labels
from closemesh.contact.vertex_contacts import ContactPatch, SurfacePairs, contact_patch, find_contacts
from closemesh.fitting.floor import Ground, ground_loss
from closemesh.fitting.keypoint_tracks import KeypointTracks
from closemesh.fitting.objective import FitModel, single_person_loss
from closemesh.fitting.optimizer import SIGMAS, Weights
from closemesh.losses.physics import contact_distance, penetration_depth
from closemesh.optimization.appearance import AppearanceObjective
from closemesh.optimization.text_terms import TextObjective

SEARCH_EVERY = 8  # Steps between two searches for penetrating and touching vertices.
CONTACT_DISTANCE = 0.02  # Meters; closer surfaces are in contact.
HOLD_DISTANCE = 0.10  # Meters; within this the closest points of body parts that were in contact are held together.
HOLD_WIDTH = 0.01  # Meters; points this much farther apart than the closest ones are held too.
_FAR = 1e3  # Meters; where an absent person is moved to.


class ContactObjective:
    """Penetration and contact of some pairs in one window; their vertices are searched from time to time."""

    def __init__(self, body: BodyModel, pairs: Sequence[tuple[int, int]], present: Tensor) -> None:
        """body: the closed mesh of `watertight_body`; present [T, P] bool."""
        self._body = body
        self._pairs = pairs
        self._present = present.bool()
        self._patches: dict[tuple[int, int], ContactPatch] = {}
        self._labels = part_labels(body)  # [V] body part
        self._in_contact: dict[tuple[int, int], Tensor] = {}  # [T * parts * parts] bool, at the first search

    @torch.no_grad()
    def update_contacts(self, parameters: MotionParameters) -> None:
        """Searches in `parameters`; parts in contact at the first search are held together from then on."""
        self._search(self._vertices(parameters))

    def loss(self, parameters: MotionParameters, weights: Weights, step: int) -> Tensor:
        """Weighted loss [] of all pairs; searches again every SEARCH_EVERY steps."""
        transl, rotations = parameters.transl(self._body), parameters.rotations()
        if step % SEARCH_EVERY == 0:
            with torch.no_grad():
                self._search(self._vertices(parameters))
        total = transl.new_zeros(())
        for pair, patch in self._patches.items():
            two = list(pair)
            vertices, _ = skin(patch.body, parameters.betas[two], rotations[:, two], transl[:, two])
            a, b = vertices[:, 0], vertices[:, 1]
            depth = penetration_depth(a, b, patch.faces, patch.penetrations) / SIGMAS.penetration
            distance = contact_distance(a, b, patch.faces, patch.touching) / SIGMAS.contact
            total = total + weights.penetration * depth.square().sum() + weights.contact * distance.square().sum()
        return total

    def _vertices(self, parameters: MotionParameters) -> Tensor:
        body = self._body
        return skin(body, parameters.betas, parameters.rotations(), parameters.transl(body))[0]

    def _search(self, vertices: Tensor) -> None:
        for a, b in self._pairs:
            absent = ~(self._present[:, a] & self._present[:, b])[:, None, None]
            vertices_a, vertices_b = vertices[:, a], vertices[:, b] + _FAR * absent
            penetrations, close = find_contacts(vertices_a, vertices_b, self._body.faces, HOLD_DISTANCE)
            distance = contact_distance(vertices_a, vertices_b, self._body.faces, close)
            touching = distance < CONTACT_DISTANCE
            parts, count = self._flat_index(close), len(vertices) * len(PART_NAMES) ** 2
            if (a, b) not in self._in_contact:
                in_contact = torch.zeros(count, dtype=torch.bool, device=distance.device)
                in_contact[torch.cat([self._flat_index(penetrations), parts[touching]])] = True
                self._in_contact[a, b] = in_contact
            smallest = torch.full((count,), torch.inf, device=distance.device)
            smallest = smallest.scatter_reduce(0, parts, distance, "amin")
            held = self._in_contact[a, b][parts] & (distance < smallest[parts] + HOLD_WIDTH)
            self._patches[a, b] = contact_patch(self._body, penetrations, close.where(touching | held))

    def _flat_index(self, pairs: SurfacePairs) -> Tensor:
        """[N] flat index into [T, parts of a, parts of b]."""
        nearest = self._body.faces[pairs.face].gather(1, pairs.barycentric.argmax(1, keepdim=True))[:, 0]
        of_vertex, of_face = self._labels[pairs.vertex], self._labels[nearest]
        of_a = torch.where(pairs.from_a, of_vertex, of_face)
        of_b = torch.where(pairs.from_a, of_face, of_vertex)
        return (pairs.frame * len(PART_NAMES) + of_a) * len(PART_NAMES) + of_b


@dataclass(frozen=True)
class JointObjective:
    """The objective of T frames (CloseApp Eq. 10): a function of parameters, weights and the number of the step."""

    model: FitModel
    tracks: KeypointTracks
    ground: Ground | None
    text: TextObjective | None
    contact: ContactObjective | None = None
    appearance: AppearanceObjective | None = None

    def frames(
        self, window: slice, meshes: BodyModel, pairs: Sequence[tuple[int, int]], start: MotionParameters
    ) -> JointObjective:
        """The objective of a window with contact of `pairs`; who is in contact in `start` [T, ...] is held together."""
        tracks = self.tracks.frames(window)
        contact = ContactObjective(meshes, pairs, tracks.present) if pairs else None
        if contact:
            contact.update_contacts(start.frames(window))
        ground, text = self.ground and self.ground.frames(window), self.text and self.text.frames(window)
        appearance = self.appearance and self.appearance.frames(window)
        return replace(self, tracks=tracks, ground=ground, text=text, contact=contact, appearance=appearance)

    def __call__(self, parameters: MotionParameters, weights: Weights, step: int) -> Tensor:
        posed = pose_parameters(self.model.body, parameters)
        total = single_person_loss(self.model, parameters, posed, self.tracks, weights)
        if self.ground is not None:
            total = total + ground_loss(posed, self.ground, self.tracks, weights)
        if self.text is not None:
            total = total + self.text.loss(posed, self.tracks, weights)
        if self.contact is not None and (weights.penetration > 0 or weights.contact > 0):
            total = total + self.contact.loss(parameters, weights, step)
        if self.appearance is not None and weights.appearance > 0:
            total = total + self.appearance.loss(parameters, weights, step)
        return total
