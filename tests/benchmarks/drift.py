"""How often `hearth drift` alarms although nothing moved, how soon it notices what did, and how well novelty separates.

    HEARTH_DATA=… python -m tests.benchmarks.drift

prints the tables of docs/watch.md. All inputs are real, and answered by the models of the zoo one by one.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from hearth.bootstrap import prepare_process

SIZES = (30, 50, 100, 200, 400)
REFERENCE = 0.6
"""Share of the unmoved inputs that is the reference."""
WINDOWS_MOVED = 20
POWER = 0.95
SHARES = ("75 % negative instead of about half", "twice the share of a label")
"""Moves of shares, whose inputs are usual ones each."""

Observed = dict[tuple[str, int], int]


class Seen(NamedTuple):
    observed: Observed
    score: float
    """The best label's."""
    label: str


def see(model: Any, predict: Callable[[Any, Any], Any], inputs: Sequence[Any]) -> list[Seen]:
    """What is observed of each input, and its answer."""
    from hearth.telemetry.timing import begin

    seen = []
    for value in inputs:
        timing = begin()
        timing.observed = {}
        best = predict(model, value)
        seen.append(Seen(timing.observed, best.score, best.label))
    return seen


def counts(seen: Sequence[Seen]) -> dict[str, list[int]]:
    from hearth.telemetry.sketches import Sketch

    sketch = Sketch(0, {})
    for item in seen:
        sketch.add(item.observed)
    return sketch.counts


def alarms(pool: Sequence[Seen], moved: Sequence[Seen] | None, size: int, windows: int) -> float:
    """Share of windows that alarm; they are drawn from `moved`, or from the rest of the pool."""
    from hearth_build.drift.comparison import compare

    generator, number = random.Random(size), 0
    for window in range(windows):
        shuffled = generator.sample(pool, len(pool))
        reference, rest = shuffled[: int(len(pool) * REFERENCE)], shuffled[int(len(pool) * REFERENCE) :]
        served = generator.sample(rest if moved is None else moved, min(size, len(moved or rest)))
        number += bool(compare(counts(reference), counts(served), seed=window).moved)
    return number / windows


def noticed(pool: Sequence[Seen], moved: Sequence[Seen]) -> str:
    """The smallest size of windows of which POWER alarm; nothing for fewer inputs than any window has."""
    if len(moved) < SIZES[0]:
        return ""
    for size in (size for size in SIZES if size <= len(moved)):
        if alarms(pool, moved, size, WINDOWS_MOVED) >= POWER:
            return str(size)
    return f"> {min(SIZES[-1], len(moved))}"


def auroc(usual: Sequence[float], unusual: Sequence[float]) -> float:
    """The chance that an unusual input has the higher value."""
    both = np.concatenate([usual, unusual])
    ranks = (np.searchsorted(np.sort(both), both, "left") + np.searchsorted(np.sort(both), both, "right") + 1) / 2
    count = len(unusual)
    return float((ranks[len(usual) :].sum() - count * (count + 1) / 2) / (count * len(usual)))


def separation(reference: Any, usual: Sequence[Seen], unusual: Sequence[Seen]) -> tuple[float, float]:
    """AUROC of the novelty, and for comparison that of one minus the best score."""
    from hearth.telemetry.observation import novelty

    values = [[novelty(reference, item.observed) or 0.0 for item in seen] for seen in (usual, unusual)]
    scores = [[1 - item.score for item in seen] for seen in (usual, unusual)]
    return auroc(*values), auroc(*scores)


class Game(NamedTuple):
    title: str
    pool: list[Seen]
    moved: dict[str, list[Seen]]
    reference: Any
    usual: list[Seen]
    """Inputs that are not in the reference."""
    unusual: dict[str, list[Seen]]


