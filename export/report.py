"""The model card (report.md) and its plot (report.png)."""

from __future__ import annotations

from pathlib import Path

from export.recipe import Recipe, Stage
from hearth.manifest import Manifest

TITLES = {"torch": "torch", "fp32": "fp32 graph", "served": "served graph"}


def draw(recipe: Recipe, metrics: dict[str, dict[str, float]], path: Path) -> None:
    """Accuracies and latency of the three, side by side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name in metrics["served"] if name.startswith("accuracy")] + ["milliseconds"]
    figure, axes = pyplot.subplots(1, len(names), figsize=(3.2 * len(names), 2.6), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        values = [metrics[kind][name] for kind in TITLES]
        bars = axis.bar(list(TITLES.values()), values, color=["#8a8f98", "#4c78a8", "#e4572e"])
        axis.bar_label(bars, [f"{value:.3g}" for value in values], fontsize=8)
        axis.set_title(name, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.margins(y=0.15)
    figure.suptitle(recipe.name, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


def card(recipe: Recipe, manifest: Manifest, difference: float) -> str:
    how = manifest.provenance
    minutes = how.seconds / 60
    trained = f"Training took {minutes:.0f} minutes on {how.machine}." if minutes else f"Machine: {how.machine}."
    parts = [
        f"# {recipe.name}, version {recipe.version}",
        recipe.description,
        f"Task `{recipe.task}`; labels: {', '.join(recipe.labels)}. Licence of the weights: {recipe.licence}.",
        "![accuracy and latency](report.png)",
        "## Measured",
        table(manifest),
        f"Held-out data, never trained on: {manifest.metrics.dataset}. Milliseconds are the median of one input, "
        "encode to decode, on one thread, the three taking turns. The scores of the golden inputs differ from the "
        f"torch model's by at most {difference:.3f}.",
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
    metrics = {kind: getattr(manifest.metrics, kind) for kind in TITLES}
    rows = ["| | " + " | ".join(TITLES.values()) + " |", "|---|" + "---:|" * len(TITLES)]
    for name in metrics["served"]:
        values = [metrics[kind].get(name) for kind in TITLES]
        shown = ["" if value is None else f"{value:,.0f}" if name == "bytes" else f"{value:.4g}" for value in values]
        rows.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(rows)
