"""Jacobians of points against finite differences; steps against a dense least-squares solution."""

from __future__ import annotations

import torch
from random_pair import generator, two_people

from closemesh.body.loading import load_bundled_body
from closemesh.lab.synthesis.contact_solver import second_differences
from closemesh.lab.synthesis.least_squares import (
    FREE_JOINTS,
    NUM_PARAMETERS,
    BodyPoints,
    CorrectionPrior,
    LinearResiduals,
    PosedPairs,
    gauss_newton_step,
)
from closemesh.lab.synthesis.pair_motion import PairMotion

BODY = load_bundled_body("light")


def test_point_jacobians_are_the_derivatives_of_points() -> None:
    motion = two_people()
    double = PairMotion(*(getattr(motion, n).double() for n in ("betas", "rotations", "hand_pose", "pelvis")))
    body = BODY.to("cpu", torch.float64)
    vertices = torch.randint(3000, (40, 3), generator=generator())
    weights = torch.rand(40, 3, generator=generator(), dtype=torch.float64)
    frame, person = torch.arange(40) % 2, (torch.arange(40) // 2) % 2
    points = BodyPoints(frame, person, vertices, weights / weights.sum(1, keepdim=True))
    posed = PosedPairs(body, double)
    direction = torch.nn.functional.normalize(torch.randn(40, 3, generator=generator(), dtype=torch.float64), dim=-1)
    exact = posed.point_jacobians(points, direction)
    assert (
        posed.positions(points)
        - (posed.vertices()[frame[:, None], person[:, None], vertices] * points.weights[..., None]).sum(1)
    ).abs().max() < 1e-9
    step = 1e-6
    for parameter in (0, 10, 25, 40, NUM_PARAMETERS - 2):
        turns, shift = torch.zeros(2, 2, 22, 3).double(), torch.zeros(2, 2, 3).double()
        if parameter < 3 * len(FREE_JOINTS):
            turns[:, :, FREE_JOINTS[parameter // 3], parameter % 3] = step
        else:
            shift[..., parameter - 3 * len(FREE_JOINTS)] = step
        moved = PosedPairs(body, double.corrected(turns, shift)).positions(points)
        numeric = ((moved - posed.positions(points)) * direction).sum(-1) / step
        assert (numeric - exact[:, parameter]).abs().max() < 1e-4


def test_a_gauss_newton_step_solves_the_dense_least_squares_problem() -> None:
    frames, count, rows = 7, 5, 30
    g = generator()
    frame = torch.randint(frames, (rows,), generator=g)
    jacobians, values = torch.randn(rows, count, generator=g), torch.randn(rows, generator=g)
    total = torch.randn(frames, count, generator=g)
    inverse = (1 + torch.rand(count, generator=g)).expand(frames, -1)
    differences = second_differences(torch.tensor([0, 2, 4, 5, 6, 8, 12]))
    prior = CorrectionPrior(inverse, differences)
    step = gauss_newton_step(LinearResiduals(frame, values, jacobians), total, prior)
    dense = torch.zeros(rows, frames, count)
    dense[torch.arange(rows), frame] = jacobians
    smooth = torch.einsum("mf,cd->mcfd", differences, torch.diag(inverse[0])).reshape(-1, frames * count)
    size = torch.diag(inverse.flatten())
    system = torch.cat([dense.flatten(1), size, smooth])
    right = -torch.cat([values, size @ total.flatten(), smooth @ total.flatten()])
    expected = torch.linalg.lstsq(system.double(), right.double()[:, None]).solution
    assert (step.flatten() - expected[:, 0]).abs().max() < 1e-5


def test_second_differences_of_a_line_are_zero() -> None:
    frames = torch.tensor([0, 1, 5, 6, 20])
    assert (second_differences(frames) @ (3.0 * frames + 2)).abs().max() < 1e-5
