"""Noise, state and sampling of the interaction prior, against known answers and invariances."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from closemesh.body.capsules import CAPSULE_PARTS, capsule_body
from closemesh.body.loading import load_bundled_body, load_landmark_body
from closemesh.contact.watertight import watertight_body
from closemesh.fitting.keypoint_tracks import NUM_POINTS, KeypointTracks
from closemesh.geometry.rotations import axis_angle_to_matrix
from closemesh.interaction_prior.codebook import canonical_frame, from_canonical, to_canonical
from closemesh.interaction_prior.diffusion import (
    Denoiser,
    DenoiserConfig,
    Sampler,
    add_noise,
    cosine_schedule,
    ddim_step,
    sample,
    sample_times,
)
from closemesh.interaction_prior.guidance import GuidanceConfig, PhysicsEnergy, guide_by_energies
from closemesh.interaction_prior.refine import close_intervals
from closemesh.interaction_prior.state import (
    STATE_WIDTH,
    PairState,
    PairUncertainty,
    pack,
    pair_view,
    state_to_camera,
    state_to_view,
    unpack,
)
from closemesh.interaction_prior.windows import (
    NUM_LIMBS,
    WINDOW,
    PairBody,
    PairWindows,
    merge_windows,
    synchronize_windows,
    window_layout,
)


def random_state(count: int = 2, frames: int = WINDOW) -> PairState:
    """Camera frame, three meters away."""
    generator = torch.Generator().manual_seed(0)
    turns = 0.5 * torch.randn(count, frames, 2, 22, 3, generator=generator)
    pelvis = torch.randn(count, frames, 2, 3, generator=generator) * 0.3 + torch.tensor([0.4, 0.1, 3.0])
    betas = torch.randn(count, 1, 2, 10, generator=generator).expand(-1, frames, -1, -1)
    return PairState(axis_angle_to_matrix(turns), betas, pelvis)


def windows_of(cam: PairState) -> PairWindows:
    count, frames = cam.pelvis.shape[:2]
    view = pair_view(cam.pelvis)
    generator = torch.Generator().manual_seed(1)
    detected = torch.ones(count, frames, 2, dtype=torch.bool)
    tracks = KeypointTracks(
        points2d=600 * torch.rand(count, frames, 2, NUM_POINTS, 2, generator=generator),
        inv_sigma=torch.rand(count, frames, 2, NUM_POINTS, generator=generator) / 10,
        points3d=None,
        limb_directions=torch.randn(count, frames, 2, NUM_LIMBS, 3, generator=generator),
        limb_weights=torch.rand(count, frames, 2, NUM_LIMBS, generator=generator),
        detected=detected,
        present=detected,
        times=(torch.arange(frames) / 30).expand(count, -1),
        focal=torch.full((count,), 900.0),
        principal_point=torch.full((count, 2), 320.0),
    )
    return PairWindows(
        mean=state_to_view(cam, view),
        std=PairUncertainty(
            *(torch.full(s, 0.1) for s in ((count, frames, 2, 22), (count, frames, 2, 10), cam.pelvis.shape))
        ),
        view=view,
        tracks=tracks,
        masked=torch.zeros(count, frames, 2, dtype=torch.bool),
        unpaired=torch.zeros(count, dtype=torch.bool),
        contacts=torch.rand(count, frames, len(CAPSULE_PARTS), len(CAPSULE_PARTS), generator=generator) < 0.05,
    )


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    """With a network whose last layers are not zero, so that its output is not zero."""
    torch.manual_seed(0)
    network = Denoiser(DenoiserConfig(width=32, layers=2, heads=4, hidden=64))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    body = load_bundled_body("light")
    return Sampler(
        network.eval(), cosine_schedule(), PairBody(load_landmark_body(body).coarse(NUM_POINTS), capsule_body(body))
    )


def test_the_schedule_has_the_published_values() -> None:
    alpha_bar = cosine_schedule().alpha_bar
    expected = torch.tensor([0.999369, 0.889103, 0.632516, 0.326115, 0.085146])
    torch.testing.assert_close(alpha_bar[[0, 20, 40, 60, 80]], expected, atol=1e-6, rtol=0)
    assert alpha_bar[99] < 1e-5 and (alpha_bar.diff() < 0).all()
    assert sample_times() == [80, 60, 40, 20, 0]


def test_noising_and_a_perfect_denoiser_give_x0_back() -> None:
    schedule, generator = cosine_schedule(), torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    times = sample_times()
    x_t = add_noise(schedule, x0, noise, torch.full((3,), times[0]))
    for t, t_next in zip(times, [*times[1:], None], strict=True):
        expected = x0 if t_next is None else add_noise(schedule, x0, noise, torch.full((3,), t_next))
        x_t = ddim_step(schedule, x_t, x0, t, t_next)
        torch.testing.assert_close(x_t, expected, atol=1e-5, rtol=0)


def test_packing_and_unpacking() -> None:
    state = random_state()
    assert pack(state).shape[-1] == STATE_WIDTH
    again = unpack(pack(state))
    for name, value in vars(state).items():
        torch.testing.assert_close(getattr(again, name), value, atol=1e-5, rtol=0)


def test_views_and_the_canonical_frame_are_left_as_they_were_entered() -> None:
    cam = random_state()
    view = pair_view(cam.pelvis)
    seen = state_to_view(cam, view)
    assert seen.pelvis.mean((1, 2)).abs().max() < 1e-5
    canonical = to_canonical(seen, canonical_frame(seen))
    torch.testing.assert_close(canonical.rotations[:, 0, 0, 0], torch.eye(3).expand(2, 3, 3), atol=1e-5, rtol=0)
    assert canonical.pelvis[:, 0, 0].abs().max() < 1e-6
    back = state_to_camera(from_canonical(canonical, canonical_frame(seen)), view)
    torch.testing.assert_close(pack(back), pack(cam), atol=1e-5, rtol=0)


def test_an_untrained_network_leaves_the_first_motion(sampler: Sampler) -> None:
    untrained = replace(sampler, denoiser=Denoiser(DenoiserConfig(width=32, layers=1, heads=4, hidden=64)).eval())
    windows = windows_of(random_state())
    torch.testing.assert_close(pack(sample(untrained, windows, [])), pack(windows.mean), atol=1e-5, rtol=0)


def test_exchanging_the_people_exchanges_the_result(sampler: Sampler) -> None:
    windows = windows_of(random_state())
    noise = torch.randn(2, WINDOW, 2, STATE_WIDTH, generator=torch.Generator().manual_seed(2))
    result = sample(sampler, windows, [], noise)
    exchanged = sample(sampler, windows.swapped(), [], noise.flip(2))
    assert (pack(result) - pack(windows.mean)).abs().max() > 1e-3
    torch.testing.assert_close(pack(exchanged.swapped()), pack(result), atol=1e-4, rtol=0)


def test_stated_contacts_change_the_result_and_an_empty_statement_does_not(sampler: Sampler) -> None:
    windows = windows_of(random_state())
    assert windows.contacts is not None
    stated, without, empty = (
        pack(sample(sampler, replace(windows, contacts=contacts), []))
        for contacts in (windows.contacts, None, torch.zeros_like(windows.contacts))
    )
    assert (stated - without).abs().max() > 1e-5
    assert torch.equal(empty, without)


def test_an_unpaired_person_does_not_depend_on_the_partner(sampler: Sampler) -> None:
    windows = replace(windows_of(random_state()), unpaired=torch.ones(2, dtype=torch.bool))
    pelvis = windows.mean.pelvis.clone()
    pelvis[:, :, 1] += 0.5
    moved = replace(windows, mean=replace(windows.mean, pelvis=pelvis))
    a, b = (sample(sampler, w, []) for w in (windows, moved))
    torch.testing.assert_close(pack(a)[:, :, 0], pack(b)[:, :, 0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [WINDOW, 32])
@pytest.mark.parametrize("length", [5, WINDOW, 37, 60])
def test_merged_windows_are_the_clip(length: int, size: int) -> None:
    cam = random_state(1, length)
    layout = window_layout(length, "cpu", size)
    total = torch.zeros(length).index_add(0, layout.index.flatten(), layout.weight.flatten())
    torch.testing.assert_close(total, torch.ones(length))
    pieces = cam.map(lambda tensor: tensor[0][layout.index])
    view = pair_view(pieces.pelvis)
    together = merge_windows(state_to_view(pieces, view), view, layout, length)
    torch.testing.assert_close(pack(together), pack(cam), atol=1e-4, rtol=0)
    torch.testing.assert_close(
        pack(synchronize_windows(state_to_view(pieces, view), view, layout, length)),
        pack(state_to_view(pieces, view)),
        atol=1e-4,
        rtol=0,
    )


def test_the_physics_of_a_frame_does_not_depend_on_other_frames() -> None:
    """A long clip is guided as strongly as a short one, and a window in contact has the energy of all its vertices."""
    cam = random_state(1)
    pelvis = cam.pelvis[:, :1, :1].expand(-1, WINDOW, 2, -1) + torch.tensor([[0.0, 0, 0], [0.1, 0, 0]])
    rotations = torch.eye(3).expand(1, WINDOW, 2, 22, 3, 3)
    inside = PairState(rotations, torch.zeros(1, WINDOW, 2, 10), pelvis)
    meshes = watertight_body(load_bundled_body("light"), "coarse")
    energies = {}
    for count in (1, 2, 8):
        physics = PhysicsEnergy(meshes, 1.0, 0.3)
        windows = inside.map(lambda tensor, n=count: tensor.expand(n, *tensor.shape[1:]))
        physics.search(windows)
        energies[count] = float(physics(windows)) / count
    assert energies[1] > 1
    assert abs(energies[2] / energies[1] - 1) < 1e-3 and abs(energies[8] / energies[1] - 1) < 1e-3


def test_intervals_fade_and_cover_every_close_frame_once() -> None:
    close = torch.zeros(500, dtype=torch.bool)
    close[50:420] = True
    present = torch.ones(500, dtype=torch.bool)
    total: Tensor = torch.zeros(500)
    for frames, weight in close_intervals(close.numpy(), present.numpy(), 160):
        total[frames] += torch.as_tensor(weight)
    torch.testing.assert_close(total[50:420], torch.ones(370), atol=1e-5, rtol=0)
    assert total[30] == 0 and 0 < total[45] < 1 and total[440] == 0


def test_guidance_does_not_follow_the_jitter_of_keypoints() -> None:
    """Keypoints with jitter from frame to frame move the motion to their mean, not to and fro."""
    windows = windows_of(random_state(1, 1).map(lambda value: value.expand(-1, WINDOW, *value.shape[2:])))
    mean = pack(windows.mean)
    jitter = torch.tensor([1.0, -1.0]).repeat(WINDOW // 2)[:, None, None]

    def energy(state: PairState) -> Tensor:
        return 50 * ((pack(state) - mean) / 0.1 - 1 - 3 * jitter).square().sum()

    config = GuidanceConfig(steps=20, deviation=0.1, penetration=0.0, contact=0.0)
    moved = (pack(guide_by_energies(windows, [energy], None, config)(windows.mean, 0)) - mean)[..., -3:] / 0.1
    assert moved.mean() == pytest.approx(1, abs=0.3)
    assert moved[0].diff(dim=0).abs().max() < 0.3  # 6 from frame to frame were asked for.
