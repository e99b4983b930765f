"""Vector quantizers: gradients pass straight through, levels code what is left over, unused codes are reset."""

from __future__ import annotations

import torch

from closemesh.networks.layers import ResidualQuantizer, VectorQuantizer


def vectors_of(count: int = 2000, width: int = 4) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(0))


def test_the_gradient_passes_straight_through_the_codes() -> None:
    quantizer = VectorQuantizer(8, 4, 0.99).eval()
    x = torch.randn(5, 4, requires_grad=True)
    vectors, indices, _ = quantizer(x)
    torch.testing.assert_close(vectors, quantizer.codebook[indices])
    weights = torch.randn(5, 4)
    (vectors * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights)


def test_k_means_places_codes_where_the_vectors_are() -> None:
    centers = 10 * torch.eye(4)
    x = centers.repeat(50, 1) + 0.1 * vectors_of(200)
    quantizer = VectorQuantizer(8, 4, 0.99).eval()
    quantizer.fit(x)
    assert float((quantizer(x)[0] - x).norm(dim=-1).max()) < 1.0


def test_codes_that_nothing_chooses_are_reset_to_vectors() -> None:
    quantizer = VectorQuantizer(8, 4, 0.5)
    far = quantizer.codebook.clone() + 1000
    quantizer.codebook.copy_(torch.cat([vectors_of(4), far[4:]]))
    x = vectors_of()
    for _ in range(20):
        quantizer(x)
    assert float(quantizer.codebook.abs().max()) < 10
    assert len(quantizer.eval()(x)[1].unique()) == 8


def test_each_level_reduces_the_error() -> None:
    torch.manual_seed(0)
    quantizer, x = ResidualQuantizer(3, 32, 4, 0.99).eval(), vectors_of()
    quantizer.fit(x)
    errors = [float((quantizer(x, levels)[0] - x).square().mean()) for levels in (1, 2, 3)]
    assert errors[1] < 0.5 * errors[0] and errors[2] < 0.5 * errors[1]
    assert quantizer(x, 2)[1].shape == (2000, 2)
    torch.testing.assert_close(quantizer(x)[0], quantizer(x, 3)[0])


def test_the_gradient_passes_straight_through_all_levels() -> None:
    quantizer = ResidualQuantizer(3, 8, 4, 0.99).eval()
    x = torch.randn(5, 4, requires_grad=True)
    vectors, indices, commitment = quantizer(x)
    codebooks = [value for name, value in quantizer.state_dict().items() if name.endswith("codebook")]
    chosen = torch.stack([codebook[indices[:, k]] for k, codebook in enumerate(codebooks)]).sum(0)
    torch.testing.assert_close(vectors, chosen)
    weights = torch.randn(5, 4)
    (vectors * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights)
    assert float(commitment.detach()) > 0
