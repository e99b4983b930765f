"""The only module that imports ultralytics (AGPL-3.0): YOLO, SAM 2.1 and box trackers from local files.

It uses the networks and their decoders only, not the predictors and trainers, which log, report and need torchvision.
ultralytics can neither access the network nor install packages.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from closemesh.core.arrays import Floats
from closemesh.core.errors import InputError, ModelFileError
from closemesh.core.torch_files import check_tensors
from closemesh.core.unpickling import load_torch
from closemesh.perception.types import Image
from closemesh.weights.locate import user_cache

_QUIET = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",
}
_PERSON = 0  # Class of people in COCO, and the only class of the pose networks.
_MAX_PEOPLE = 30
# Intersection over union above which two boxes are one person. The default of ultralytics, 0.7, is reached by people in
# an embrace; `keypoint_nms` removes the remaining duplicates.
_SAME_BOX = 0.8
_SAM_BUILDERS = {
    **{"tiny": "build_sam2_t", "small": "build_sam2_s", "base_plus": "build_sam2_b", "large": "build_sam2_l"},
    **{"_t": "build_sam2_t", "_s": "build_sam2_s", "_b": "build_sam2_b", "_l": "build_sam2_l"},
}
"""By the end of the file name without .pt: Meta's names, then those of ultralytics."""


def is_installed() -> bool:
    """Whether the package is installed; does not import it."""
    return importlib.util.find_spec("ultralytics") is not None


class YoloNetwork:
    """A YOLO network for task "pose" or "segment".

    Raises ModelFileError when the file holds another network, InputError when ultralytics is missing.
    """

    def __init__(self, path: Path, device: torch.device, task: str) -> None:
        _import()
        from ultralytics.nn.tasks import torch_safe_load

        try:
            check_tensors(path)
            checkpoint = torch_safe_load(path, safe_only=True)[0]  # Known layers only, no pickled code.
            network = checkpoint.get("ema") or checkpoint["model"]
            found, names = _task_of(network), network.names
            self._network = network.float().fuse().eval().to(device)
        except Exception as error:  # ultralytics and torch raise many types on other files.
            raise _damaged(path) from error
        if found != task:
            raise ModelFileError(f"{path}: a YOLO network for '{found}', not for '{task}'; fetch the file again")
        self._device, self._classes = device, len(names)

    @torch.inference_mode()
    def run(self, pixels: Floats, min_score: float) -> tuple[Floats, Floats | None]:
        """People in an image: rows [N, 6 + E], and the prototypes [C, h, w] of their masks for task "segment".

        pixels: [3, H, W] RGB 0..1, sides multiples of 32. Row: x0, y0, x1, y1 in these pixels, score, class, then 17
        times x, y, confidence, or C mask coefficients.
        """
        from ultralytics.utils.nms import non_max_suppression

        output = self._network(torch.as_tensor(pixels, dtype=torch.float32, device=self._device)[None])
        decoded, protos = output[0], None
        if isinstance(decoded, tuple):  # Segmentation: rows and prototypes together.
            decoded, protos = decoded
        selected: Any = non_max_suppression(
            decoded,
            conf_thres=min_score,
            iou_thres=_SAME_BOX,
            classes=[_PERSON],
            max_det=_MAX_PEOPLE,
            nc=self._classes,
            end2end=getattr(self._network, "end2end", False),
        )
        return selected[0].cpu().numpy(), None if protos is None else protos[0].float().cpu().numpy()


class SamNetwork:
    """SAM 2.1 with points and boxes as prompts.

    Raises ModelFileError when the file does not hold SAM 2.1, InputError when ultralytics is missing.
    """

    def __init__(self, path: Path, device: torch.device, side: int = 1024) -> None:
        _import()
        from ultralytics.models.sam import build

        builder = next((name for end, name in _SAM_BUILDERS.items() if path.stem.endswith(end)), None)
        if builder is None or "sam2.1" not in path.name:  # ultralytics distinguishes 2.1 from 2 by the name too.
            raise ModelFileError(f"{path}: the file name does not give the size of SAM 2.1; fetch the file again")
        try:
            self._network = _build_sam(build, builder, load_torch(path)).to(device)
        except Exception as error:  # torch raises many types on other files.
            raise _damaged(path) from error
        self._network.set_imgsz((side, side))
        self.side, self._device = side, device

    @torch.inference_mode()
    def encode(self, pixels: Floats) -> tuple[Tensor, list[Tensor]]:
        """Embedding and two finer feature maps of an image; pixels [3, side, side] RGB, normalized."""
        network = self._network
        features = network.forward_image(torch.as_tensor(pixels, dtype=torch.float32, device=self._device)[None])
        _, flat, _, sizes = network._prepare_backbone_features(features)
        flat[-1] = flat[-1] + network.no_mem_embed  # A single image without memory of earlier frames.
        *fine, embedding = (f.permute(1, 2, 0).view(1, -1, *size) for f, size in zip(flat, sizes, strict=True))
        return embedding, fine

    @torch.inference_mode()
    def segment(self, encoded: tuple[Tensor, list[Tensor]], points: Floats, labels: Floats) -> Floats:
        """Logits [N, side / 4, side / 4] of N masks.

        encoded: embedding and feature maps [1, C, h, w] of `encode`. points: [N, K, 2] pixels of the image.
        labels: [N, K] 1 on the person, 0 not on the person, 2 and 3 the upper left and the lower right corner of the
        person's box, -1 none.
        """
        network, (embedding, fine) = self._network, encoded
        point_tensor = torch.as_tensor(points, dtype=torch.float32, device=self._device)
        label_tensor = torch.as_tensor(labels, dtype=torch.int32, device=self._device)
        sparse, dense = network.sam_prompt_encoder(points=(point_tensor, label_tensor), boxes=None, masks=None)
        masks, *_ = network.sam_mask_decoder(
            image_embeddings=embedding,
            image_pe=network.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
            repeat_image=len(points) > 1,
            high_res_features=fine,
        )
        return masks[:, 0].float().cpu().numpy()


