"""The model card (report.md) and its plot (report.png)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hearth.models.manifest import Manifest
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Recipe, Stage

SHOWN_LABELS = 20
TITLES = {"torch": "torch", "fp32": "fp32 graph", "served": "served graph"}


def draw(recipe: Recipe, evaluation: Evaluation, metrics: dict[str, dict[str, float]], path: Path) -> None:
    """The gated metric on each data set, and latency, of the models side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = {kind: title for kind, title in TITLES.items() if kind in metrics}
    names = [name for name in metrics["served"] if name.startswith(evaluation.metric)] + ["milliseconds"]
    figure, axes = pyplot.subplots(1, len(names), figsize=(3.2 * len(names), 2.6), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        values = [metrics[kind][name] for kind in titles]
        bars = axis.bar(list(titles.values()), values, color=["#8a8f98", "#4c78a8", "#e4572e"][-len(titles) :])
        axis.bar_label(bars, [f"{value:.3g}" for value in values], fontsize=8)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.margins(y=0.15)
    figure.suptitle(recipe.name, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def card(recipe: Recipe, manifest: Manifest) -> str:
    how = manifest.provenance
    minutes = how.seconds / 60
    trained = (
        f"Training took at most {minutes:.0f} minutes of processor time on {how.machine}."
        if minutes
        else f"Machine: {how.machine}."
    )
    shown = ", ".join(recipe.labels[:SHOWN_LABELS]) + ", …" * (len(recipe.labels) > SHOWN_LABELS)
    labels = f"; labels: {shown}" if recipe.labels else ""
    parts = [
        f"# {recipe.name}, version {recipe.version}",
        recipe.description,
        f"Task `{recipe.task}`{labels}. Licence of the weights: {recipe.licence}.",
        "![quality and latency](report.png)",
        "## Measured",
        table(manifest),
        f"Held-out data, never trained on: {manifest.metrics.dataset}. Milliseconds are the median of one input, "
        "encode to decode, on one thread, the models taking turns. The golden difference is that from the answers of "
        "the first column's model.",
        f"Published reference: {recipe.reference}" if recipe.reference else "",
        "## Made by",
        f"```\n{how.command}\n```",
        f"Seed {how.seed}, commit {how.commit[:12] or 'unknown'}. {trained}",
        "\n".join(stage_line(stage) for stage in recipe.stages),
        f"Quantization: {manifest.quantization.method}. {manifest.quantization.details}.",
        "## Learnt from",
        "\n".join(f"- {line}" for line in (*how.data, *how.parents)) or "Not stated by the checkpoint.",
        "## Limits",
        "\n".join(f"- {line}" for line in recipe.limitations) or "Not measured on a data set.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def stage_line(stage: Stage) -> str:
    how = f"{type(stage.optimiser).__name__} at {stage.optimiser.rate}, {type(stage.schedule).__name__} schedule"
    return f"- stage `{stage.name}`: {stage.epochs} epochs, batches of {stage.batch}, {how}"


def table(manifest: Manifest) -> str:
    metrics = {kind: found for kind in TITLES if (found := getattr(manifest.metrics, kind))}
    rows = ["| | " + " | ".join(TITLES[kind] for kind in metrics) + " |", "|---|" + "---:|" * len(metrics)]
    for name in metrics["served"]:
        values = [found.get(name) for found in metrics.values()]
        shown = ["" if value is None else f"{value:,.0f}" if name == "bytes" else f"{value:.4g}" for value in values]
        rows.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(rows)


def overview(manifests: Sequence[Manifest]) -> str:
    """The table of docs/models.md."""
    rows = [
        "| model | task | metric | fp32 | served | MB fp32 | MB served | ms fp32 | ms served | minutes | reference |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for made in manifests:
        fp32, served = made.metrics.fp32, made.metrics.served
        metric = made.metrics.metric
        cells = [f"`{made.model}`", made.task, f"{metric}, {made.metrics.dataset.partition(', ')[0]}"]
        cells += [f"{fp32[metric]:.4g}", f"{served[metric]:.4g}"]
        cells += [f"{found['bytes'] / 1e6:.2f}" for found in (fp32, served)]
        cells += [f"{found['milliseconds']:.1f}" for found in (fp32, served)]
        cells += [f"{made.provenance.seconds / 60:.0f}" if made.provenance.seconds else "–", made.metrics.reference]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)
