"""One training loop for every recipe; `hearth build RECIPE --step train` runs it.

An interrupted run resumes from its last checkpoint and ends with the same weights as an uninterrupted one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.optim import Optimizer

from hearth_build.pipeline import distributed
from hearth_build.pipeline.fingerprint import of_stage
from hearth_build.recipe import SGD, AdamW, RecipeError, Stage

CHECKPOINT_SECONDS = 30.0
"""Time between two checkpoints within an epoch."""
PLOT_SECONDS = 10.0
"""Time between two plots of the curves, which take a second: more than the epochs of small data."""
console = Console()


def train(stage: Stage, work: Path, seed: int, inputs: str = "") -> Path:
    """Train a stage unless that was done with the same settings and `inputs`, the fingerprint of its data and of the
    stages before it; return the file of its best weights."""
    folder, fingerprint = work / stage.name, of_stage(stage, seed, inputs)
    folder.mkdir(parents=True, exist_ok=True)
    weights, marker = folder / "weights.pt", folder / "trained"
    is_trained = weights.exists() and marker.exists() and marker.read_text(encoding="utf-8") == fingerprint
    if distributed.agree(is_trained):
        return weights
    marker.unlink(missing_ok=True)
    run = Run(stage, work, folder, seed, fingerprint)
    run.resume()
    run.run_epochs()
    save(run.best_weights, weights)
    marker.write_text(fingerprint, encoding="utf-8")
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return weights


def weights_of(work: Path, stage: str) -> dict[str, torch.Tensor]:
    """Load the best weights of a completed stage."""
    weights: dict[str, torch.Tensor] = torch.load(work / stage / "weights.pt", weights_only=True)
    return weights


def history_of(work: Path, stage: str) -> list[dict[str, float]]:
    """The metrics of each epoch of a completed stage."""
    history: list[dict[str, float]] = json.loads((work / stage / "history.json").read_text(encoding="utf-8"))
    return history


class Run:
    """The state of a training run. A checkpoint contains all of it."""

    def __init__(self, stage: Stage, work: Path, folder: Path, seed: int, fingerprint: str) -> None:
        self.stage, self.work, self.folder, self.seed = stage, work, folder, seed
        self.fingerprint = fingerprint
        """Of the settings and inputs, which must be the same when a run resumes."""
        torch.manual_seed(seed)
        self.network = stage.network(work)
        self.averaged = deepcopy(self.network) if stage.ema_decay else self.network
        self.optimiser = build_optimiser(stage.optimiser, self.network)
        self.batches = stage.batches(work)
        self.epoch = self.step = 0
        self.best = float("-inf")
        self.best_epoch = -1
        self.best_weights: dict[str, torch.Tensor] = {}
        self.history: list[dict[str, float]] = []
        self.losses: list[float] = []
        """Losses of the steps of this epoch."""
        self.plotted = time.monotonic()
        """When the curves were plotted."""
        self.seconds = 0.0
        """CPU time, so that pauses and other processes on the machine do not count."""
        self.elapsed = 0.0
        """Time of the clock, without pauses between runs; `minutes` of the stage applies to it."""

    def resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        state = distributed.agree(torch.load(path, weights_only=True) if path.exists() else None)
        if state is None:
            return
        if state["fingerprint"] != self.fingerprint:
            raise RecipeError(
                f"{path} was written with other settings or data. Delete {self.folder} to train from scratch."
            )
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        for name in ("epoch", "step", "best", "best_epoch", "best_weights", "history", "losses", "seconds", "elapsed"):
            setattr(self, name, state[name])
        console.print(f"{self.stage.name}: resumed at epoch {self.epoch + 1}, step {self.step + 1}")

    def checkpoint(self) -> None:
        if distributed.rank():
            return
        names = ("epoch", "step", "best", "best_epoch", "best_weights", "history", "losses", "seconds", "elapsed")
        state = {name: getattr(self, name) for name in names}
        state |= {"fingerprint": self.fingerprint}
        state |= {"network": self.network.state_dict(), "averaged": self.averaged.state_dict()}
        state |= {"optimiser": self.optimiser.state_dict(), "random": torch.get_rng_state()}
        save(state, self.folder / "checkpoint.pt")

    def run_epochs(self) -> None:
        stage = self.stage
        while self.epoch < stage.epochs:
            self.run_epoch()
            self.end_epoch()
            self.checkpoint()
            if self.is_late():
                console.print(f"{stage.name}: stopped after {stage.minutes:.1f} minutes")
                break
            if stage.patience and self.epoch - self.best_epoch > stage.patience:
                console.print(f"{stage.name}: stopped after {stage.patience} epochs without a better score")
                break
        self.plot()

    def is_late(self) -> bool:
        return bool(self.stage.minutes) and self.elapsed > self.stage.minutes * 60

    def plot(self) -> None:
        plot_curves(self.history, self.folder / "curves.png", self.stage.name)
        self.plotted = time.monotonic()

    def run_epoch(self) -> None:
        stage = self.stage
        plan = self.batches.plan(self.epoch, stage.batch_size, self.seed)
        total = stage.epochs * len(plan)
        self.network.train()
        last_checkpoint = time.monotonic()
        earlier_seconds, earlier = self.seconds - time.process_time(), self.elapsed - time.monotonic()
        title = f"{stage.name} epoch {self.epoch + 1}/{stage.epochs}"
        with ProgressReporter(title, len(plan)) as report:
            while self.step < len(plan) and not (self.losses and self.is_late()):
                # The middle of the step, so that neither the first nor the last one has a learning rate of zero.
                progress = (self.epoch * len(plan) + self.step + 0.5) / total
                if stage.minutes:  # the schedule ends in time, also on a machine that turns out to be slower
                    progress = max(progress, min(self.elapsed / (stage.minutes * 60), 1.0))
                loss = self.run_step(plan[self.step], progress)
                self.losses.append(loss)
                self.step += 1
                self.seconds = earlier_seconds + time.process_time()
                self.elapsed = distributed.agree(earlier + time.monotonic())
                report(self.step, sum(self.losses) / len(self.losses))
                if time.monotonic() - last_checkpoint > CHECKPOINT_SECONDS:
                    self.checkpoint()
                    last_checkpoint = time.monotonic()

    def run_step(self, indices: Sequence[int], progress: float) -> float:
        stage = self.stage
        indices, weight = distributed.share(indices)
        batch = self.batches.collate(indices, progress)
        factor = stage.schedule.factor(progress)
        for group in self.optimiser.param_groups:
            group["lr"] = stage.optimiser.learning_rate * factor
        loss = stage.loss(self.network, batch)
        self.optimiser.zero_grad()
        (loss * weight).backward()
        distributed.average_gradients(self.network)
        if stage.max_grad_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), stage.max_grad_norm)
        self.optimiser.step()
        if stage.ema_decay:
            update_average(self.averaged, self.network, stage.ema_decay)
        return loss.item()

    def end_epoch(self) -> None:
        """Score the weights, keep them if they are the best, and write the history."""
        stage = self.stage
        for network in {id(network): network for network in (self.network, self.averaged)}.values():
            distributed.average_buffers(network)
        entry = {"epoch": self.epoch + 1.0, "loss": sum(self.losses) / len(self.losses), "seconds": self.seconds}
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
            self.best_weights = {name: value.clone() for name, value in self.averaged.state_dict().items()}
        self.history.append(entry)
        self.epoch, self.step, self.losses = self.epoch + 1, 0, []
        (self.folder / "history.json").write_text(json.dumps(self.history, indent=1))
        if time.monotonic() - self.plotted > PLOT_SECONDS:
            self.plot()
        console.print(f"{stage.name}: " + ", ".join(f"{name} {value:.4g}" for name, value in entry.items()))


def build_optimiser(settings: AdamW | SGD, network: nn.Module) -> Optimizer:
    """Create the optimiser. Weight decay applies to matrices and kernels only, not to biases and norms."""
    decayed = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if isinstance(settings, SGD):
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas)


@torch.no_grad()
def update_average(averaged: nn.Module, network: nn.Module, decay: float) -> None:
    """Update the moving average of weights and of buffers such as batch norm's statistics. Counters are copied."""
    for mean, value in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


def save(state: Any, path: Path) -> None:
    """Write a temporary file and rename it, so that an interrupted save leaves the old file intact."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


class ProgressReporter:
    """Shows a progress bar on a terminal; elsewhere prints a line every 30 seconds."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total = title, total
        self.printed = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)

    def __enter__(self) -> Callable[[int, float], None]:
        self.bar.start()
        self.task = self.bar.add_task(self.title, total=self.total)
        return self.report

    def report(self, step: int, loss: float) -> None:
        self.bar.update(self.task, completed=step, description=f"{self.title} loss {loss:.4f}")
        if not console.is_terminal and time.monotonic() - self.printed > 30:
            self.printed = time.monotonic()
            console.print(f"{self.title} {step}/{self.total} loss {loss:.4f}")

    def __exit__(self, *exc_info: object) -> None:
        self.bar.stop()


def plot_curves(history: list[dict[str, float]], path: Path, title: str) -> None:
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
