"""Guidance of the sampling: reprojection, physics, statements, text alignment and the interaction codebook."""

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
from closemesh.interaction_prior.diffusion import Guide
from closemesh.interaction_prior.state import PairState, PairUncertainty, pack, pack_std, unpack
from closemesh.interaction_prior.windows import (
    PairBody,
    PairWindows,
    WindowLayout,
    pose_pair,
    project_view,
    unfold_windows,
)
from closemesh.losses.keypoints import reprojection
from closemesh.losses.physics import contact_distance, penetration_depth
from closemesh.text.alignment import PoseTextModel
from closemesh.text.losses import contact_mask, encode_statements, statement_loss, text_pose_distance
from closemesh.text.pose_features import PoseFeatures
from closemesh.text.statements import TimedStatement

Energy = Callable[[PairState], Tensor]
"""One number [] of a state of all windows."""

_CONTACT_DISTANCE = 0.03  # Meters: surfaces that are closer are in contact, and are held together.
_OUTLIER_SIGMAS = 16.0  # The prediction moves limbs far from keypoints; guidance has to bring them back.
_POOLED_FRAMES = 16  # The energy of so many equal frames is that of one pool of all their residuals.
_PENETRATION_SIGMA, _CONTACT_SIGMA = 0.01, 0.02  # Meters.
_CODEBOOK_ROTATION_STD, _CODEBOOK_PELVIS_STD = 0.3, 0.1  # Errors of decoded motion: radians, meters.


@dataclass(frozen=True)
class GuidanceConfig:
    """Weight of each kind of guidance, and from which step on it acts; a weight of 0 leaves it out."""

    steps: int = 4
    """Of gradient descent after each prediction."""
    rate: float = 0.15
    """Standard deviations that a number may move in one of them."""
    deviation: float = 1.0
    """Weight of the squared deviation from the prediction."""
    reprojection: float = 0.5
    penetration: float = 1.0
    contact: float = 0.3
    codebook: float = 1.0
    """Largest fraction of the codebook's reconstruction that is mixed in."""
    codebook_levels: int | None = 2
    """Levels of codes in it, all if None: fewer are further from the prediction and closer to the data."""
    text: float = 1.0
    """Weight of each statement."""
    text_step_factor: int = 2
    """Factor of `steps` with statements: they may be far from the prediction."""
    alignment: float = 3.0
    """Weight of the distance in the common space of texts and poses."""
    smooth: float = 0.1
    """Seconds over which neighboring frames move alike: keypoints jitter, people do not."""
    start_step: int = 20
    """Noise step from which on physics and codebook act: before, bodies are not in place."""


def reprojection_energy(windows: PairWindows, body: PairBody, weight: float) -> Energy:
    """Weighted robust squared distance of the keypoints from the detected ones, in sigmas (CloseApp Eq. 4)."""

    def energy(state: PairState) -> Tensor:
        pixels = project_view(windows, unfold_windows(pose_pair(body, state).keypoints))
        tracks = windows.tracks
        return weight * reprojection(pixels, tracks.points2d, tracks.inv_sigma, _OUTLIER_SIGMAS).sum()

    return energy


class PhysicsEnergy:
    """Penetration and contact distance of the two surfaces; `search` finds the vertices, once per sampling step."""

    def __init__(self, body: BodyModel, penetration: float, contact: float) -> None:
        """body: the closed mesh of `watertight_body`; weights of penetration and contact."""
        self._body, self._penetration, self._contact = body, penetration, contact
        self._patch: ContactPatch | None = None

    def search(self, state: PairState) -> None:
        """Finds the penetrating and the touching vertices of `state`."""
        a, b = self._skinned(self._body, state)
        self._patch = contact_patch(self._body, *find_contacts(a, b, self._body.faces, _CONTACT_DISTANCE))

    def __call__(self, state: PairState) -> Tensor:
        patch = self._patch
        assert patch is not None
        a, b = self._skinned(patch.body, state)
        depth = penetration_depth(a, b, patch.faces, patch.penetrations) / _PENETRATION_SIGMA
        distance = contact_distance(a, b, patch.faces, patch.touching) / _CONTACT_SIGMA
        deep, apart = (
            _balanced_sum(residual, pairs.frame)
            for residual, pairs in ((depth, patch.penetrations), (distance, patch.touching))
        )
        return self._penetration * deep + self._contact * apart

    @staticmethod
    def _skinned(body: BodyModel, state: PairState) -> tuple[Tensor, Tensor]:
        """Vertices [B * T, V, 3] of both people."""
        betas = state.betas.mean(1, keepdim=True)  # [B, 1, 2, 10]
        count = 55 - state.rotations.shape[3]
        identity = torch.eye(3, dtype=betas.dtype, device=betas.device)
        fixed = identity.expand(*state.rotations.shape[:3], count, 3, 3)
        rotations = torch.cat([state.rotations, fixed], dim=3)
        vertices, _ = skin(body, betas, rotations, transl_of(body, betas, state.pelvis))
        return vertices[:, :, 0].flatten(0, 1), vertices[:, :, 1].flatten(0, 1)


def _balanced_sum(residual: Tensor, frame: Tensor) -> Tensor:
    """Sum of squares over the square root of their number in their frame, for residual [N] in frame [N] int64.

    A broad contact is one contact, not two hundred. A frame counts alike however many others there are.
    """
    count = torch.bincount(frame)[frame] * _POOLED_FRAMES
    return (residual.square() / count.to(residual).sqrt()).sum()


