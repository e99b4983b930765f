"""A SAM 2.1 of the real shape whose decoder is trained on one image; its encoder is random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rendered_people import RenderedPeople

from closemesh.perception.detectors import ultralytics_backend as ultralytics_networks
from closemesh.perception.segmentation.mask_models import make_prompts
from closemesh.perception.segmentation.mask_models import normalized_pixels as as_pixels

SIDE = 256  # Pixels; the real one is 1024.
_STEPS, _RATE = 120, 1e-3


def train_sam(people: RenderedPeople, path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`path` with the network, saved as Meta and ultralytics save theirs."""
    ultralytics_networks._import()
    from ultralytics.models.sam import build

    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(build, "_load_checkpoint", lambda network, _: network)
        network = build.build_sam2_t("sam2.1")
    network.set_imgsz((SIDE, SIDE))
    scale = SIDE / max(people.images[0].shape[:2])
    embedding, fine = _seen(network, as_pixels(people.images[0], SIDE))
    points, labels = make_prompts([people.detection(person) for person in range(2)])
    given = torch.as_tensor(points * scale, dtype=torch.float32), torch.as_tensor(labels, dtype=torch.int32)
    truth = torch.as_tensor(np.stack([_small(mask, scale / 4) for mask in people.masks]))
    learning = [*network.sam_mask_decoder.parameters(), *network.sam_prompt_encoder.parameters()]
    optimizer = torch.optim.AdamW(learning, lr=_RATE, weight_decay=0)
    network.train()
    for _ in range(_STEPS):
        sparse, dense = network.sam_prompt_encoder(points=given, boxes=None, masks=None)
        masks, *_ = network.sam_mask_decoder(
            image_embeddings=embedding,
            image_pe=network.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
            repeat_image=True,
            high_res_features=fine,
        )
        probability = masks[:, 0].sigmoid()
        missed = 1 - (2 * (probability * truth).sum() + 1) / ((probability + truth).sum() + 1)
        optimizer.zero_grad()
        (F.binary_cross_entropy_with_logits(masks[:, 0], truth) + missed).backward()
        torch.nn.utils.clip_grad_norm_(learning, 1)
        optimizer.step()
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": network.state_dict()}, path)
    return path


@torch.no_grad()
def _seen(network: Any, pixels: np.ndarray) -> tuple[torch.Tensor, list[torch.Tensor]]:
    seen = network.forward_image(torch.as_tensor(pixels, dtype=torch.float32)[None])
    _, flat, _, sizes = network._prepare_backbone_features(seen)
    flat[-1] = flat[-1] + network.no_mem_embed
    *fine, embedding = (f.permute(1, 2, 0).view(1, -1, *size) for f, size in zip(flat, sizes, strict=True))
    return embedding, fine


def _small(mask: np.ndarray, scale: float) -> np.ndarray:
    small = cv2.resize(mask.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) > 0.5
    canvas = np.zeros((SIDE // 4, SIDE // 4), np.float32)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas
