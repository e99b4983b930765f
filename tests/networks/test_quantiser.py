"""Codes: the gradient goes straight through them."""

from __future__ import annotations

import torch

from closemesh.networks.layers import VectorQuantizer


def test_the_gradient_goes_straight_through_the_codes() -> None:
    quantiser = VectorQuantizer(8, 4, 0.99).eval()
    x = torch.randn(5, 4, requires_grad=True)
    vectors, numbers, _ = quantiser(x)
    torch.testing.assert_close(vectors, quantiser.book[numbers])
    weights = torch.randn(5, 4)
    (vectors * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights)
