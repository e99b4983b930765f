"""Vector quantizer: the gradient passes straight through the codes."""

from __future__ import annotations

import torch

from closemesh.networks.layers import VectorQuantizer


def test_the_gradient_passes_straight_through_the_codes() -> None:
    quantizer = VectorQuantizer(8, 4, 0.99).eval()
    x = torch.randn(5, 4, requires_grad=True)
    vectors, indices, _ = quantizer(x)
    torch.testing.assert_close(vectors, quantizer.codebook[indices])
    weights = torch.randn(5, 4)
    (vectors * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights)
