"""Reprojection, physics, text and codebook guidance.

Guidance of the samples: by the picture, by bodies that cross or touch, and by the book of interactions.

What was said of a pair, as the network's condition and as an energy of its guidance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from closemesh.body.model import BodyModel
from closemesh.body.motion import transl_of
from closemesh.body.skinning import skin
from closemesh.contact.vertex_contacts import ContactPatch, contact_patch, find_contacts
from closemesh.interaction_prior.codebook import Codebook, canonical_frame, from_canonical, to_canonical
from closemesh.interaction_prior.state import PairState, pack, pack_spread, unpack
from closemesh.interaction_prior.windows import PairBody, PairWindows, by_window, pose_pair, project_view
from closemesh.losses.keypoints import reprojection
from closemesh.losses.physics import contact_distance, penetration_depth
from closemesh.text.alignment import PoseTextModel
from closemesh.text.losses import contact_mask, encode_statements, statement_loss, text_pose_distance
from closemesh.text.predicates import PoseFeatures
from closemesh.text.statements import TimedStatement

Energy = Callable[[PairState], Tensor]
_TOUCH_REACH = 0.03  # Metres: nearer surfaces are taken to touch, and are held together.
_PENETRATION_SIGMA, _CONTACT_SIGMA = 0.01, 0.02  # Metres.


@dataclass(frozen=True)
class GuidanceConfig:
    """How hard, and from which step on, each kind of guidance pulls; 0 leaves it out."""

    steps: int = 4
    """Of gradient descent after each prediction."""
    rate: float = 0.15
    """Spreads that a number may move in one of them."""
    trust: float = 1.0
    """Weight of staying with the prediction."""
    reprojection: float = 0.5
    penetration: float = 1.0
    contact: float = 0.3
    codebook: float = 0.2
    """Share of the book's version of the motion that is mixed in."""
    told: float = 1.0
    """How hard descriptions pull, statement by statement."""
    told_steps: int = 2
    """Times as many steps are taken where something is told: words may lead far from the prediction."""
    alignment: float = 3.0
    """How hard they pull as a whole, by the space that texts and poses have in common."""
    smooth: float = 0.1
    """Seconds over which neighbouring frames are moved alike: keypoints tremble, people do not."""
    start_step: int = 20
    """Physics and the book act from this noise step on: before, bodies are not yet where they belong."""


def reprojection_energy(windows: PairWindows, body: PairBody, weight: float) -> Energy:
    """Squared distance of the keypoints from the seen ones, in sigmas (CloseApp Eq. 4)."""

    def energy(state: PairState) -> Tensor:
        pixels = project_view(windows, by_window(pose_pair(body, state).keypoints))
        return weight * reprojection(pixels, windows.points, windows.inverse_sigmas).sum()

    return energy


class PhysicsEnergy:
    """Crossing surfaces pushed apart, touching ones held; what crosses and touches is searched once per step."""

    def __init__(self, body: BodyModel, penetration: float, contact: float) -> None:
        """body: the closed mesh of `query_body`."""
        self._body, self._penetration, self._contact = body, penetration, contact
        self._found: ContactPatch | None = None

    def search(self, state: PairState) -> None:
        """Finds what crosses and what touches now."""
        a, b = self._skinned(self._body, state)
        self._found = contact_patch(self._body, *find_contacts(a, b, self._body.faces, _TOUCH_REACH))

    def __call__(self, state: PairState) -> Tensor:
        met = self._found
        assert met is not None
        a, b = self._skinned(met.body, state)
        meshes = (a, b, met.faces)
        depth = penetration_depth(*meshes, met.penetrations) / _PENETRATION_SIGMA
        gap = contact_distance(*meshes, met.touching) / _CONTACT_SIGMA
        # By the square root of their number: a broad touch is one contact, not two hundred.
        return self._penetration * _sum(depth) + self._contact * _sum(gap)

    @staticmethod
    def _skinned(body: BodyModel, state: PairState) -> tuple[Tensor, Tensor]:
        """Vertices [B * T, V, 3] of both people."""
        betas = state.betas.mean(1, keepdim=True)  # [B, 1, 2, 10]
        count = 55 - state.rotations.shape[3]
        identity = torch.eye(3, dtype=betas.dtype, device=betas.device)
        still = identity.expand(*state.rotations.shape[:3], count, 3, 3)
        rotations = torch.cat([state.rotations, still], dim=3)
        vertices, _ = skin(body, betas, rotations, transl_of(body, betas, state.pelvis))
        return vertices[:, :, 0].flatten(0, 1), vertices[:, :, 1].flatten(0, 1)


