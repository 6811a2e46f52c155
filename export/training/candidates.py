"""What a task's training module returns: its data, and the candidates between which validation chooses."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hearth_build.data.report import DataReport
from hearth_build.data.split import Split
from hearth_build.pipeline import distributed, train
from hearth_build.recipe import NoQuantization, Quantizer, Recipe, Stage
from hearth_build.training import bases
from hearth_build.training.plan import Plan

RESERVED = 0.2
"""Part of the time for what follows training: quantization and measurements."""
TRIAL_STEPS = 4
"""Steps from which the time of an epoch is estimated."""


@dataclass(frozen=True)
class Data:
    split: Split
    labels: tuple[str, ...]
    report: DataReport
    language: str = ""
    several: bool = False
    """Whether an example can have several labels."""
    metric: str = ""
    """The metric by which candidates are compared, if the data call for another one than the task's own."""


@dataclass(frozen=True)
class Candidate:
    name: str
    score: float = math.nan
    """The task's metric on the validation examples; unknown until the end where there is a single candidate."""
    recipe: Callable[[], Recipe] | None = None
    """None for what is only compared with."""
    details: str = ""
    """What the model card says of it, such as its learning curve."""
    is_larger: bool = False
    """Whether it is not served because it is larger than `--size small` allows."""


@dataclass
class Session:
    """One run of `hearth train`: its plan, its folder, and how much time it has."""

    plan: Plan
    work: Path
    command: str
    started: float = field(default_factory=time.monotonic)
    settings: dict[str, object] = field(default_factory=dict)
    """Resolved settings, which go to recipe.yaml."""
    teachers: list[Candidate] = field(default_factory=list)
    """The networks from which those of `--size small` learnt."""

    @property
    def is_small(self) -> bool:
        return self.plan.size == "small"

    @property
    def method(self) -> str:
        """How a network with the best score came to be, for descriptions."""
        return "distilled to half of its layers" if self.is_small else "fine-tuned"

    def title(self, network: str) -> str:
        """The name of the candidate that is a tuned network."""
        return f"distilled {network}" if self.is_small else f"fine-tuned {network}"

    def seconds_left(self) -> float:
        """The time left to train, without what is reserved."""
        total = self.plan.minutes * 60
        return distributed.agree(total * (1 - RESERVED) - (time.monotonic() - self.started))

    def epochs(
        self, stage: Callable[[int], Stage], maximum: int, share: float = 1.0, setting: str = "epochs"
    ) -> tuple[int, float]:
        """How many epochs of a stage fit into a share of the time that is left, at most `maximum` and at least one, and
        the limit in minutes. Both are 0.0 minutes and the number of the recipe where a training is repeated."""
        if setting in self.plan.settings:
            return int(self.plan.settings[setting]), 0.0
        resolved = self.work / f"{setting}.json"  # an interrupted training goes on with the same numbers
        earlier = distributed.agree(json.loads(resolved.read_text(encoding="utf-8")) if resolved.exists() else None)
        if earlier:
            count, minutes = earlier
            return count, minutes
        left = max(self.seconds_left() * share, 1.0)  # what came before may have taken all of the time
        run = train.Run(stage(1), self.work, self.work, self.plan.seed, "")
        plan = run.batches.plan(0, run.stage.batch_size, self.plan.seed)
        middle = len(plan) // 2
        batches = [*plan[middle:], *plan][: TRIAL_STEPS + 1]
        run.network.train()
        run.run_step(batches[0], 0.0)
        begin = time.monotonic()
        for batch in batches[1:]:
            run.run_step(batch, 0.0)
        seconds = (time.monotonic() - begin) / max(len(batches) - 1, 1) * len(plan)
        count = max(1, min(maximum, int(left / (seconds * 1.05))))
        train.console.print(f"One epoch takes about {seconds:.0f} s; {count} of them")
        count = distributed.agree(count)
        resolved.write_text(json.dumps([count, left / 60]), encoding="utf-8")
        return count, left / 60

    def recipe(self, data: Data, **fields: Any) -> Recipe:
        """A recipe for what was trained on `data`: `fields`, and what is the same for all tasks."""
        plan = self.plan
        shared: dict[str, Any] = {
            "name": plan.name,
            "task": plan.task,
            "licence": plan.licence,
            "labels": data.labels,
            "sources": plan.sources(),
            "prepare": lambda work: None,
            "stages": (),
            "dev": {"validation": lambda work: data.split.validation},
            "test": lambda work: data.split.test,
            "seed": plan.seed,
            "metric": data.metric,
            "parents": (bases.title(plan.base),) if plan.base else (),
        }
        return Recipe(**{**shared, **fields})

    def quantization(self, int8: Quantizer) -> Quantizer:
        """`int8`, unless the plan says fp32."""
        return int8 if self.plan.precision == "int8" else NoQuantization()


@dataclass(frozen=True)
class Trainer:
    """What a task's module does; each has one as `TRAINER`."""

    read: Callable[[Session], Data]
    """Reads, checks and splits the data. Raises DataError."""
    candidates: Callable[[Session, Any], list[Candidate]]
    """Fits candidates, the simplest first; the first is a baseline where there are several."""
    default_base: Callable[[Data], str] = lambda data: ""
    """The preset that training starts from, if the user names none; empty: from scratch."""
    require_learning: Callable[[Candidate, Sequence[Candidate]], None] = lambda chosen, results: None
    """Raises RecipeError if the chosen candidate has learnt nothing."""
    can_be_small: bool = False
    """Whether it has networks for `--size small`."""
    chosen_in: str = "validation"
    """Where the scores of candidates come from."""


def best(candidates: Sequence[Candidate], higher_is_better: bool) -> Candidate:
    """The candidate that is served: the best on the validation examples, the first of equal ones."""
    servable = [candidate for candidate in candidates if candidate.recipe is not None]
    return max(servable, key=lambda candidate: candidate.score if higher_is_better else -candidate.score)
