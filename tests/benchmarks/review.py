"""The whole circle: serve, capture, review, train again. Is version 2 better on new texts than version 1?

    HEARTH_DATA=… python -m tests.benchmarks.review

trains version 1 on reviews of restaurants (UCI, Yelp), serves it reviews of mobile phones (UCI, Amazon) with
HEARTH_CAPTURE, labels the most doubtful captured ones as a reviewer would, by `hearth review`'s own functions, trains
version 2 with them, and evaluates both on other reviews of mobile phones. The same number of captured texts in random
order is the control.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth.bootstrap import prepare_process

LABELS = ("negative", "positive")
Row = tuple[str, str]
"""Text and label."""


def read(path: Path) -> list[Row]:
    lines = [line.rpartition("\t") for line in path.read_text(encoding="utf-8").splitlines() if "\t" in line]
    rows = list(dict.fromkeys((text.strip(), LABELS[int(label)]) for text, _, label in lines))
    random.Random(0).shuffle(rows)
    return rows


def write(rows: Sequence[Row], path: Path) -> Path:
    lines = [json.dumps({"text": text, "label": label}) + "\n" for text, label in rows]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def hearth(*arguments: str, work: Path) -> str:
    command = [sys.executable, "-m", "hearth_build.cli.main", *arguments]
    return subprocess.run(command, cwd=work, check=True, capture_output=True, text=True).stdout


def train(rows: Sequence[Row], work: Path, minutes: float) -> str:
    """Train and publish; returns the version."""
    data = write(rows, work / "train.jsonl")
    folder = work / f"build-{len(list(work.iterdir()))}"
    options = ("--data", str(data), "--name", "reviews", "--minutes", str(minutes), "--work", str(folder))
    hearth("train", "text-classification", *options, work=work)
    output = hearth(
        "publish", str(folder / "artifact"), "--store", (work / "store").as_uri(), "--alias", "prod", work=work
    )
    return output.split("Published reviews@")[1].split()[0]


def evaluate(version: str, test: Path, work: Path) -> float:
    output = hearth(
        "evaluate", f"reviews@{version}", "--data", str(test), "--store", (work / "store").as_uri(), "--json", work=work
    )
    return float(json.loads(output)["metrics"]["accuracy"])


def capture(texts: Sequence[str], work: Path) -> None:
    """Serve the texts, as any client would send them, while inputs are captured."""
    variables = {"HEARTH_STORE": "store", "HEARTH_CAPTURE": "captured", "HEARTH_CACHE_DIR": "cache"}
    os.environ |= {name: (work / folder).as_uri() for name, folder in variables.items()}
    os.environ |= {"HEARTH_CAPTURE_SHARE": "1", "HEARTH_CACHE_DIR": str(work / "cache"), "HEARTH_LOG_LEVEL": "ERROR"}
    from starlette.testclient import TestClient

    from hearth.http.asgi import create_app
    from hearth_functions.text_classification import app

    os.environ["HEARTH_ALLOWED_HOSTS"] = "testserver"
    client = TestClient(create_app(app.TASKS, local=True))
    for text in texts:
        assert client.post("/models/reviews", json={"inputs": text}).status_code == 200
    for thread in threading.enumerate():
        if thread.name == "capture":
            thread.join()


def review(answers: dict[str, str], count: int, work: Path, *, shuffled: bool) -> list[Row]:
    """Label captured texts, the most doubtful first, or in random order, and export them."""
    from hearth.storage.open import open_store
    from hearth_build.labelling.captured import export, read_items, save_label

    store = open_store((work / "captured").as_uri())
    items: list[Any] = [item for item in read_items(store, "reviews") if item.captured.text in answers]
    if shuffled:
        random.Random(1).shuffle(items)
    chosen = items[:count]
    for item in chosen:
        save_label(store, item, answers[item.captured.text])
    export(chosen, work / "labelled.jsonl")
    rows = [json.loads(line) for line in (work / "labelled.jsonl").read_text(encoding="utf-8").splitlines()]
    return [(row["text"], row["label"]) for row in rows]


def main() -> None:
    prepare_process()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviewed", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=2)
    arguments = parser.parse_args()
    data = Path(os.environ["HEARTH_DATA"]) / "sentiment_en"
    first, phones = read(data / "uci_yelp_labelled.txt")[:400], read(data / "uci_amazon_cells_labelled.txt")
    served, held_out = phones[:600], phones[600:]
    with tempfile.TemporaryDirectory(prefix="hearth-review-") as folder:
        work = Path(folder)
        test = write(held_out, work / "test.jsonl")
        version = train(first, work, arguments.minutes)
        print("| version | trained on | accuracy |\n|---|---|---:|")
        print(f"| {version} | {len(first)} reviews of restaurants | {evaluate(version, test, work):.3f} |", flush=True)
        capture([text for text, _ in served], work)
        answers = dict(served)
        for title, shuffled in (("the most doubtful", False), ("random", True)):
            labelled = review(answers, arguments.reviewed, work, shuffled=shuffled)
            version = train([*first, *labelled], work, arguments.minutes)
            accuracy = evaluate(version, test, work)
            row = f"the same and {len(labelled)} reviewed, {title}"
            print(f"| {version} | {row} | {accuracy:.3f} |", flush=True)
        print(f"\nAccuracy on {len(held_out)} other reviews of mobile phones.")


if __name__ == "__main__":
    main()
