"""What a stage falls back to when the machine fails it: fewer frames at once, the CPU, or the motion before it."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from closemesh.config.schema import Config
from closemesh.core.errors import ClosemeshError, NonFiniteError
from closemesh.core.foreign import short_reason
from closemesh.pipeline.cache import Records
from closemesh.pipeline.context import RunContext
from closemesh.pipeline.state import PipelineState, require
from closemesh.structures import AppearanceSummary

MIN_WINDOW = 16  # Frames; shorter windows of a fit show too little motion.
MIN_REFINED = 40  # Frames; intervals of the interaction prior fade over 12 frames at both ends.

_CPU = torch.device("cpu")
_NUMBER_ERRORS = (np.linalg.LinAlgError, FloatingPointError)
# Libraries raise RuntimeError, or a type of their own, for all of these; only the text shows which it is.
_MEMORY = re.compile(
    r"out of memory|(can't|cannot|failed to) allocate|(not enough|insufficient) memory|bad.?alloc|ALLOC_FAILED", re.I
)
_DEVICE = re.compile(r"CUDA|cuDNN|CUBLAS|CUSOLVER|CUSPARSE|NVRTC|\bHIP\b|\bMPS\b", re.I)
_NUMBERS = re.compile(r"\bnans?\b|float infinity|^(torch\.)?linalg\.", re.I)


@dataclass(frozen=True)
class Fault:
    """Why a stage failed, when the fault may be that of the machine and not of the input."""

    kind: Literal["memory", "device", "numbers"]
    reason: str


@dataclass(frozen=True)
class Attempt:
    """One way to run a stage."""

    ctx: RunContext
    fallback: str | None = None
    """Part of the fingerprint of the result, so that a later run does not take it for that of the stage; else None."""
    note: str = ""
    records: Records | None = None
    """The result without running the stage."""


def fault_of(error: Exception, device: torch.device) -> Fault | None:
    """Return the fault that an error of a stage on this device shows; None for any other error."""
    reason = short_reason(error)
    if isinstance(error, ClosemeshError):
        return Fault("numbers", reason) if isinstance(error, NonFiniteError) else None
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or _MEMORY.search(str(error)):
        return Fault("memory", "out of memory")
    if device.type != "cpu" and _DEVICE.search(str(error)):
        return Fault("device", f"the GPU failed ({reason})")
    if isinstance(error, _NUMBER_ERRORS) or (
        isinstance(error, ArithmeticError | ValueError | RuntimeError) and _NUMBERS.search(str(error))
    ):
        return Fault("numbers", reason)
    return None


def attempts_after(fault: Fault, ctx: RunContext, state: PipelineState, stage: str) -> list[Attempt]:
    """Return what is tried after a fault of a stage, the result nearest to that of the stage first."""
    attempts = []
    if fault.kind == "memory":
        for config, frames in _smaller(ctx.config, stage, len(ctx.clip)):
            note = f"{stage}: {fault.reason}; computed again with {frames} frames at once"
            attempts.append(Attempt(replace(ctx, config=config), f"{frames} frames at once", note))
    if ctx.device.type != "cpu":
        note = f"{stage}: {fault.reason}; computed again on the CPU"
        attempts.append(Attempt(replace(ctx, device=_CPU), "cpu", note))
    if stage in _LEFT_OUT:
        records, consequence = _LEFT_OUT[stage]
        note = f"{stage}: {fault.reason}; the stage is left out, {consequence}; the same command tries it again"
        attempts.append(Attempt(ctx, "left out", note, records(state)))
    return attempts


def final_error(fault: Fault, stage: str) -> ClosemeshError:
    """Return the error of a stage for which nothing else can be tried."""
    advice = {
        "memory": "give fewer frames with --start and --end, or close other programs",
        "device": "give --device cpu",
        "numbers": "check the clip and its focal length, or give another --seed",
    }
    return ClosemeshError(f"{stage}: {fault.reason}; {advice[fault.kind]}")


def release_memory() -> None:
    """Free what a failed attempt held, on the GPU too."""
    gc.collect()
    with suppress(RuntimeError):  # The GPU itself may be lost.
        torch.cuda.empty_cache()


def _smaller(config: Config, stage: str, num_frames: int) -> Iterator[tuple[Config, int]]:
    """The configuration with half the frames at once, and half of that, down to the least; with the number."""
    if stage == "refine":
        frames = min(config.refine.max_frames, num_frames) // 2
        while frames >= MIN_REFINED:
            yield replace(config, refine=replace(config.refine, max_frames=frames)), frames
            frames //= 2
    elif stage in ("initialise", "optimise"):
        part = config.initialise if stage == "initialise" else config.optimise
        window = min(part.window, num_frames) // 2
        while window >= MIN_WINDOW:
            smaller = replace(part, window=window, overlap=min(part.overlap, window // 4))
            yield replace(config, **{stage: smaller}), window
            window //= 2


def _unoptimized(state: PipelineState) -> Records:
    return require(state.camera, "initialise"), state.motions["refined"], AppearanceSummary(float("nan"))


_LEFT_OUT: dict[str, tuple[Callable[[PipelineState], Records], str]] = {
    "describe": (lambda state: (), "so there are no statements"),
    "refine": (lambda state: (state.motions["initial"],), "so pairs are not refined"),
    "optimise": (_unoptimized, "so the motion is the refined one, without contact and floor"),
}
"""Stage -> its records when it is left out, and what that means."""
