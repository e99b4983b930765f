"""Training examples of the denoiser: random windows of first motions with their truth, and masking (CloseInt)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from closemesh.geometry.rotations import rotation_6d_to_matrix
from closemesh.interaction_prior.refine import MIN_BETAS_STD, MIN_PELVIS_STD, MIN_ROTATION_STD
from closemesh.interaction_prior.state import PairState, PairUncertainty, pack, pair_view, state_to_view, unpack
from closemesh.interaction_prior.windows import WINDOW, PairWindows, mask_tracks
from closemesh.lab.training.initial_motions import InitialMotions

ROTATION_RATE, PELVIS_RATE = 0.5, 0.1  # Radians, meters per second without detections, added to each std.
UNKNOWN_ROTATION, UNKNOWN_PELVIS, UNKNOWN_BETAS = 0.5, 0.5, 1.0  # Std of a person who is never detected.


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


def sample_examples(motions: InitialMotions, count: int, generator: torch.Generator) -> TrainingExample:
    """Random windows of WINDOW frames; the two people in random order."""
    device = motions.pelvis.device
    index = torch.randint(len(motions), (count,), generator=generator, device=device)
    first = torch.randint(motions.pelvis.shape[1] - WINDOW + 1, (count,), generator=generator, device=device)
    examples = cut_examples(motions, index, first[:, None] + torch.arange(WINDOW, device=device))
    return examples.swap_people(torch.rand(count, generator=generator, device=device) < 0.5)


def cut_examples(motions: InitialMotions, index: Tensor, frames: Tensor) -> TrainingExample:
    """The windows index [B] of the motions at frames [B, WINDOW]."""

    def over_time(tensor: Tensor) -> Tensor:
        chosen = tensor[index[:, None], frames]
        return chosen.float() if chosen.is_floating_point() else chosen

    def each_frame(tensor: Tensor) -> Tensor:
        return tensor[index].float()[:, None].expand(-1, frames.shape[1], -1, -1)

    def state(rotations: Tensor, betas: Tensor, pelvis: Tensor) -> PairState:
        return PairState(rotation_6d_to_matrix(over_time(rotations)), each_frame(betas), over_time(pelvis))

    cam = state(motions.rotations, motions.betas, motions.pelvis)
    truth = state(motions.true_rotations, motions.true_betas, motions.true_pelvis)
    view, tracks = pair_view(cam.pelvis), motions.tracks
    windows = PairWindows(
        mean=state_to_view(cam, view),
        std=PairUncertainty(
            over_time(motions.rotation_std).clamp(min=MIN_ROTATION_STD),
            each_frame(motions.betas_std).clamp(min=MIN_BETAS_STD),
            over_time(motions.pelvis_std).clamp(min=MIN_PELVIS_STD),
        ),
        view=view,
        tracks=replace(
            tracks.map_frames(over_time), focal=tracks.focal[index], principal_point=tracks.principal_point[index]
        ),
        masked=torch.zeros(*frames.shape, 2, dtype=torch.bool, device=index.device),
        unpaired=torch.zeros(len(index), dtype=torch.bool, device=index.device),
        contacts=motions.contacts[index[:, None], frames],
    )
    return TrainingExample(windows, state_to_view(truth, view), motions.joint_valid[index])


def mask_frames(example: TrainingExample, masked: Tensor) -> TrainingExample:
    """The example without any knowledge of the frames of people in masked [B, T, 2] bool.

    Masked frames are interpolated between the nearest known ones, with a std that grows with the distance in time. A
    person who is masked in all frames is at rest at the place of the partner, facing the camera, and is to be
    generated as a reaction.
    """
    windows = example.windows
    never = masked.all(1, keepdim=True).expand_as(masked)
    before, after = _known_around(masked)
    fraction = (_frame_numbers(masked) - before) / (after - before).clamp(min=1)
    packed = pack(windows.mean)
    between = torch.lerp(_at(packed, before), _at(packed, after), fraction[..., None])
    mean = unpack(torch.where(never[..., None], pack(_unknown(windows.mean)), between))
    times = windows.tracks.times[..., None].expand(masked.shape)
    seconds = torch.minimum((times - times.gather(1, before)).abs(), (times - times.gather(1, after)).abs())
    std = _widened(windows.std, seconds, never)
    tracks = mask_tracks(windows.tracks, ~masked)
    return replace(example, windows=replace(windows, mean=mean, std=std, masked=masked, tracks=tracks))


def random_masks(
    count: int, frames_fraction: float, person_fraction: float, generator: torch.Generator, device: torch.device
) -> Tensor:
    """[B, WINDOW, 2] bool masked frames: of both people in some windows, of one whole person in others.

    frames_fraction and person_fraction: of the windows. Frames are masked in a row or scattered.
    """

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    kind, amount = rand(count, 1, 1), rand(count, 1, 1)
    frame = torch.arange(WINDOW, device=device)[:, None]
    start, length = (WINDOW * rand(count, 1, 2)).floor(), (WINDOW * rand(count, 1, 2) * 0.7).floor()
    row = (frame >= start) & (frame < start + length)
    scattered = rand(count, WINDOW, 2) < 0.5 * amount
    frames = (kind < frames_fraction) & torch.where(kind < frames_fraction / 2, row, scattered)
    person = (kind >= frames_fraction) & (kind < frames_fraction + person_fraction)
    which = (rand(count, 1, 1) < 0.5) == torch.tensor([True, False], device=device)
    return frames | (person & which).expand(-1, WINDOW, -1)


def drop_contacts(example: TrainingExample, fraction: float, generator: torch.Generator) -> TrainingExample:
    """The example with stated contacts in a `fraction` of the windows, all or some of the true ones."""
    contacts = example.windows.contacts
    assert contacts is not None

    def rand(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=contacts.device)

    count, _, parts, _ = contacts.shape
    stated = (rand(count, 1, 1, 1) < fraction) & (rand(count, 1, parts, parts) < 0.3 + rand(count, 1, 1, 1))
    return replace(example, windows=replace(example.windows, contacts=contacts & stated))


def _known_around(masked: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest known frames [B, T, 2] before and after each; the same one twice at the ends."""
    frames, count = _frame_numbers(masked), masked.shape[1]
    last = torch.where(masked, -1, frames).cummax(1).values
    following = torch.where(masked, count, frames).flip(1).cummin(1).values.flip(1)
    before = torch.where(last < 0, following, last).clamp(max=count - 1)
    after = torch.where(following < count, following, last).clamp(min=0)
    return before, after


