"""One training loop for every recipe; `hearth build RECIPE --step train` runs it.

A killed run goes on from its last checkpoint and ends with the same weights as one that was never stopped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.optim import Optimizer

from hearth_build.recipe import SGD, AdamW, RecipeError, Stage

CHECKPOINT_SECONDS = 30.0
console = Console()


def train(stage: Stage, work: Path, seed: int) -> Path:
    """Train one stage to its end and return the file of the kept weights; an ended stage returns at once."""
    folder = work / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "weights.pt"
    if weights.exists():
        return weights
    run = Run(stage, work, folder, seed)
    run.resume()
    run.to_the_end()
    save(run.kept, weights)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return weights


def weights_of(work: Path, stage: str) -> dict[str, torch.Tensor]:
    """The weights that a stage of this name kept."""
    weights: dict[str, torch.Tensor] = torch.load(work / stage / "weights.pt", weights_only=True)
    return weights


class Run:
    """The state of a training run: all of it goes into the checkpoint."""

    def __init__(self, stage: Stage, work: Path, folder: Path, seed: int) -> None:
        self.stage, self.work, self.folder, self.seed = stage, work, folder, seed
        torch.manual_seed(seed)
        self.network = stage.network(work)
        self.averaged = deepcopy(self.network) if stage.average else self.network
        self.optimiser = build_optimiser(stage.optimiser, self.network)
        self.batches = stage.batches(work)
        self.epoch = self.step = 0
        self.best = float("-inf")
        self.best_epoch = -1
        self.kept: dict[str, torch.Tensor] = {}
        self.history: list[dict[str, float]] = []
        self.running: list[float] = []
        """Losses of the steps of this epoch."""
        self.seconds = 0.0
        """Of processor time: others' work on the same machine, and pauses, do not count."""

    def resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        if state["settings"] != self.settings():
            raise RecipeError(f"{path} was made with other settings. Delete {self.folder} to train anew.")
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        for name in ("epoch", "step", "best", "best_epoch", "kept", "history", "running", "seconds"):
            setattr(self, name, state[name])
        console.print(f"{self.stage.name}: goes on from epoch {self.epoch + 1}, step {self.step + 1}")

    def checkpoint(self) -> None:
        state = {name: getattr(self, name) for name in ("epoch", "step", "best", "best_epoch", "kept", "seconds")}
        state |= {"history": self.history, "running": self.running, "settings": self.settings()}
        state |= {"network": self.network.state_dict(), "averaged": self.averaged.state_dict()}
        state |= {"optimiser": self.optimiser.state_dict(), "random": torch.get_rng_state()}
        save(state, self.folder / "checkpoint.pt")

    def settings(self) -> str:
        """What must not change between a checkpoint and its resumption."""
        stage = self.stage
        numbers = [stage.epochs, stage.batch, stage.clip, stage.average, self.seed]
        return json.dumps([asdict(stage.optimiser), asdict(stage.schedule), *numbers])

    def to_the_end(self) -> None:
        stage = self.stage
        while self.epoch < stage.epochs:
            self.one_epoch()
            self.close_epoch()
            self.checkpoint()
            if stage.patience and self.epoch - self.best_epoch > stage.patience:
                console.print(f"{stage.name}: no better score for {stage.patience} epochs, stopped")
                break

    def one_epoch(self) -> None:
        stage = self.stage
        plan = self.batches.plan(self.epoch, stage.batch, self.seed)
        total = stage.epochs * len(plan)
        self.network.train()
        saved = time.monotonic()
        before = self.seconds - time.process_time()
        report = reporter(f"{stage.name} epoch {self.epoch + 1}/{stage.epochs}", len(plan))
        with report as tick:
            while self.step < len(plan):
                # Half a step ahead, so that neither the first nor the last step has a rate of zero.
                progress = (self.epoch * len(plan) + self.step + 0.5) / total
                loss = self.one_step(plan[self.step], progress)
                self.running.append(loss)
                self.step += 1
                self.seconds = before + time.process_time()
                tick(self.step, sum(self.running) / len(self.running))
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self.checkpoint()
                    saved = time.monotonic()

    def one_step(self, indices: Iterable[int], progress: float) -> float:
        stage = self.stage
        batch = self.batches.collate(list(indices), progress)
        factor = stage.schedule.factor(progress)
        for group in self.optimiser.param_groups:
            group["lr"] = stage.optimiser.rate * factor
        loss = stage.loss(self.network, batch)
        self.optimiser.zero_grad()
        loss.backward()
        if stage.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), stage.clip)
        self.optimiser.step()
        if stage.average:
            follow(self.averaged, self.network, stage.average)
        return loss.item()

    def close_epoch(self) -> None:
        stage = self.stage
        entry = {"epoch": self.epoch + 1.0, "loss": sum(self.running) / len(self.running), "seconds": self.seconds}
        if stage.score is None:
            score = float(self.epoch)
        else:
            self.averaged.eval()
            with torch.no_grad():
                metrics = stage.score(self.averaged, self.work)
            entry |= metrics
            score = next(iter(metrics.values()))
        if score > self.best:
            self.best, self.best_epoch = score, self.epoch
            self.kept = {name: value.clone() for name, value in self.averaged.state_dict().items()}
        self.history.append(entry)
        self.epoch, self.step, self.running = self.epoch + 1, 0, []
        (self.folder / "history.json").write_text(json.dumps(self.history, indent=1))
        draw_curves(self.history, self.folder / "curves.png", stage.name)
        console.print(f"{stage.name}: " + ", ".join(f"{name} {value:.4g}" for name, value in entry.items()))


def build_optimiser(settings: AdamW | SGD, network: nn.Module) -> Optimizer:
    """Decay applies to matrices and kernels only, not to biases and norms."""
    decayed = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if isinstance(settings, SGD):
        return torch.optim.SGD(groups, lr=settings.rate, momentum=settings.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=settings.rate, betas=settings.betas)


@torch.no_grad()
def follow(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average one step; buffers (batch norm's statistics) are averaged too, counters copied."""
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def save(state: Any, path: Path) -> None:
    """By rename: a kill leaves the old file or the new one."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as opened:
        torch.save(state, opened)
        opened.flush()
        os.fsync(opened.fileno())
    partial.replace(path)


class reporter:  # noqa: N801 - used as a with statement, like a function
    """A progress bar on a terminal; elsewhere a line every half minute."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self.printed = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)

    def __enter__(self) -> Callable[[int, float], None]:
        self.bar.start()
        self.task = self.bar.add_task(self.title, total=self.total)
        return self.tick

    def tick(self, step: int, loss: float) -> None:
        self.bar.update(self.task, completed=step, description=f"{self.title} loss {loss:.4f}")
        if not console.is_terminal and time.monotonic() - self.printed > 30:
            self.printed = time.monotonic()
            console.print(f"{self.title} {step}/{self.total} loss {loss:.4f}")

    def __exit__(self, *raised: object) -> None:
        self.bar.stop()


def draw_curves(history: list[dict[str, float]], path: Path, title: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name in history[-1] if name not in ("epoch", "seconds")]
    figure, axes = pyplot.subplots(1, len(names), figsize=(4 * len(names), 3), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        axis.plot([entry["epoch"] for entry in history], [entry.get(name) for entry in history], marker=".")
        axis.set(title=f"{title}: {name}", xlabel="epoch")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
