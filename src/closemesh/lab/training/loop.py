"""The training loop of all networks: AdamW, warm-up and cosine decay, averaged weights, a log, and resuming."""

from __future__ import annotations

import copy
import csv
import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from closemesh.core.errors import InputError
from closemesh.core.files import atomic_file
from closemesh.core.progress import Progress
from closemesh.core.unpickling import load_torch
from closemesh.networks.checkpoint import rename_keys

_MAX_WARM_UP = 0.05  # Fraction of the training.

Losses = dict[str, Tensor]
Forward = Callable[..., Any]
"""Calls the network in training."""


@dataclass(frozen=True)
class LoopConfig:
    """Length, learning rate and logging of a training."""

    steps: int = 20000
    learning_rate: float = 3e-4
    warm_up: int = 200
    """Steps until the full learning rate; less if they are more than a twentieth of the training."""
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999
    """Of the averaged weights, which are the result."""
    log_every: int = 100
    evaluate_every: int = 2000
    save_every: float = 60.0
    """Seconds between two states that a stopped run resumes from."""
    minutes: float | None = None
    """Time limit; the schedule is fitted to it."""
    bfloat16: bool = True
    """Where the device computes in it."""


@dataclass(frozen=True)
class TrainingRun:
    """Where and how a training runs."""

    folder: Path
    """For logs and states."""
    device: torch.device
    progress: Progress
    resume: bool = True
    """Continue from the last state in the folder."""


class Trainer:
    """One network, its optimizer and its averaged weights."""

    def __init__(
        self,
        network: nn.Module,
        config: LoopConfig,
        folder: Path,
        device: torch.device,
        rate_scales: Mapping[str, float] | None = None,
    ) -> None:
        """network: random or trained before.

        rate_scales: factors of the learning rate for parameters whose names start with a key.
        """
        self.network, self.config, self.folder, self.device = network.to(device), config, folder, device
        network.requires_grad_(True)
        groups = _parameter_groups(network, rate_scales or {})
        self.optimizer = torch.optim.AdamW(
            groups, config.learning_rate, (0.9, 0.99), weight_decay=config.weight_decay, fused=True
        )
        self.averaged = copy.deepcopy(self.network)
        self.step, self.seconds = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        loss: Callable[[Forward, int], Losses],
        progress: Progress,
        evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
        resume: bool = True,
    ) -> nn.Module:
        """Trains with loss(forward, step) to the end and returns the averaged network.

        Writes log.csv and state.pt in the folder; a stopped run resumes from the last state. Raises InputError when
        that state is damaged or belongs to another training.
        """
        if resume:
            self._restore()
        total = None if self.config.minutes else self.config.steps
        with progress.task("training", total, self.step) as advance:
            started, saved, sums = time.monotonic() - self.seconds, time.monotonic(), {}
            while self.step < self.config.steps and self._progress(time.monotonic() - started) < 1:
                self.seconds = time.monotonic() - started
                self._step(loss, sums)
                advance(1)
                if self.step % self.config.log_every == 0:
                    self._log({name: float(value) / self.config.log_every for name, value in sums.items()})
                    sums = {}
                if evaluate is not None and self.step % self.config.evaluate_every == 0:
                    self._log(evaluate(self.averaged))
                if time.monotonic() - saved > self.config.save_every:
                    self._save()
                    saved = time.monotonic()
        self._save()
        return self.averaged.eval()

    def _step(self, loss: Callable[[Forward, int], Losses], sums: Losses) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * group["share"] * self._rate()
        self.network.train()
        terms = loss(self._forward, self.step)
        total = sum(terms.values(), torch.zeros((), device=self.device))
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.max_grad_norm)
        if math.isfinite(float(norm)):  # One overflow must not destroy the network.
            self.optimizer.step()
            self._average()
        for name, value in {**terms, "loss": total}.items():
            sums[name] = sums.get(name, torch.zeros((), device=self.device)) + value.detach()
        self.step += 1

    def _forward(self, *inputs: Any) -> Any:
        """Only the network runs in half precision: inputs and losses are geometry."""
        half = self.config.bfloat16 and _bfloat16_is_fast(self.device)
        with torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext():
            return self.network(*inputs)

    @torch.no_grad()
    def _average(self) -> None:
        """Moving averages with a short window at first, so that random initial weights have little influence."""
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        tensors = (chain(n.parameters(), n.buffers()) for n in (self.averaged, self.network))
        averaged, current = ([tensor for tensor in some if tensor.is_floating_point()] for some in tensors)
        get_ema_multi_avg_fn(decay)(averaged, current, self.step)

    def _progress(self, seconds: float) -> float:
        """Fraction of the training that is done, by steps or by time, whichever is larger."""
        by_clock = seconds / (60 * self.config.minutes) if self.config.minutes else 0.0
        return max(self.step / self.config.steps, by_clock)

    def _rate(self) -> float:
        progress = min(1.0, self._progress(self.seconds))
        warm_up = min(1.0, max((self.step + 1) / self.config.warm_up, progress / _MAX_WARM_UP))
        return warm_up * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))

    def _log(self, values: dict[str, float]) -> None:
        """One row for each value, so that training and evaluation share a file."""
        path = self.folder / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(("step", "seconds", "what", "value"))
            writer.writerows((self.step, f"{self.seconds:.1f}", name, f"{value:.6g}") for name, value in values.items())

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.seconds,
        }
        with atomic_file(self.folder / "state.pt") as part:
            torch.save(state, part)

    def _restore(self) -> None:
        path = self.folder / "state.pt"
        if not path.exists():
            return
        state = load_torch(path, self.device, "give another folder or --fresh")
        try:
            self.network.load_state_dict(rename_keys(state["network"]))
            self.averaged.load_state_dict(rename_keys(state["averaged"]))
            self.optimizer.load_state_dict(state["optimiser"])
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path} is not the state of this training; give another folder or --fresh") from error
        self.step, self.seconds = int(state["step"]), float(state["spent"])


def _parameter_groups(network: nn.Module, rate_scales: Mapping[str, float]) -> list[dict[str, Any]]:
    """The parameters of each factor of the learning rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        scale = next((scale for start, scale in rate_scales.items() if name.startswith(start)), 1.0)
        groups.setdefault(scale, []).append(parameter)
    return [{"params": parameters, "share": scale} for scale, parameters in groups.items()]


def _bfloat16_is_fast(device: torch.device) -> bool:
    """On every CUDA device that torch still serves, and on CPUs with instructions for it."""
    if device.type == "cpu":
        get_capabilities = getattr(torch.cpu, "get_capabilities", dict)  # Of recent versions only.
        capabilities = get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return device.type == "cuda"