def _sum(residual: Tensor) -> Tensor:
    return residual.square().sum() / max(len(residual), 1) ** 0.5


def guide_by_energies(
    windows: PairWindows, energies: list[Energy], physics: PhysicsEnergy | None, config: GuidanceConfig
) -> Callable[[PairState, int], PairState]:
    """Lowers the energies of each prediction, in units of its spread, without leaving it far."""
    mean, spread = pack(windows.mean), pack_spread(windows.spread)
    share = neighbours(windows.times, config.smooth)

    def guide(state: PairState, t: int) -> PairState:
        active: list[Energy] = list(energies)
        if physics is not None and t <= config.start_step:
            physics.search(state)
            active.append(physics)
        told = (pack(state) - mean) / spread
        with torch.enable_grad():
            steps = torch.zeros_like(told, requires_grad=True)
            optimiser = torch.optim.Adam([steps], lr=config.rate, betas=(0.5, 0.9))
            for _ in range(config.steps):
                optimiser.zero_grad()
                moved = torch.einsum("bts,bspd->btpd", share, steps)
                loss = config.trust * moved.square().sum()
                for energy in active:
                    loss = loss + energy(unpack(mean + spread * (told + moved)))
                loss.backward()
                optimiser.step()
        return unpack(mean + spread * (told + torch.einsum("bts,bspd->btpd", share, steps.detach())))

    return guide


def neighbours(times: Tensor, seconds: float) -> Tensor:
    """[B, T, T] share of every frame in the mean around each: a bell over times [B, T] of that standard deviation."""
    apart = (times[:, :, None] - times[:, None]) / seconds
    return (-0.5 * apart.square()).softmax(-1)


def guide_by_codebook(
    codebook: Codebook, windows: PairWindows, config: GuidanceConfig
) -> Callable[[PairState, int], PairState]:
    """Mixes in what the book makes of each prediction, late in the sampling (CloseInt's update by the prior)."""

    def guide(state: PairState, t: int) -> PairState:
        if t > config.start_step:
            return state
        frame = canonical_frame(state)
        coded = codebook(pack(to_canonical(state, frame)), windows.times)
        known = from_canonical(unpack(coded.motion), frame)
        return unpack(torch.lerp(pack(state), pack(known), config.codebook))

    return guide


@dataclass(frozen=True)
class TextGuidance:
    """Statements about one pair, its people numbered 0 and 1."""

    told: tuple[TimedStatement, ...]
    up: Tensor  # [3] unit vector against gravity, cam

    def condition(self, windows: PairWindows) -> PairWindows:
        """The windows with the parts that are said to touch."""
        return replace(windows, touching=contact_mask(self.told, windows.times))

    def energy(self, windows: PairWindows, body: PairBody, weight: float) -> Energy:
        """How far a state is from what is said of it."""
        up = F.normalize(self.up, dim=-1).to(windows.times).expand(*windows.times.shape, 3)

        def energy(state: PairState) -> Tensor:
            keypoints = windows.view.points_to_cam(by_window(pose_pair(body, state).keypoints))
            return weight * statement_loss(self.told, PoseFeatures(keypoints, up, body.capsules), windows.times).sum()

        return energy

    def nearness(self, windows: PairWindows, alignment: PoseTextModel, weight: float) -> Energy:
        """How far each person is from what is said of that one, in the space that texts and poses have in common.

        What is said of both is left out: its gradients push people apart or together by decimetres.
        """
        sayings = [one for one in encode_statements(alignment, self.told) if len(one.people) == 1]
        up_cam = F.normalize(self.up, dim=-1).to(windows.times)
        up = torch.einsum("bij,j->bi", windows.view.R_view_cam, up_cam)[:, None].expand(*windows.times.shape, 3)

        def energy(state: PairState) -> Tensor:
            return (
                weight
                * text_pose_distance(
                    sayings, alignment.pose_encoder, state.rotations, state.pelvis, up, windows.times
                ).sum()
            )

        return energy