def texts(data: Path, count: int) -> Game:
    from hearth.models.cache import warm_cache
    from hearth.models.manifest import Reference
    from hearth_build.data import labelled_texts
    from hearth_build.drift.reference import _WithReference, make_reference
    from hearth_build.pipeline.evaluation import evaluation_of
    from hearth_functions.text_classification import app

    def read(name: str) -> list[Any]:
        examples = list(labelled_texts.read(data / name))
        random.Random(0).shuffle(examples)
        return examples[:count]

    def predict(model: Any, text: str) -> Any:
        return app.predict(model, app.Request(text)).output[0][0]

    with warm_cache().get("sentiment-en") as model:
        evaluation = evaluation_of("text-classification")
        dev = read("sentiment_en/sst2_dev.tsv")
        reference = make_reference(model, evaluation, dev[: len(dev) * 2 // 3], "SST-2 dev")
        assert isinstance(reference, Reference)
        model = _WithReference(model, reference)

        def seen(examples: Sequence[Any]) -> list[Seen]:
            return see(model, predict, [example.inputs for example in examples if str(example.inputs).strip()])

        usual = seen(dev[len(dev) * 2 // 3 :])
        # Texts of which the known tokens were taken look more familiar than others, so they are not in the pool.
        pool = seen(read("sentiment_en/sst2_train.tsv"))
        amazon = seen(read("sentiment_en/uci_amazon_cells_labelled.txt"))
        imdb = seen(read("sentiment_en/uci_imdb_labelled.txt"))
        chinese = seen(read("sentiment_zh/waimai_train.csv")[: count // 2])
    negative, positive = ([item for item in pool if item.label == label] for label in ("negative", "positive"))
    third = min(len(negative), len(positive) * 3) // 3
    moved = {
        "Amazon reviews (other vocabulary)": amazon,
        "IMDb reviews (other vocabulary)": imdb,
        SHARES[0]: negative[: 3 * third] + positive[:third],
        "Chinese": chinese,
    }
    return Game("Sentences of SST-2, `sentiment-en`", pool, moved, reference, usual, moved)


def pictures(data: Path, count: int) -> Game:
    from hearth.models.cache import warm_cache
    from hearth.models.manifest import Reference
    from hearth_functions.image_classification import app

    def predict(model: Any, data: bytes) -> Any:
        return app.predict(model, app.Request(data)).output[0]

    def changed(file: bytes, change: Callable[[Image.Image], Image.Image]) -> bytes:
        buffer = io.BytesIO()
        change(Image.open(io.BytesIO(file)).convert("RGB")).save(buffer, "PNG")
        return buffer.getvalue()

    def dimmed(factor: float) -> Callable[[Image.Image], Image.Image]:
        return lambda picture: picture.point(lambda value: value * factor)

    files = []
    with tarfile.open(data / "image_classification/cifar10_train_jpg.tar.gz") as archive:
        members = [member for member in archive if member.name.endswith(".jpg")]
        for member in random.Random(0).sample(members, count):
            file = archive.extractfile(member)
            assert file
            files.append(file.read())
    photos = sorted((data / "object_detection/coco_ccby_train/images").glob("*.jpg"))[: count // 2]
    small = [changed(path.read_bytes(), lambda picture: picture.resize((32, 32))) for path in photos]
    with warm_cache().get("resnet20-cifar10") as model:
        pool = see(model, predict, files)
        few = files[: count // 3]
        dim, dark = ([changed(file, dimmed(factor)) for file in few] for factor in (0.7, 0.4))
        blurred = [changed(file, lambda picture: picture.resize((8, 8)).resize((32, 32), 2)) for file in few]
        moved = {
            "camera at 70 % of the light": see(model, predict, dim),
            "camera at 40 % of the light": see(model, predict, dark),
            "blurred to 8 x 8": see(model, predict, blurred),
            "photos of COCO at 32 x 32": see(model, predict, small),
        }
    cats = [item for item in pool if item.label == "cat"]
    moved[SHARES[1]] = cats + pool
    half = len(pool) // 2
    reference = Reference("CIFAR-10", half, {name: tuple(row) for name, row in counts(pool[:half]).items()})
    return Game("Pictures of CIFAR-10, `resnet20-cifar10`", pool, moved, reference, pool[half:], moved)


GAMES: dict[str, Callable[[Path, int], Game]] = {"texts": texts, "pictures": pictures}


def main() -> None:
    prepare_process()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", choices=[*GAMES, []], help="all by default")
    parser.add_argument("--inputs", type=int, default=800)
    parser.add_argument("--windows", type=int, default=1000)
    arguments = parser.parse_args()
    from hearth_build import ZOO

    os.environ["HEARTH_STORE"] = ZOO.as_uri()
    data = Path(os.environ["HEARTH_DATA"])
    for name in arguments.games or GAMES:
        game = GAMES[name](data, arguments.inputs)
        print(f"\n{game.title}: {len(game.pool)} inputs\n")
        size = min(200, int(len(game.pool) * (1 - REFERENCE)))
        share = alarms(game.pool, None, size, arguments.windows)
        print(f"{arguments.windows} windows of {size} unmoved inputs at a rate of 1 %: {share:.1%} alarm\n", flush=True)
        print("| what moved | noticed within | AUROC of the novelty | of the score |\n|---|---:|---:|---:|")
        for title, seen in game.moved.items():
            cells = ["", ""]
            if title not in SHARES:
                cells = [f"{value:.3f}" for value in separation(game.reference, game.usual, seen)]
            print(f"| {title} | {noticed(game.pool, seen)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
