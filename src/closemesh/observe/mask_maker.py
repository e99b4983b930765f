"""Who makes better masks than the closer look does, and how prompts and masks belong to people."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from closemesh.observe.closer import Look
from closemesh.observe.detector import Image
from closemesh.scene import Floats


class MaskMaker(Protocol):
    """Puts better masks in place of those of the closer look."""

    def remade(self, image: Image, looks: dict[int, Look]) -> dict[int, Look]:
        """The looks with new masks; who gets none keeps the old one. image: RGB [H, W, 3]. Nothing is kept of it."""
        ...


def with_mask(look: Look, mask: Floats, T_image_mask: Floats) -> Look:
    """The look with this mask: [h, w] probabilities, and the affine map [2, 3] from its pixels to the image's."""
    return replace(look, refinement=replace(look.refinement, mask=mask, T_image_mask=T_image_mask))
