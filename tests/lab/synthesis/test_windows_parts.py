"""The parts that windows are made of, against finite differences, other ways to compute them and known answers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from standing_motion import standing_motion

from closemesh.body.loading import load_bundled_body
from closemesh.contact.vertex_contacts import SurfacePairs, find_contacts, find_penetrations
from closemesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from closemesh.lab.synthesis.captured_clips import make_clips, sample_clip
from closemesh.lab.synthesis.contact_solver import second_differences
from closemesh.lab.synthesis.least_squares import (
    FREE_JOINTS,
    NUM_PARAMETERS,
    LinearResiduals,
    Points,
    PosedPairs,
    gauss_newton_step,
)
from closemesh.lab.synthesis.motion_blending import ClipSegment, KeyPerson, warp_through_key_pose
from closemesh.lab.synthesis.pair_motion import HeldContact, PairMotion, mirror, mirror_held, played_at, swap, turn
from closemesh.lab.synthesis.quality_checks import longest_good
from closemesh.lab.synthesis.residuals import NearSearch, turning_further
from closemesh.lab.synthesis.timing import Timing
from closemesh.losses.physics import penetration_depth

BODY = load_bundled_body("light")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def two_people(frames: int = 2, distance: float = 0.2, seed: int = 0) -> PairMotion:
    g = generator(seed)
    pelvis = torch.zeros(frames, 2, 3)
    pelvis[:, 1, 2] = distance
    return PairMotion(
        betas=torch.randn(frames, 2, 10, generator=g),
        rotations=axis_angle_to_matrix(0.2 * torch.randn(frames, 2, 22, 3, generator=g)),
        hand_pose=0.1 * torch.randn(frames, 2, 30, 3, generator=g),
        pelvis=pelvis,
    )


TIMING = Timing(90, 40, 59, closing=8, reaching=12, speed=1.0, calm=0.02, lingering=(10, 14))


def test_timing_shows_the_key_pose_in_the_middle_of_contact_and_hardly_moves_meanwhile() -> None:
    played = TIMING.played(1.0)
    steps = played[1:] - played[:-1]
    assert abs(float(played[49] + played[50])) < 1e-4
    assert (steps > 0).all()
    assert steps[41:58].max() < 0.03
    assert steps[0] == pytest.approx(1.0, abs=1e-4)
    assert (TIMING.closeness()[30:74] == 1).all()
    assert TIMING.closeness()[0] == 0


def test_a_bent_clip_passes_through_the_key_pose_and_is_the_clip_far_from_it() -> None:
    motion = standing_motion()
    clip = make_clips([motion])["standing"]
    key_rotations = sample_clip(clip, torch.tensor([80.0]))[0][0] @ axis_angle_to_matrix(0.3 * torch.ones(22, 3))
    key = KeyPerson(key_rotations, torch.tensor([1.0, 0.9, 2.0]), clip.leg_length, on_feet=True)
    lead = ClipSegment(clip, 80, 1, 1.0, steps=False)
    bent = warp_through_key_pose(lead, key, TIMING)
    between = (bent.rotations[49] + bent.rotations[50]) / 2
    assert (between - key_rotations).abs().max() < 1e-3
    assert (bent.pelvis[49] - key.pelvis).norm() < 1e-3
    upper = [16, 17, 18, 19]
    captured = sample_clip(clip, lead.captured_frames(TIMING)[:1])[0]
    assert (bent.rotations[0, upper] - captured[0, upper]).abs().max() < 1e-5


def test_clips_are_sampled_smoothly_through_their_frames() -> None:
    clip = make_clips([standing_motion()])["standing"]
    rotations, pelvis = sample_clip(clip, torch.tensor([7.0, 7.5, 8.0]))
    assert (rotations[[0, 2]] - clip.rotations[[7, 8]]).abs().max() < 1e-5
    assert (pelvis[0] - clip.pelvis[7]).norm() < 1e-6
    middle = matrix_to_axis_angle(rotations[1, 3]) - matrix_to_axis_angle(clip.rotations[[7, 8], 3]).mean(0)
    assert middle.norm() < 1e-4


def test_levers_are_the_derivatives_of_points() -> None:
    motion = two_people()
    double = PairMotion(*(getattr(motion, n).double() for n in ("betas", "rotations", "hand_pose", "pelvis")))
    body = BODY.to("cpu", torch.float64)
    vertices = torch.randint(3000, (40, 3), generator=generator())
    shares = torch.rand(40, 3, generator=generator(), dtype=torch.float64)
    frame, person = torch.arange(40) % 2, (torch.arange(40) // 2) % 2
    points = Points(frame, person, vertices, shares / shares.sum(1, keepdim=True))
    posed = PosedPairs(body, double)
    direction = torch.nn.functional.normalize(torch.randn(40, 3, generator=generator(), dtype=torch.float64), dim=-1)
    exact = posed.derivatives(points, direction)
    assert (
        posed.positions(points)
        - (posed.vertices()[frame[:, None], person[:, None], vertices] * points.shares[..., None]).sum(1)
    ).abs().max() < 1e-9
    step = 1e-6
    for parameter in (0, 10, 25, 40, NUM_PARAMETERS - 2):
        turns, shift = torch.zeros(2, 2, 22, 3).double(), torch.zeros(2, 2, 3).double()
        if parameter < 3 * len(FREE_JOINTS):
            turns[:, :, FREE_JOINTS[parameter // 3], parameter % 3] = step
        else:
            shift[..., parameter - 3 * len(FREE_JOINTS)] = step
        moved = PosedPairs(body, double.moved(turns, shift)).positions(points)
        numeric = ((moved - posed.positions(points)) * direction).sum(-1) / step
        assert (numeric - exact[:, parameter]).abs().max() < 1e-4


def test_a_small_turn_changes_a_rotation_vector_by_the_right_jacobian() -> None:
    way = torch.randn(20, 3, generator=generator(), dtype=torch.float64)
    vectors = way / way.norm(dim=-1, keepdim=True) * torch.linspace(0.01, 2.8, 20)[:, None].double()
    small = 1e-6 * torch.randn(20, 3, generator=generator(1), dtype=torch.float64)
    turned = matrix_to_axis_angle(axis_angle_to_matrix(vectors) @ axis_angle_to_matrix(small))
    predicted = (turning_further(vectors) @ small[..., None])[..., 0]
    assert (turned - vectors - predicted).abs().max() < 1e-10


def test_a_newton_step_solves_the_dense_least_squares_problem() -> None:
    frames, count, rows = 7, 5, 30
    g = generator()
    frame = torch.randint(frames, (rows,), generator=g)
    derivatives, values = torch.randn(rows, count, generator=g), torch.randn(rows, generator=g)
    total = torch.randn(frames, count, generator=g)
    inverse = (1 + torch.rand(count, generator=g)).expand(frames, -1)
    bends = second_differences(torch.tensor([0, 2, 4, 5, 6, 8, 12]))
    step = gauss_newton_step(LinearResiduals(frame, values, derivatives), total, inverse, bends)
    dense = torch.zeros(rows, frames, count)
    dense[torch.arange(rows), frame] = derivatives
    smooth = torch.einsum("mf,cd->mcfd", bends, torch.diag(inverse[0])).reshape(-1, frames * count)
    size = torch.diag(inverse.flatten())
    system = torch.cat([dense.flatten(1), size, smooth])
    right = -torch.cat([values, size @ total.flatten(), smooth @ total.flatten()])
    expected = torch.linalg.lstsq(system.double(), right.double()[:, None]).solution
    assert (step.flatten() - expected[:, 0]).abs().max() < 1e-5


def test_second_differences_see_no_line() -> None:
    frames = torch.tensor([0, 1, 5, 6, 20])
    assert (second_differences(frames) @ (3.0 * frames + 2)).abs().max() < 1e-5


def test_the_search_finds_what_the_exact_queries_find() -> None:
    vertices, _ = two_people(3).skin(BODY)
    crossings = find_penetrations(vertices[:, 0], vertices[:, 1], BODY.faces)
    found = NearSearch(BODY).find(vertices, 0.0)
    assert len(crossings) > 50
    assert named(found) == named(crossings)
    apart, _ = two_people(2, distance=0.45).skin(BODY)
    found = named(NearSearch(BODY).find(apart, 0.03))
    inside = find_penetrations(apart[:, 0], apart[:, 1], BODY.faces)
    depth = penetration_depth(apart[:, 0], apart[:, 1], BODY.faces, inside)
    touching = named(find_contacts(apart[:, 0], apart[:, 1], BODY.faces, 0.03)[1])
    # With a margin, what lies deeper than 5 cm is left out.
    assert touching | named(inside.where(depth < 0.049)) <= found <= touching | named(inside)
    assert len(touching) > 20


def named(pairs: SurfacePairs) -> set[tuple[int, bool, int]]:
    return {*zip(pairs.frame.tolist(), pairs.from_a.tolist(), pairs.vertex.tolist(), strict=True)}


def test_mirrored_and_exchanged_people_come_back_and_lie_where_they_should() -> None:
    motion = two_people()
    again = mirror(mirror(motion))
    assert (again.rotations - motion.rotations).abs().max() < 1e-6
    assert (again.hand_pose - motion.hand_pose).abs().max() < 1e-6
    flipped = mirror(motion).skin(BODY)[0] * torch.tensor([-1.0, 1.0, 1.0])
    distance = torch.cdist(flipped[0, 0], motion.skin(BODY)[0][0, 0]).amin(-1)
    assert distance.median() < 0.003
    assert distance.max() < 0.03  # The coarse mesh is not quite symmetric.
    assert (swap(motion).pelvis[:, 0] - motion.pelvis[:, 1]).abs().max() == 0


def test_mirrored_anchors_name_the_other_side() -> None:
    from closemesh.lab.synthesis.templates.schema import ContactConstraint

    held = HeldContact(torch.tensor([[100, 2000]]), (ContactConstraint("left_palm", "chest"),))
    mirrored = mirror_held(held, BODY)
    assert mirrored.touches == (ContactConstraint("right_palm", "chest"),)
    way = BODY.v_template[mirrored.anchors] - BODY.v_template[held.anchors] * torch.tensor([-1.0, 1.0, 1.0])
    assert way.norm(dim=-1).max() < 0.03


def test_turning_keeps_distances_and_heights() -> None:
    motion = two_people()
    turned = turn(motion, torch.tensor(1.0), torch.tensor([3.0, 4.0]))
    before, after = (m.skin(BODY)[0][0].flatten(0, 1)[::97].double() for m in (motion, turned))
    assert (torch.cdist(before, before) - torch.cdist(after, after)).abs().max() < 1e-5
    assert (before[:, 1] - after[:, 1]).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("bad", "span"), [([], (0, 10)), ([2], (3, 10)), ([8, 9], (0, 8)), ([1, 7], (2, 7)), ([5], (6, 5))]
)
def test_the_good_part_holds_the_middle(bad: list[int], span: tuple[int, int]) -> None:
    good = torch.ones(10, dtype=torch.bool)
    good[bad] = False
    found = longest_good(good, 5)
    assert (found.start, found.stop) == span


def test_played_at_another_speed_a_turn_is_as_far_as_it_should_be() -> None:
    way = torch.tensor([0.3, -0.2, 0.5])
    frames = torch.arange(5.0)
    motion = two_people(frames=1).frames(torch.zeros(5, dtype=torch.long))
    turning = axis_angle_to_matrix(frames[:, None] * way)[:, None, None].expand(5, 2, 22, 3, 3)
    pelvis = frames[:, None, None] * torch.ones(5, 2, 3)
    moving = replace(motion, rotations=turning, pelvis=pelvis)
    moments = torch.linspace(0, 4, 9)
    played = played_at(moving, moments)
    expected = axis_angle_to_matrix(moments[:, None] * way)[:, None, None]
    assert (played.rotations - expected).abs().max() < 1e-5
    assert (played.pelvis - moments[:, None, None]).abs().max() < 1e-6
    assert (played.frames(slice(None, None, 2)).rotations - moving.rotations).abs().max() < 1e-6