class BoxTracks:
    """ByteTrack or BoT-SORT with their default settings. Raises InputError when ultralytics or lap is missing."""

    def __init__(self, kind: str) -> None:
        _import()
        if importlib.util.find_spec("lap") is None:  # ultralytics would try to install it.
            raise InputError(f"--tracker {kind} needs the package lap; pip install 'closemesh[yolo]'")
        from ultralytics.trackers import BOTSORT, BYTETracker
        from ultralytics.utils import ROOT, YAML, IterableSimpleNamespace

        settings = IterableSimpleNamespace(**YAML.load(str(ROOT / "cfg" / "trackers" / f"{kind}.yaml")))
        self._tracker = BOTSORT(settings) if kind == "botsort" else BYTETracker(settings)

    def step(self, image: Image, boxes: Floats, scores: Floats) -> dict[int, int]:
        """Track ID of each box of the next frame, by the index of the box; some boxes have no track yet.

        image: RGB [H, W, 3]. boxes: [N, 4] x0, y0, x1, y1. scores: [N].
        """
        from ultralytics.engine.results import Boxes

        rows = np.column_stack([boxes.reshape(-1, 4), scores, np.zeros(len(scores))]).astype(np.float32)
        found = self._tracker.update(Boxes(rows, image.shape[:2]), np.ascontiguousarray(image[..., ::-1]))
        return {int(row[-1]): int(row[4]) for row in found}


def _import() -> None:
    """Import ultralytics without output and network access; restore the settings of other packages that it changes."""
    if not is_installed():
        raise InputError("the package ultralytics is missing; pip install 'closemesh[yolo]'")
    os.environ.update(_QUIET)
    os.environ.setdefault("YOLO_CONFIG_DIR", str(_settings_folder()))
    threads, openmp, print_options = cv2.getNumThreads(), os.environ.get("OMP_NUM_THREADS"), np.get_printoptions()
    try:
        import ultralytics
        from ultralytics.nn import tasks
    except Exception as error:  # A partly installed package fails in many ways.
        raise InputError(f"the package ultralytics cannot be used: {error}; pip install 'closemesh[yolo]'") from error
    cv2.setNumThreads(threads)
    np.set_printoptions(**print_options)
    if openmp is None:
        os.environ.pop("OMP_NUM_THREADS", None)
    if ultralytics.settings["sync"]:
        ultralytics.settings.update({"sync": False})  # No usage reports.
    if not tasks._SafeLoad.SUPPORTED:
        raise InputError("torch 2.6 or newer is needed to read ultralytics' files safely; pip install -U torch")


def _build_sam(build: Any, builder: str, checkpoint: dict[str, Any]) -> Any:
    """SAM 2.1 with the weights of a checkpoint, which ultralytics itself would unpickle without a check."""
    original = build._load_checkpoint
    build._load_checkpoint = lambda network, _: network
    try:
        network = getattr(build, builder)("sam2.1")  # The version is known by the name of the file alone.
    finally:
        build._load_checkpoint = original
    network.load_state_dict(checkpoint.get("model", checkpoint))
    return network


def _settings_folder() -> Path:
    """Folder for the settings of ultralytics, so that the user's own settings are neither read nor changed."""
    folder = user_cache().parent / "ultralytics"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # The home folder is read-only: settings last as long as the process.
        return Path(tempfile.mkdtemp(prefix="closemesh-"))
    return folder


def _task_of(network: Any) -> str:
    """`pose`, `segment` or another name, by the type of the network."""
    return {"PoseModel": "pose", "SegmentationModel": "segment"}.get(type(network).__name__, "something else")


def _damaged(path: Path) -> ModelFileError:
    return ModelFileError(
        f"{path}: not a readable file of its kind; delete it and fetch it again with closemesh download-weights"
    )
