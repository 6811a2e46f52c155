"""Write the model card (report.md) and its plot (report.png)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hearth.models.manifest import Manifest
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Recipe, Stage

MAX_LABELS = 20
"""Labels that are listed in a card."""
TITLES = {"torch": "torch", "fp32": "fp32 graph", "served": "served graph"}


def plot(recipe: Recipe, evaluation: Evaluation, metrics: dict[str, dict[str, float]], path: Path) -> None:
    """Plot the gated metric on each data set, and the latency, of the models side by side."""
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


def card(recipe: Recipe, manifest: Manifest, more: Sequence[str] = ()) -> str:
    """The model card as Markdown; `more` are further sections."""
    provenance = manifest.provenance
    minutes = provenance.seconds / 60
    training = (
        f"Training took at most {minutes:.0f} minutes of CPU time on {provenance.machine}."
        if minutes
        else f"Machine: {provenance.machine}."
    )
    listed = [*recipe.labels[:MAX_LABELS], "…"] if len(recipe.labels) > MAX_LABELS else recipe.labels
    labels = f"; labels: {', '.join(listed)}" if recipe.labels else ""
    sections = [
        f"# {recipe.name}, version {recipe.version}",
        recipe.description,
        f"Task `{recipe.task}`{labels}. Licence of the weights: {recipe.licence}.",
        "![quality and latency](report.png)" if any(file.path == "report.png" for file in manifest.files) else "",
        "## Measured",
        table(manifest),
        test_line(manifest),
        f"Held-out data, not used for training: {manifest.metrics.dataset}. Milliseconds are the median for one "
        "input, from encode to decode, on one thread; the models take turns. The golden difference is relative to the "
        "outputs of the model in the first column.",
        f"Published reference: {recipe.reference}" if recipe.reference else "",
        *more,
        "## Built with",
        f"```\n{provenance.command}\n```",
        f"Seed {provenance.seed}, commit {provenance.commit[:12] or 'unknown'}. {training}",
        "\n".join(stage_line(stage) for stage in recipe.stages),
        f"Quantization: {manifest.quantization.method}. {manifest.quantization.details}.",
        "## Training data",
        "\n".join(f"- {line}" for line in (*provenance.data, *provenance.parents)) or "Not stated by the checkpoint.",
        "## Limitations",
        "\n".join(f"- {line}" for line in recipe.limitations) or "Not measured on a data set.",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def stage_line(stage: Stage) -> str:
    optimiser, schedule = type(stage.optimiser).__name__, type(stage.schedule).__name__
    return (
        f"- stage `{stage.name}`: {stage.epochs} epochs, batches of {stage.batch_size}, "
        f"{optimiser} at {stage.optimiser.learning_rate}, {schedule} schedule"
    )


def test_line(manifest: Manifest) -> str:
    """The metrics of the test examples with their intervals, or nothing if there was no test."""
    served = manifest.metrics.served
    names = [name.removesuffix(" (test)") for name in served if name.endswith(" (test)")]
    if not names:
        return ""
    cells = [
        f"{name} {served[f'{name} (test)']:.4g} "
        f"({served[f'{name} (test), low']:.4g} to {served[f'{name} (test), high']:.4g})"
        for name in names
    ]
    return (
        f"**Test, served model: {', '.join(cells)}.** In brackets: 95 % intervals by the bootstrap. These examples "
        "were looked at once, for this line; nothing was chosen by them."
    )


def measured(served: Mapping[str, float]) -> list[str]:
    """The metrics of a served model in lines for a terminal, with the intervals of those that were tested."""
    lines = []
    for name, value in served.items():
        if name == "bytes":
            lines.append(f"  size {value / 1e6:.2f} MB")
        elif name == "milliseconds":
            lines.append(f"  {value:.3g} ms for one input on one thread")
        elif name == "largest golden difference":
            lines.append(f"  differs from the original by at most {value:.2g}")
        elif f"{name}, low" in served:
            low, high = served[f"{name}, low"], served[f"{name}, high"]
            lines.append(f"  {name} {value:.4g} (95 % interval {low:.4g} to {high:.4g})")
        elif not name.endswith((", low", ", high")):
            lines.append(f"  {name} {value:.4g}")
    return lines


def table(manifest: Manifest) -> str:
    """The metrics of the models, side by side, as a Markdown table."""
    metrics = {kind: values for kind in TITLES if (values := getattr(manifest.metrics, kind))}
    rows = ["| | " + " | ".join(TITLES[kind] for kind in metrics) + " |", "|---|" + "---:|" * len(metrics)]
    for name in metrics["served"]:
        if "(test)" in name:
            continue
        number_format = ",.0f" if name == "bytes" else ".4g"
        values = [by_name.get(name) for by_name in metrics.values()]
        cells = ["" if value is None else format(value, number_format) for value in values]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def overview(manifests: Sequence[Manifest]) -> str:
    """The table of docs/models.md."""
    rows = [
        "| model | task | metric | fp32 | served | MB fp32 | MB served | ms fp32 | ms served | minutes | reference |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for manifest in manifests:
        fp32, served = manifest.metrics.fp32, manifest.metrics.served
        fp32 = fp32 or manifest.metrics.torch  # a decoder is imported without an fp32 graph
        metric = manifest.metrics.metric
        minutes = f"{manifest.provenance.seconds / 60:.0f}" if manifest.provenance.seconds else "–"
        cells = [f"`{manifest.model}`", manifest.task, f"{metric}, {manifest.metrics.dataset.partition(', ')[0]}"]
        cells += [f"{values[metric]:.4g}" if metric in values else "–" for values in (fp32, served)]
        cells += [f"{values['bytes'] / 1e6:.2f}" for values in (fp32, served)]
        cells += [f"{values['milliseconds']:.1f}" if "milliseconds" in values else "–" for values in (fp32, served)]
        cells += [minutes, manifest.metrics.reference]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)