def guide_by_energies(
    windows: PairWindows, energies: list[Energy], physics: PhysicsEnergy | None, config: GuidanceConfig
) -> Guide:
    """Gradient descent on the energies from each prediction, in standard deviations, with a penalty on deviation."""
    mean, std = pack(windows.mean), pack_std(windows.std)
    weights = smoothing_weights(windows.tracks.times, config.smooth)

    def guide(state: PairState, t: int) -> PairState:
        active: list[Energy] = list(energies)
        if physics is not None and t <= config.start_step:
            physics.search(state)
            active.append(physics)
        predicted = (pack(state) - mean) / std
        with torch.enable_grad():
            steps = torch.zeros_like(predicted, requires_grad=True)
            optimizer = torch.optim.Adam([steps], lr=config.rate, betas=(0.5, 0.9))
            for _ in range(config.steps):
                optimizer.zero_grad()
                change = torch.einsum("bts,bspd->btpd", weights, steps)
                loss = config.deviation * change.square().sum()
                for energy in active:
                    loss = loss + energy(unpack(mean + std * (predicted + change)))
                loss.backward()
                optimizer.step()
        return unpack(mean + std * (predicted + torch.einsum("bts,bspd->btpd", weights, steps.detach())))

    return guide


def smoothing_weights(times: Tensor, seconds: float) -> Tensor:
    """[B, T, T] weights of a Gaussian mean around each frame; times [B, T], standard deviation in `seconds`."""
    distance = (times[:, :, None] - times[:, None]) / seconds
    return (-0.5 * distance.square()).softmax(-1)


def guide_by_codebook(codebook: Codebook, windows: PairWindows, config: GuidanceConfig) -> Guide:
    """Mixes in the codebook's reconstruction of each late prediction (CloseInt's update by the prior).

    Each number moves as far as it is uncertain: what was seen well keeps its value.
    """
    fraction = config.codebook * codebook_fraction(windows.std)

    def guide(state: PairState, t: int) -> PairState:
        if t > config.start_step:
            return state
        part = state.map(lambda tensor: _in_parts(tensor, codebook.config.frames))
        frame = canonical_frame(part)
        times = _in_parts(windows.tracks.times, codebook.config.frames)
        output = codebook(pack(to_canonical(part, frame)), times, levels=config.codebook_levels)
        decoded = pack(from_canonical(unpack(output.motion), frame)).reshape(fraction.shape)
        return unpack(torch.lerp(pack(state), decoded, fraction))

    return guide


def _in_parts(tensor: Tensor, frames: int) -> Tensor:
    """[B * n, frames, ...] of windows [B, n * frames, ...]."""
    return tensor.unflatten(1, (-1, frames)).flatten(0, 1)


def codebook_fraction(std: PairUncertainty) -> Tensor:
    """[B, T, 2, STATE_WIDTH] weight of the decoded numbers against those with errors of `std`, 0..1."""
    variance = pack_std(std).square()
    rotation = torch.full_like(std.rotation_std, _CODEBOOK_ROTATION_STD)
    betas, pelvis = torch.full_like(std.betas_std, torch.inf), torch.full_like(std.pelvis_std, _CODEBOOK_PELVIS_STD)
    return variance / (variance + pack_std(PairUncertainty(rotation, betas, pelvis)).square())


@dataclass(frozen=True)
class TextGuidance:
    """Statements about one pair, its people numbered 0 and 1."""

    statements: tuple[TimedStatement, ...]
    up: Tensor  # [T, 3] unit vectors against gravity, cam; of windows [B, T, 3]

    def windows(self, layout: WindowLayout) -> TextGuidance:
        """The guidance of the windows of an interval."""
        return replace(self, up=self.up[layout.index.to(self.up.device)])

    def condition(self, windows: PairWindows) -> PairWindows:
        """The windows with the stated contacts."""
        return replace(windows, contacts=contact_mask(self.statements, windows.tracks.times))

    def statement_energy(self, windows: PairWindows, body: PairBody, weight: float) -> Energy:
        """Weighted violation of the statements."""
        times = windows.tracks.times
        up = F.normalize(self.up.to(times), dim=-1)

        def energy(state: PairState) -> Tensor:
            keypoints = windows.view.points_to_cam(unfold_windows(pose_pair(body, state).keypoints))
            return weight * statement_loss(self.statements, PoseFeatures(keypoints, up, body.capsules), times).sum()

        return energy

    def alignment_energy(self, windows: PairWindows, alignment: PoseTextModel, weight: float) -> Energy:
        """Weighted distance of each person from the statements about that person, in the space of texts and poses.

        Statements about both people are left out: their gradients move people by decimeters. With places and headings
        fixed, they moved limbs out of contact.
        """
        targets = [one for one in encode_statements(alignment, self.statements) if len(one.people) == 1]
        times = windows.tracks.times
        up = torch.einsum("bij,btj->bti", windows.view.R_view_cam, F.normalize(self.up.to(times), dim=-1))

        def energy(state: PairState) -> Tensor:
            distance = text_pose_distance(targets, alignment.pose_encoder, state.rotations, state.pelvis, up, times)
            return weight * distance.sum()

        return energy
