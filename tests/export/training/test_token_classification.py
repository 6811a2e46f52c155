from __future__ import annotations

import random
from pathlib import Path

from tests.export import toy
from tests.export.training.running import train_on


def test_entities(tmp_path: Path) -> None:
    generator = random.Random(1)
    lines = []
    for _ in range(60):
        for _ in range(generator.randint(1, 3)):
            lines += [f"{word} O" for word in generator.choices(toy.FILLER, k=3)]
            lines += [f"{generator.choice(('Anna', 'Otto', 'Mia'))} B-PER", f"B{generator.randint(1, 99)}rg I-PER"]
        lines.append("")
    (tmp_path / "names.conll").write_text("\n".join(lines))
    manifest, answer = train_on(
        "token-classification", tmp_path / "names.conll", tmp_path / "work", settings={"epochs": 6}
    )
    assert manifest.labels == ("O", "B-PER", "I-PER")
    assert manifest.metrics.served["F1 (test)"] > 0.5
    assert "PER" in answer("wordc wordd Anna B7rg worda")
