"""`hearth drift`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearth.errors import BadRequest
from hearth_build import ZOO
from hearth_build.cli.options import JsonOption, NameArgument, StoreOption
from hearth_build.cli.output import print_json, print_table
from hearth_build.drift.comparison import MIN_INPUTS, PSI, RATE

if TYPE_CHECKING:
    from hearth.models.manifest import Manifest
    from hearth_build.drift.comparison import Report

Counts = Mapping[str, Sequence[int]]
WatchOption = Annotated[
    str,
    typer.Option(envvar="HEARTH_WATCH", help="Where servers write what they see: s3://bucket/prefix or file:///path."),
]


def drift(
    name: NameArgument,
    store: StoreOption = ZOO.as_uri(),
    watch: WatchOption = "",
    days: Annotated[float, typer.Option(help="Compare what was served in the last days.", min=0.04)] = 1,
    against: Annotated[
        float | None, typer.Option(help="Compare with what was served in so many days before, not the reference.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Compare this file or folder, in the format of `hearth evaluate`.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Compare with this file or folder, for a version without a reference.")
    ] = None,
    rate: Annotated[float, typer.Option(help="False alarms per comparison, at most.", min=0.0001, max=0.5)] = RATE,
    psi: Annotated[float, typer.Option(help="Smallest population stability index that alarms.", min=0)] = PSI,
    plot: Annotated[Path | None, typer.Option(help="Draw the features into this PNG file.")] = None,
    json: JsonOption = False,
) -> None:
    """Compare what a model has seen and answered with the data of its evaluation. Exit status 1: something moved."""
    from hearth.models.cache import warm_cache
    from hearth_build.cli.suggestions import similar_models
    from hearth_build.drift.comparison import compare

    if plot is not None and plot.suffix.lower() != ".png":
        raise BadRequest(f"--plot writes a PNG file, not {plot.name}")
    os.environ["HEARTH_STORE"] = store
    with similar_models(store, name):
        manifest = warm_cache().resolve(name).manifest
    end = datetime.now(UTC)
    start = end - timedelta(days=days)
    window = _counts_of_data(manifest, data) if data else _served(manifest, watch, start, end)
    expected, source = _reference(manifest, watch, start, against, reference)
    report = compare(expected, window, manifest.labels, rate=rate, psi=psi)
    ref = f"{manifest.model}@{manifest.version}"
    feedback = _feedback(window)
    if json:
        print_json(
            {
                "model": manifest.model,
                "version": manifest.version,
                "source": source,
                "rate": rate,
                "report": report,
                "feedback": feedback,
            }
        )
    else:
        _print(ref, report, source, rate, feedback)
    if plot is not None and report.features:
        from hearth_build.drift.plot import plot as draw

        draw(report, expected, window, manifest.labels, f"{ref} and {source}", plot)
    if report.moved:
        raise typer.Exit(1)


def _served(manifest: Manifest, watch: str, start: datetime, end: datetime) -> Counts:
    """Raises BadRequest without a location."""
    from hearth.storage.open import open_store
    from hearth_build.drift.windows import merged

    if not watch:
        raise BadRequest(
            "Where do servers write what they see? Set HEARTH_WATCH for `hearth serve` and here (--watch), or compare "
            "a file with --data"
        )
    store = open_store(watch)
    store.check()
    return merged(store, manifest.model, manifest.version, start, end).counts


def _counts_of_data(manifest: Manifest, data: Path) -> Counts:
    from hearth.models.cache import warm_cache
    from hearth_build.drift.reference import observe
    from hearth_build.pipeline.evaluation import evaluation_of, examples_from

    with warm_cache().get(f"{manifest.model}@{manifest.version}") as model:
        return observe(model, evaluation_of(manifest.task), examples_from(data, manifest.task))


def _reference(
    manifest: Manifest, watch: str, start: datetime, against: float | None, data: Path | None
) -> tuple[Counts, str]:
    """The counts to compare with, and what they are. Raises BadRequest if there are none."""
    if data is not None:
        return _counts_of_data(manifest, data), str(data)
    if against is not None:
        return _served(manifest, watch, start - timedelta(days=against), start), f"the {against:g} days before"
    if manifest.reference is None:
        raise BadRequest(
            f"{manifest.model}@{manifest.version} was published without reference statistics. Compare with data of its "
            "evaluation (--reference PATH), or with what was served before (--against DAYS)"
        )
    return manifest.reference.counts, manifest.reference.dataset


def _feedback(window: Counts) -> dict[str, Any] | None:
    from hearth.telemetry.statistics import accuracy_interval

    feedback: dict[str, Any] = {}
    if counts := window.get("correct"):
        wrong, right = counts
        low, accuracy, high = accuracy_interval(right, right + wrong)
        feedback |= {"answers": right + wrong, "accuracy": accuracy, "low": low, "high": high}
    if ratings := window.get("rating"):
        feedback |= {
            "ratings": sum(ratings),
            "mean_rating": sum(n * (i + 1) for i, n in enumerate(ratings)) / sum(ratings),
        }
    return feedback or None


def _print(ref: str, report: Report, source: str, rate: float, feedback: dict[str, Any] | None) -> None:
    print(f"{ref}: {report.inputs} inputs, compared with {report.reference_inputs} of {source}")
    if report.features:
        cells = [
            [
                feature.title,
                f"{feature.psi:.3f}",
                f"{feature.js:.3f}",
                "" if feature.ks is None else f"{feature.ks:.3f}",
                f"{feature.p:.2g}",
                ("MOVED  " if feature.moved else "") + feature.change,
            ]
            for feature in report.features
        ]
        print_table(["feature", "PSI", "JS", "KS", "p", "change"], cells, right=["PSI", "JS", "KS", "p"])
    if feedback and "accuracy" in feedback:
        print(
            f"Accuracy by feedback on {feedback['answers']} answers: {feedback['accuracy']:.1%} "
            f"({feedback['low']:.1%} to {feedback['high']:.1%})"
        )
    if feedback and "ratings" in feedback:
        print(f"Mean of {feedback['ratings']} ratings: {feedback['mean_rating']:.2f} of 5")
    if not report.features:
        print(f"Too few inputs to compare: {MIN_INPUTS} are needed on both sides.")
    elif report.moved:
        print(f"Alarm: {', '.join(feature.title for feature in report.moved)} moved.")
    else:
        print(f"Nothing moved (at most {rate:.1%} of such comparisons alarm although nothing did).")
