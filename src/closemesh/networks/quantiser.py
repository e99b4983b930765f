"""Vectors as the nearest of a book of codes (VQ-VAE)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Quantiser(nn.Module):
    """Nearest code, with the gradient passed straight through; codes follow moving averages, dead ones begin anew."""

    book: Tensor  # [codes, width]
    sums: Tensor  # [codes, width] moving sums of the vectors that chose each code
    uses: Tensor  # [codes] moving counts of them

    def __init__(self, codes: int, width: int, decay: float) -> None:
        """decay: of the moving averages that the codes follow."""
        super().__init__()
        self.decay = decay
        self.register_buffer("book", torch.randn(codes, width))
        self.register_buffer("sums", self.book.clone())
        self.register_buffer("uses", torch.ones(codes))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes' vectors [..., C], their numbers [...], and the commitment loss, of vectors [..., C]."""
        flat = x.detach().float().flatten(0, -2)
        numbers = torch.cdist(flat, self.book).argmin(-1)
        if self.training:
            self._follow(flat, numbers)
        x = x.float()
        quantised = self.book[numbers].view_as(x)
        commitment = F.mse_loss(x, quantised)
        return x + (quantised - x).detach(), numbers.view(x.shape[:-1]), commitment

    @torch.no_grad()
    def _follow(self, flat: Tensor, numbers: Tensor) -> None:
        one_hot = F.one_hot(numbers, len(self.book)).float()
        self.uses.mul_(self.decay).add_(one_hot.sum(0), alpha=1 - self.decay)
        self.sums.mul_(self.decay).add_(one_hot.T @ flat, alpha=1 - self.decay)
        self.book.copy_(self.sums / self.uses[:, None].clamp(min=1e-5))
        dead = self.uses < 1e-2 * len(flat) / len(self.book)
        fresh = flat[torch.randint(len(flat), (len(self.book),), device=flat.device)]
        self.book.copy_(torch.where(dead[:, None], fresh, self.book))
        self.sums.copy_(torch.where(dead[:, None], fresh, self.sums))
        self.uses.copy_(torch.where(dead, torch.ones_like(self.uses), self.uses))
