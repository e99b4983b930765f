"""Codes: the gradient goes straight through them, and their mixture is smooth and near them."""

from __future__ import annotations

import torch

from closemesh.networks.quantiser import Quantiser


def test_the_gradient_goes_straight_through_the_codes() -> None:
    quantiser = Quantiser(8, 4, 0.99).eval()
    x = torch.randn(5, 4, requires_grad=True)
    vectors, numbers, _ = quantiser(x)
    torch.testing.assert_close(vectors, quantiser.book[numbers])
    weights = torch.randn(5, 4)
    (vectors * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights)


def test_the_mixture_is_a_code_where_a_vector_is_one_and_has_the_gradient_of_differences() -> None:
    torch.manual_seed(0)
    quantiser = Quantiser(8, 4, 0.99).double().eval()
    torch.testing.assert_close(quantiser.soft(quantiser.book), quantiser.book)
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    # The scale of the softmax is taken as it is, so it is held still for the differences too.
    scale = torch.cdist(x.detach(), quantiser.book).square().amin(-1, keepdim=True)

    def mixed(vectors: torch.Tensor) -> torch.Tensor:
        apart = torch.cdist(vectors, quantiser.book).square()
        return ((-apart / scale).softmax(-1) @ quantiser.book).sum()

    quantiser.soft(x).sum().backward()
    for row, column in ((0, 0), (1, 2), (2, 3)):
        step = torch.zeros_like(x.detach())
        step[row, column] = 1e-5
        slope = (mixed(x.detach() + step) - mixed(x.detach() - step)) / 2e-5
        torch.testing.assert_close(x.grad[row, column], slope, atol=1e-6, rtol=1e-5)
