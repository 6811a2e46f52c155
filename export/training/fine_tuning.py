"""One training of one network within the time of the session: what the stages of all tasks have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor, nn

from hearth_build.pipeline import distributed, train
from hearth_build.recipe import AdamW, Batch, Batches, Linear, OneCycle, Stage
from hearth_build.training.candidates import Candidate, Session
from hearth_build.training.distillation import SoftLoss, distilled, layers_of

RATES = (1.0, 2.0, 0.5)
"""Learning rates that are tried, times that of the preset."""


@dataclass(frozen=True)
class Preset:
    """What a task trains with, unless the recipe that is repeated says something else."""

    epochs: int
    """The largest number; fewer if there is no time for them."""
    learning_rate: float
    batch_size: int
    schedule: Linear | OneCycle = field(default_factory=Linear)
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    average: float = 0.0
    """Decay of a moving average of the weights, which is then scored and kept; it is over at most a quarter of the
    training. 0: no average."""


@dataclass(frozen=True)
class Training:
    """What a network learns, from which batches, and by which score its best weights are found."""

    preset: Preset
    network: Callable[[Path], nn.Module]
    batches: Batches
    loss: Callable[[nn.Module, Batch], Tensor]
    score: Callable[[nn.Module, Path], dict[str, float]]
    name: str = "fine-tuning"

    def stage(self, epochs: int, minutes: float = 0.0, rate: float | None = None, number: int = 0) -> Stage:
        """The stage of a recipe, with the preset's learning rate unless there is a `rate`."""
        preset = self.preset
        steps = len(self.batches.plan(0, preset.batch_size, 0))
        return Stage(
            name=f"{self.name}-{number}" if number else self.name,
            network=self.network,
            batches=lambda work: self.batches,
            loss=self.loss,
            score=self.score,
            optimiser=AdamW(
                learning_rate=preset.learning_rate if rate is None else rate,
                weight_decay=preset.weight_decay,
                betas=preset.betas,
            ),
            schedule=preset.schedule,
            epochs=epochs,
            batch_size=preset.batch_size,
            max_grad_norm=1.0,
            ema_decay=max(0.0, min(preset.average, 1 - 4 / (epochs * steps))),
            minutes=minutes,
        )


def fit(session: Session, training: Training, soft: SoftLoss | None = None) -> Stage:
    """Train as many epochs as there is time for, keep the weights of the best one by `score`, and return the stage.

    If there is time for all epochs once more, other learning rates are tried; the stage of the best one is returned.
    For `--size small`, this network gets half of the time, and half of its layers learn from it by `soft`; the stage
    of these is returned.
    """
    if not session.is_small or soft is None:
        return fit_best(session, training)
    teacher = fit_best(session, training, share=0.5)
    session.teachers.append(Candidate("with all layers", best_score(session, teacher), is_larger=True))
    preset = training.preset
    student = replace(
        training,
        preset=replace(preset, epochs=2 * preset.epochs, learning_rate=2 * preset.learning_rate),
        network=lambda work: layers_of(work, training.network, train.weights_of(work, teacher.name)),
        loss=distilled(lambda: trained(session, teacher), training.loss, soft),
        name="distillation",
    )
    return fit_best(session, student, prefix="student_")


def fit_best(session: Session, training: Training, *, share: float = 1.0, prefix: str = "") -> Stage:
    """`share`: of the time that is left. `prefix`: of the names of its settings in the recipe."""
    preset = training.preset
    after = session.seconds_left() * (1 - share)
    epochs, minutes = session.epochs(training.stage, preset.epochs, share, f"{prefix}epochs")
    rates = [preset.learning_rate * factor for factor in RATES]
    if f"{prefix}learning_rate" in session.plan.settings:
        rates = [float(session.plan.settings[f"{prefix}learning_rate"])]
    results: list[Stage] = []
    for number, rate in enumerate(rates):
        begin = time.monotonic()
        current = training.stage(epochs, minutes, rate, number)
        train.train(current, session.work, session.plan.seed)
        results.append(current)
        seconds = distributed.agree(time.monotonic() - begin)
        if epochs < preset.epochs or session.seconds_left() - after < seconds * 1.2:
            break
    best = max(results, key=lambda result: best_score(session, result))
    session.settings |= {f"{prefix}epochs": epochs, f"{prefix}learning_rate": best.optimiser.learning_rate}
    return best


def trained(session: Session, stage: Stage) -> nn.Module:
    """The network of a stage with its best weights."""
    network = stage.network(session.work)
    network.load_state_dict(train.weights_of(session.work, stage.name))
    return network.eval()


def best_score(session: Session, stage: Stage) -> float:
    """The best value of a stage's first metric."""
    history = train.history_of(session.work, stage.name)
    metric = next(name for name in history[0] if name not in ("epoch", "loss", "seconds"))
    return max(entry[metric] for entry in history)
