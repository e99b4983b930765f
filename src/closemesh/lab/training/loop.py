"""The loop that every network here is trained by: AdamW, warm-up and cosine, averaged weights, a log, and resuming."""

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

Losses = dict[str, Tensor]
Forward = Callable[..., Any]
"""Calls the network that is being trained."""


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast."""

    steps: int = 20000
    learning_rate: float = 3e-4
    warm_up: int = 200
    """Steps until the full rate."""
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient."""
    average: float = 0.999
    """Decay of the averaged weights, which are what is kept."""
    log_every: int = 100
    evaluate_every: int = 2000
    save_every: float = 60.0
    """Seconds between two states that a stopped run can go on from."""
    minutes: float | None = None
    """Stop, with the schedule fitted to it, after so many minutes."""
    half: bool = True
    """bfloat16 where the device computes in it."""


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
    """One network, its optimiser and its averaged weights."""

    def __init__(
        self,
        network: nn.Module,
        config: LoopConfig,
        folder: Path,
        device: torch.device,
        shares: Mapping[str, float] | None = None,
    ) -> None:
        """network: random, or trained before and to be trained on.

        shares: of the learning rate, for parameters whose names begin so.
        """
        self.network, self.config, self.folder, self.device = network.to(device), config, folder, device
        network.requires_grad_(True)
        groups = _by_share(network, shares or {})
        self.optimiser = torch.optim.AdamW(
            groups, config.learning_rate, (0.9, 0.99), weight_decay=config.weight_decay, fused=True
        )
        self.averaged = copy.deepcopy(self.network)
        self.step, self.spent = 0, 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        loss: Callable[[Forward, int], Losses],
        progress: Progress,
        evaluate: Callable[[nn.Module], dict[str, float]] | None = None,
        resume: bool = True,
    ) -> nn.Module:
        """Trains with loss(forward, step) to the end and gives the averaged network back.

        log.csv and state.pt in the folder; a run that was stopped goes on from the last state. Raises InputError when
        that state belongs to something else.
        """
        if resume:
            self._restore()
        whole = None if self.config.minutes else self.config.steps
        with progress.task("training", whole, self.step) as advance:
            started, saved, sums = time.monotonic() - self.spent, time.monotonic(), {}
            while self.step < self.config.steps and self._share(time.monotonic() - started) < 1:
                self.spent = time.monotonic() - started
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
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * group["share"] * self._rate()
        self.network.train()
        terms = loss(self._forward, self.step)
        total = sum(terms.values(), torch.zeros((), device=self.device))
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.clip)
        if math.isfinite(float(norm)):  # One step that ran over must not spoil the network.
            self.optimiser.step()
            self._average()
        for name, value in {**terms, "loss": total}.items():
            sums[name] = sums.get(name, torch.zeros((), device=self.device)) + value.detach()
        self.step += 1

    def _forward(self, *inputs: Any) -> Any:
        """The network alone runs in half precision: its inputs and the losses are geometry."""
        half = self.config.half and _bfloat16_is_fast(self.device)
        with torch.autocast(self.device.type, torch.bfloat16) if half else nullcontext():
            return self.network(*inputs)

    @torch.no_grad()
    def _average(self) -> None:
        """Moving averages that at first are short, so that the random start is soon forgotten."""
        decay = min(self.config.average, (1 + self.step) / (10 + self.step))
        kept, fresh = (list(chain(n.parameters(), n.buffers())) for n in (self.averaged, self.network))
        get_ema_multi_avg_fn(decay)(kept, fresh, self.step)

    def _share(self, seconds: float) -> float:
        """How much of the training is done, by steps or by the clock, whichever is further."""
        by_clock = seconds / (60 * self.config.minutes) if self.config.minutes else 0.0
        return max(self.step / self.config.steps, by_clock)

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / self.config.warm_up)
        return warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, self._share(self.spent)))))

    def _log(self, values: dict[str, float]) -> None:
        """One row for each value, so that training and evaluation share a file."""
        path = self.folder / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(("step", "seconds", "what", "value"))
            writer.writerows((self.step, f"{self.spent:.1f}", name, f"{value:.6g}") for name, value in values.items())

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent": self.spent,
        }
        with atomic_file(self.folder / "state.pt") as part:
            torch.save(state, part)

    def _restore(self) -> None:
        path = self.folder / "state.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise InputError(f"{path} is not the state of this training; give another folder or --fresh") from error
        self.step, self.spent = int(state["step"]), float(state["spent"])


def _by_share(network: nn.Module, shares: Mapping[str, float]) -> list[dict[str, Any]]:
    """The parameters of each share of the learning rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        share = next((share for start, share in shares.items() if name.startswith(start)), 1.0)
        groups.setdefault(share, []).append(parameter)
    return [{"params": parameters, "share": share} for share, parameters in groups.items()]


def _bfloat16_is_fast(device: torch.device) -> bool:
    """On every CUDA device that torch still serves, and on CPUs with instructions for it."""
    if device.type == "cpu":
        tell = getattr(torch.cpu, "get_capabilities", dict)  # Of recent versions only.
        return bool(tell().get("avx512_bf16") or tell().get("amx_bf16"))
    return device.type == "cuda"
