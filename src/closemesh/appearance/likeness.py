"""How like the seen pictures the drawn ones are."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from closemesh.appearance.cast import Cast, posed_skin
from closemesh.appearance.draw import Drawn, draw_looks
from closemesh.appearance.objective import Seen, as_seen
from closemesh.appearance.pictures import Picture
from closemesh.scene import BodyMotion


def psnr_within(drawn: Drawn, seen: Seen) -> Tensor:
    """Peak signal-to-noise ratio in dB within the union of the people's masks; where nothing is drawn black shows."""
    union = seen.union
    squared = (drawn.over(0.0) - seen.image).square().mean(-1) * union
    return -10 * torch.log10(squared.sum() / union.sum().clamp(min=1))


@torch.no_grad()
def mean_psnr(cast: Cast, motion: BodyMotion, pictures: Sequence[Picture]) -> float:
    """PSNR in dB within the people, a mean over pictures of the motion (camera frame); nan without any."""
    device = cast.body.v_template.device
    vertices = posed_skin(cast, motion, [picture.frame for picture in pictures])
    found = []
    for posed, picture in zip(vertices, pictures, strict=True):
        looks = cast.looks(motion.valid[picture.frame].tolist())
        if looks:
            drawn = draw_looks(cast, looks, posed, picture.view)
            found.append(psnr_within(drawn, as_seen(picture, len(cast.avatars), device)))
    return float(torch.stack(found).mean()) if found else float("nan")
