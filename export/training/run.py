"""`hearth train`: read the data, report, fit candidates, choose by validation, and build the artifact of the winner."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from msgspec import structs
from rich.table import Table

from hearth.task_table import TASKS
from hearth_build.pipeline import distributed
from hearth_build.pipeline.build import Step, build
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.pipeline.train import console
from hearth_build.recipe import Example, GateError, NoQuantization, Recipe, RecipeError
from hearth_build.training import bases
from hearth_build.training import plan as plans
from hearth_build.training.candidates import Candidate, Session, Trainer, best
from hearth_build.training.classification import Report
from hearth_build.training.plan import Plan

TRAINABLE = (
    "text-classification",
    "token-classification",
    "feature-extraction",
    "text-ranking",
    "question-answering",
    "text-generation",
    "image-classification",
    "object-detection",
    "automatic-speech-recognition",
    "translation",
    "summarization",
    "tabular-classification",
    "tabular-regression",
)


def run(plan: Plan, work: Path, command: str, *, check: bool = False) -> Path | None:
    """Train and return the artifact folder, or None with `check`, which ends after the report on the data, and in all
    but the first process of torchrun.

    Raises DataError, RecipeError, GateError.
    """
    trainer = trainer_of(plan.task)
    if plan.size and not trainer.can_be_small:
        raise RecipeError(f"--size small: {plan.task} has no smaller network. Leave --size out.")
    distributed.start()
    if distributed.rank():
        console.quiet = True
        work = work.with_name(f"{work.name}.rank{distributed.rank()}")
    plan = plans.with_checksums(structs.replace(plan, base=bases.pin(plan.base)))
    session = Session(plan, work, command)
    console.rule(f"{plan.name}: data")
    data = trainer.read(session)
    session.plan = plans.with_examples(plan, data.split)
    for line in data.report.lines():
        console.print(f"  {line}", highlight=False, markup=False)
    if not plan.base:
        session.plan = structs.replace(session.plan, base=trainer.default_base(data))
    if session.is_small and not session.plan.base:
        raise RecipeError(
            "--size small: no encoder for these texts is at hand from which a smaller one could learn, and what is "
            "trained without one is small. Leave --size out, or name an encoder with --from."
        )
    base = "from scratch"
    if session.plan.base:
        base = bases.SCRATCH.get(session.plan.base, f"starts from {bases.title(session.plan.base)}")
    minutes = "1 minute" if plan.minutes == 1 else f"{plan.minutes:g} minutes"
    console.print(f"  {minutes} at most, {base}", highlight=False, markup=False)
    if check:
        return None
    forget_other_data(session)
    console.rule(f"{plan.name}: candidates")
    results = [*trainer.candidates(session, data), *session.teachers]
    evaluation = evaluation_of(plan.task)
    chosen = best(results, evaluation.higher_is_better)
    title = f"{data.metric or evaluation.metric} in {trainer.chosen_in}"
    if len(results) > 1:
        print_table(results, chosen, title)
    if distributed.rank():  # the first process measures and writes
        return None
    trainer.require_learning(chosen, results)
    assert chosen.recipe is not None
    recipe = chosen.recipe()
    if note := better_baseline(results, chosen, evaluation.higher_is_better):
        console.print(note, highlight=False, markup=False)
    recipe = replace(recipe, report=with_comparison(recipe, results, chosen, title, note))
    artifact = build_served(recipe, session)
    resolved = structs.replace(session.plan, settings={**plan.settings, **session.settings}, model=chosen.name)
    plans.save(resolved, work / "recipe.yaml")
    console.print(f"To repeat it: hearth train --recipe {work / 'recipe.yaml'}", highlight=False, markup=False)
    return artifact


def trainer_of(task: str) -> Trainer:
    """The trainer of a task. Raises RecipeError."""
    if task not in TRAINABLE:
        raise RecipeError(f"hearth train does not train {task!r}; it trains {', '.join(TRAINABLE)}.")
    trainer: Trainer = importlib.import_module(f"hearth_build.training.{TASKS[task].function}").TRAINER
    return trainer


def forget_other_data(session: Session) -> None:
    """Remove what a run with other data or settings left in the folder; what the same run left is continued."""
    marker = session.work / "plan.txt"
    fingerprint = session.plan.fingerprint()
    if marker.exists() and marker.read_text(encoding="utf-8") != fingerprint:
        shutil.rmtree(session.work)
    session.work.mkdir(parents=True, exist_ok=True)
    (session.work / "prepared").unlink(missing_ok=True)
    marker.write_text(fingerprint, encoding="utf-8")


def build_served(recipe: Recipe, session: Session) -> Path:
    """Build the artifact of what is trained; in fp32 if int8 costs more accuracy than its gate allows."""
    try:
        return build_trained(recipe, session)
    except GateError as error:
        if isinstance(recipe.quantization, NoQuantization):
            raise
        console.print(
            f"int8 is not good enough, so the model is served in fp32: {error}", highlight=False, markup=False
        )
        return build_trained(replace(recipe, quantization=NoQuantization()), session)


def build_trained(recipe: Recipe, session: Session) -> Path:
    """Run all steps but training, which the candidates have done."""
    for step in Step:
        if step != Step.TRAIN:
            build(recipe, session.work, session.command, step)
    return session.work / "artifact"


def print_table(results: list[Candidate], chosen: Candidate, title: str) -> None:
    table = Table("candidate", title, "")
    for candidate in results:
        note = "served" if candidate is chosen else "larger" if candidate.is_larger else ""
        note = note or ("" if candidate.recipe else "baseline")
        table.add_row(candidate.name, f"{candidate.score:.4f}", note)
    console.print(table)


def better_baseline(results: Sequence[Candidate], chosen: Candidate, higher_is_better: bool) -> str:
    """A sentence if something that is only compared with is better than what is served; else empty."""
    sign = 1 if higher_is_better else -1
    baselines = [candidate for candidate in results if candidate.recipe is None and not candidate.is_larger]
    strongest = max(baselines, key=lambda candidate: sign * candidate.score, default=chosen)
    if sign * strongest.score <= sign * chosen.score:
        return ""
    return (
        f"Note: {strongest.name}, with which the {chosen.name} is only compared, is better. More examples or more "
        "--minutes are needed for a useful model."
    )


def with_comparison(recipe: Recipe, results: list[Candidate], chosen: Candidate, title: str, note: str) -> Report:
    """The recipe's sections of the card, after the table of candidates if there are several."""
    rows = []
    for candidate in results:
        name = f"**{candidate.name}**" if candidate is chosen else candidate.name
        rows.append(f"| {name} | {candidate.score:.4f} |")
    table = "\n".join([f"| candidate | {title} |", "|---|---:|", *rows])
    details = [f"{candidate.name}: {candidate.details}" for candidate in results if candidate.details]
    notes = [note] if note else []
    compared = ["## Compared", table, *notes, *details] if len(results) > 1 else []

    def sections(work: Path, examples: Sequence[Example], outputs: Sequence[Any]) -> Sequence[str]:
        return [*compared, *(recipe.report(work, examples, outputs) if recipe.report else ())]

    return sections
