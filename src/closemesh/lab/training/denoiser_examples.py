"""Training examples of the denoiser: random windows of first motions with their truth, and masking (CloseInt)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.geometry.rotations import rotation_6d_to_matrix
from closemesh.interaction_prior.masking import (
    MAX_PELVIS_STD,
    MAX_ROTATION_STD,
    hidden_frames,
    interpolate_hidden,
    widen_std,
)
from closemesh.interaction_prior.refine import MIN_BETAS_STD, MIN_PELVIS_STD, MIN_ROTATION_STD
from closemesh.interaction_prior.state import PairState, PairUncertainty, pack, pair_view, state_to_view, unpack
from closemesh.interaction_prior.windows import WINDOW, PairWindows, mask_tracks
from closemesh.lab.training.initial_motions import InitialMotions

UNKNOWN_BETAS = 1.0  # Std of a person who is never detected.


@dataclass(frozen=True)
class TrainingExample:
    """Windows and their truth."""

    windows: PairWindows
    truth: PairState
    joint_valid: Tensor  # [B, 2, 22] bool

    def swap_people(self, swap: Tensor) -> TrainingExample:
        """The two people exchanged in the windows swap [B] bool."""
        windows, other = self.windows, self.windows.swapped()

        def choose(own: Tensor, swapped: Tensor) -> Tensor:
            return torch.where(swap.reshape(-1, *([1] * (own.ndim - 1))), swapped, own)

        assert windows.contacts is not None and other.contacts is not None
        windows = replace(
            windows,
            mean=windows.mean.combine([other.mean], choose),
            std=windows.std.combine([other.std], choose),
            tracks=windows.tracks.combine([other.tracks], choose),
            masked=choose(windows.masked, other.masked),
            contacts=choose(windows.contacts, other.contacts),
        )
        truth = self.truth.combine([self.truth.swapped()], choose)
        return TrainingExample(windows, truth, choose(self.joint_valid, self.joint_valid.flip(1)))


def sample_examples(
    motions: InitialMotions, count: int, generator: torch.Generator, frames: int = WINDOW
) -> TrainingExample:
    """Random windows of so many frames; the two people in random order."""
    device = motions.pelvis.device
    index = torch.randint(len(motions), (count,), generator=generator, device=device)
    first = torch.randint(motions.pelvis.shape[1] - frames + 1, (count,), generator=generator, device=device)
    examples = cut_examples(motions, index, first[:, None] + torch.arange(frames, device=device))
    return examples.swap_people(torch.rand(count, generator=generator, device=device) < 0.5)


def cut_examples(motions: InitialMotions, index: Tensor, frames: Tensor) -> TrainingExample:
    """The windows index [B] of the motions at frames [B, T].

    As in the product, hidden frames are interpolated in the whole motion, before windows are cut.
    """
    rows = torch.arange(len(index), device=index.device)[:, None]
    every = torch.arange(motions.pelvis.shape[1], device=index.device).expand(len(index), -1)
    hidden = hidden_frames(motions.tracks.detected[index], motions.tracks.present[index])
    times = motions.tracks.times[index]
    wide = widen_std(_uncertainty(motions, index, every), hidden, times)
    whole = interpolate_hidden(first_state(motions, index, every), hidden, times)
    std, masked = wide.map(lambda tensor: tensor[rows, frames]), hidden[rows, frames]
    tracks = motions.tracks.map_frames(lambda tensor: _float(tensor[index[:, None], frames]))
    tracks = replace(tracks, focal=tracks.focal[index], principal_point=tracks.principal_point[index])
    cam, truth = whole.map(lambda tensor: tensor[rows, frames]), true_state(motions, index, frames)
    view = pair_view(cam.pelvis)
    windows = PairWindows(
        mean=state_to_view(cam, view),
        std=std,
        view=view,
        tracks=tracks,
        masked=masked,
        unpaired=torch.zeros(len(index), dtype=torch.bool, device=index.device),
        contacts=motions.contacts[index[:, None], frames],
    )
    return TrainingExample(windows, state_to_view(truth, view), motions.joint_valid[index])


def first_state(motions: InitialMotions, index: Tensor, frames: Tensor) -> PairState:
    """The first motions index [B] at frames [B, T], camera frame."""
    return _state(motions.rotations, motions.betas, motions.pelvis, index, frames)


def true_state(motions: InitialMotions, index: Tensor, frames: Tensor) -> PairState:
    """The true motions index [B] at frames [B, T], camera frame."""
    return _state(motions.true_rotations, motions.true_betas, motions.true_pelvis, index, frames)


def _uncertainty(motions: InitialMotions, index: Tensor, frames: Tensor) -> PairUncertainty:
    """Of the motions index [B] at frames [B, T]."""
    return PairUncertainty(
        motions.rotation_std[index[:, None], frames].float().clamp(min=MIN_ROTATION_STD),
        _each_frame(motions.betas_std, index, frames).clamp(min=MIN_BETAS_STD),
        motions.pelvis_std[index[:, None], frames].float().clamp(min=MIN_PELVIS_STD),
    )


def _state(rotations: Tensor, betas: Tensor, pelvis: Tensor, index: Tensor, frames: Tensor) -> PairState:
    """Of rotations [N, T, 2, 22, 6], betas [N, 2, 10] and pelvis [N, T, 2, 3]: index [B] at frames [B, T]."""
    rotations, pelvis = rotations[index[:, None], frames].float(), pelvis[index[:, None], frames].float()
    return PairState(rotation_6d_to_matrix(rotations), _each_frame(betas, index, frames), pelvis)


def _each_frame(of_person: Tensor, index: Tensor, frames: Tensor) -> Tensor:
    return of_person[index].float()[:, None].expand(-1, frames.shape[1], -1, -1)


def _float(tensor: Tensor) -> Tensor:
    """Half precision as float; other types as they are."""
    return tensor.float() if tensor.is_floating_point() else tensor


def mask_frames(example: TrainingExample, masked: Tensor) -> TrainingExample:
    """The example without any knowledge of the frames of people in masked [B, T, 2] bool, besides those masked before.

    Masked frames are interpolated as in the product. A person who is masked in all frames is at rest at the place of
    the partner, facing the camera, and is to be generated as a reaction.
    """
    windows = example.windows
    mean = interpolate_hidden(windows.mean, masked, windows.tracks.times)
    std = widen_std(windows.std, masked, windows.tracks.times)
    never = masked.all(1)[:, None, :, None]  # [B, 1, 2, 1]
    mean = unpack(torch.where(never, pack(_unknown(windows.mean)), pack(mean)))
    std = PairUncertainty(
        rotation_std=torch.where(never, MAX_ROTATION_STD, std.rotation_std),
        betas_std=torch.where(never, UNKNOWN_BETAS, std.betas_std),
        pelvis_std=torch.where(never, MAX_PELVIS_STD, std.pelvis_std),
    )
    tracks = mask_tracks(windows.tracks, ~masked)
    masked = windows.masked | masked
    return replace(example, windows=replace(windows, mean=mean, std=std, masked=masked, tracks=tracks))


def random_masks(
    shape: tuple[int, int],
    frames_fraction: float,
    person_fraction: float,
    generator: torch.Generator,
    device: torch.device,
) -> Tensor:
    """[B, T, 2] bool, of shape [B, T], masked frames: of both people in some windows, of one whole person in others.

    frames_fraction and person_fraction: of the windows. Frames are masked in a row or scattered.
    """

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    count, size = shape
    kind, amount = rand(count, 1, 1), rand(count, 1, 1)
    frame = torch.arange(size, device=device)[:, None]
    start, length = (size * rand(count, 1, 2)).floor(), (size * rand(count, 1, 2) * 0.7).floor()
    row = (frame >= start) & (frame < start + length)
    scattered = rand(count, size, 2) < 0.5 * amount
    frames = (kind < frames_fraction) & torch.where(kind < frames_fraction / 2, row, scattered)
    person = (kind >= frames_fraction) & (kind < frames_fraction + person_fraction)
    which = (rand(count, 1, 1) < 0.5) == torch.tensor([True, False], device=device)
    return frames | (person & which).expand(-1, size, -1)


def drop_contacts(example: TrainingExample, fraction: float, generator: torch.Generator) -> TrainingExample:
    """The example with stated contacts in a `fraction` of the windows, all or some of the true ones."""
    contacts = example.windows.contacts
    assert contacts is not None

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=contacts.device)

    count, _, parts, _ = contacts.shape
    stated = (rand(count, 1, 1, 1) < fraction) & (rand(count, 1, parts, parts) < 0.3 + rand(count, 1, 1, 1))
    return replace(example, windows=replace(example.windows, contacts=contacts & stated))


def _unknown(mean: PairState) -> PairState:
    """Two people at rest, each at the place of the other, facing the camera."""
    facing = torch.eye(3, device=mean.pelvis.device).repeat(mean.rotations.shape[3], 1, 1)
    facing[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=mean.pelvis.device))
    return PairState(facing.expand_as(mean.rotations), torch.zeros_like(mean.betas), mean.pelvis.flip(2))
