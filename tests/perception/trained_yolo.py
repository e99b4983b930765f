"""YOLO networks that are trained on one rendered image: real files, made in seconds, without any download."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from rendered_people import RenderedPeople

from closemesh.perception.detectors import ultralytics_backend as ultralytics_networks
from closemesh.perception.detectors.person_detectors import preprocess

SIDE = 224  # Pixels of the long side in which the networks learn the image.
_RATE = 3e-3


def train_yolo(name: str, people: RenderedPeople, path: Path, steps: int) -> Path:
    """`path` with a network built from ultralytics' own `name`.yaml that knows the first image."""
    ultralytics_networks._import()
    from ultralytics import YOLO
    from ultralytics.utils import DEFAULT_CFG

    torch.manual_seed(0)
    model = YOLO(f"{name}.yaml")
    network = model.model
    network.args = DEFAULT_CFG
    batch = _batch(people)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0)
    network.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1, (step + 1) / 10) * (1 - 0.9 * step / steps)
        loss, _ = network.loss(batch)
        optimizer.zero_grad()
        loss.sum().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10)
        optimizer.step()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0  # So few steps are too few for running means: those of the last weights are taken.
    with torch.no_grad():
        network(batch["img"])
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return path


def _batch(people: RenderedPeople) -> dict[str, torch.Tensor]:
    """The first image as ultralytics' trainers take it, for boxes, keypoints and masks at once."""
    scale = SIDE / max(people.images[0].shape[:2])
    pixels = preprocess(people.images[0], scale)
    size = np.array(pixels.shape[:0:-1]) / scale  # Width and height of the padded image, in pixels of the video.
    low, high = people.boxes[0, :, :2] / size, people.boxes[0, :, 2:] / size
    points = np.concatenate([people.keypoints[0, :, :17] / size, np.full((2, 17, 1), 2.0)], -1)
    numbered = np.zeros(pixels.shape[1:], np.float32)
    for number, mask in enumerate(people.masks, start=1):
        small = cv2.resize(mask.astype(np.float32), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) > 0.5
        numbered[: small.shape[0], : small.shape[1]][small] = number
    return {
        "img": torch.as_tensor(pixels)[None],
        "batch_idx": torch.zeros(2),
        "cls": torch.zeros(2, 1),
        "bboxes": torch.as_tensor(np.concatenate([(low + high) / 2, high - low], 1), dtype=torch.float32),
        "keypoints": torch.as_tensor(points, dtype=torch.float32),
        "masks": torch.as_tensor(numbered)[None, ::4, ::4],
        "sem_masks": torch.zeros(1, *numbered[::4, ::4].shape),
    }