def _unknown(mean: PairState) -> PairState:
    """Two people at rest, each at the place of the other, facing the camera."""
    facing = torch.eye(3, device=mean.pelvis.device).repeat(mean.rotations.shape[3], 1, 1)
    facing[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0], device=mean.pelvis.device))
    return PairState(facing.expand_as(mean.rotations), torch.zeros_like(mean.betas), mean.pelvis.flip(2))


def _widened(std: PairUncertainty, seconds: Tensor, never: Tensor) -> PairUncertainty:
    """The std `seconds` [B, T, 2] from the nearest known frame; never [B, T, 2] bool: without any."""
    seconds, never = seconds[..., None], never[..., None]
    rotation = (std.rotation_std + ROTATION_RATE * seconds).clamp(max=UNKNOWN_ROTATION)
    pelvis = (std.pelvis_std + PELVIS_RATE * seconds).clamp(max=UNKNOWN_PELVIS)
    return PairUncertainty(
        rotation_std=torch.where(never, UNKNOWN_ROTATION, torch.where(seconds > 0, rotation, std.rotation_std)),
        betas_std=torch.where(never, UNKNOWN_BETAS, std.betas_std),
        pelvis_std=torch.where(never, UNKNOWN_PELVIS, torch.where(seconds > 0, pelvis, std.pelvis_std)),
    )


def _frame_numbers(masked: Tensor) -> Tensor:
    """The number of each frame, [B, T, 2]."""
    return torch.arange(masked.shape[1], device=masked.device)[:, None].expand_as(masked)


def _at(values: Tensor, frames: Tensor) -> Tensor:
    """values [B, T, 2, C] at frames [B, T, 2]."""
    return values.gather(1, frames[..., None].expand(*frames.shape, values.shape[-1]))
