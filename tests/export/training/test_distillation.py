from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from hearth_build.data.text import pad
from hearth_build.recipe import RecipeError
from hearth_build.training import plan as plans
from hearth_build.training.distillation import distilled, halved, soft_classes, soft_edges, soft_labels
from hearth_build.training.encoders import open_encoder
from hearth_build.training.plan import Plan
from hearth_build.training.run import run
from tests.export import toy
from tests.export.training.checkpoints import save_encoder
from tests.export.training.running import train_on, write_csv
from tests.export.training.test_question_answering import squad
from tests.export.training.test_text_ranking import rows


@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet", "electra", "deberta-v2", "distilbert"])
def test_every_second_layer_stays(family: str, tmp_path: Path) -> None:
    network = open_encoder(str(save_encoder(tmp_path, family, layers=5))).load().eval()
    before = [module for module in network.modules() if isinstance(module, nn.ModuleList) and len(module) == 5]
    layers = list(before[0])
    halved(network)
    assert list(before[0]) == [layers[0], layers[2], layers[4]]
    assert network(**pad([[2, 10, 11, 3], [2, 12, 3]])).shape == (2, 4, 32)


def test_a_network_without_layers_of_its_own_is_refused() -> None:
    with pytest.raises(RecipeError, match="no layers of its own to leave out"):
        halved(nn.Sequential(nn.Linear(2, 2), nn.ModuleList([nn.Linear(2, 2)])))


def test_a_student_that_answers_as_its_teacher_has_the_least_loss() -> None:
    torch.manual_seed(0)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    batch = {"attention_mask": mask}
    taught, other = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    padded = torch.where(mask.bool()[:, :, None], taught, other)
    assert soft_classes(padded, taught, batch) == soft_classes(taught, taught, batch)  # padding does not count
    assert soft_classes(taught, taught, batch) < soft_classes(other, taught, batch)
    assert soft_classes(taught[0], taught[0], {}) < soft_classes(other[0], taught[0], {})
    assert soft_labels(taught, taught, batch) < soft_labels(other, taught, batch)
    edges, others = taught[..., :2].unbind(2), other[..., :2].unbind(2)
    assert soft_edges(edges, edges, batch) < soft_edges(others, edges, batch)


def test_the_teacher_reads_what_the_student_reads_and_learns_nothing() -> None:
    torch.manual_seed(0)
    student, teacher = nn.Linear(3, 2), nn.Sequential(nn.Dropout(0.9), nn.Linear(3, 2))
    batch = {"x": torch.randn(4, 3), "labels": torch.tensor([0, 1, 1, 0])}

    def loss(network: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return functional.cross_entropy(network(batch["x"]), batch["labels"])

    value = distilled(lambda: teacher, loss, soft_classes)(student, batch)
    expected = soft_classes(student(batch["x"]), teacher[1](batch["x"]), batch) + 0.5 * loss(student, batch)
    torch.testing.assert_close(value, expected)
    value.backward()  # type: ignore[no-untyped-call]
    assert student.weight.grad is not None
    assert teacher[1].weight.grad is None


def reviews(folder: Path) -> Path:
    generator = random.Random(1)
    lines = [["text", "label"]]
    for number in range(160):
        word = generator.choice((toy.GOOD, toy.BAD)[number % 2])
        lines.append([f"{' '.join(generator.sample(toy.FILLER, 3))} {word}", ("good", "bad")[number % 2]])
    return write_csv(folder / "reviews.csv", lines)


def named(folder: Path) -> Path:
    generator = random.Random(1)
    path = folder / "people.conll"
    sentences = [
        f"{generator.choice(toy.FILLER)}\tO\n{generator.choice(('anna', 'otto', 'mia'))}\tB-PER\nlives\tO\n"
        f"{generator.choice(toy.FILLER)}\tO\n"
        for _ in range(120)
    ]
    path.write_text("\n".join(sentences))
    return path


def pairs(folder: Path) -> Path:
    generator = random.Random(1)
    lines = [["sentence1", "sentence2", "score"]]
    for number in range(120):
        words = generator.sample(toy.FILLER, 3)
        other = words[::-1] if number % 2 else generator.sample(toy.FILLER, 3)
        lines.append([" ".join(words), " ".join(other), str(number % 2)])
    return write_csv(folder / "pairs.csv", lines)


def queries(folder: Path) -> Path:
    return write_csv(folder / "clicks.csv", [["query", "passage", "label"], *rows()])


def questions(folder: Path) -> Path:
    path = folder / "people.json"
    path.write_text(json.dumps(squad(40)))
    return path


@pytest.mark.parametrize(
    ("task", "data"),
    [
        ("text-classification", reviews),
        ("token-classification", named),
        ("feature-extraction", pairs),
        ("text-ranking", queries),
        ("question-answering", questions),
    ],
)
def test_half_of_the_layers_are_served(task: str, data: Callable[[Path], Path], tmp_path: Path) -> None:
    settings = {"epochs": 6, "learning_rate": 5e-3, "student_epochs": 6, "student_learning_rate": 5e-3}
    sizes = {}
    for size in ("", "small"):
        manifest, _ = train_on(
            task,
            data(tmp_path),
            tmp_path / f"work{size}",
            base=str(save_encoder(tmp_path / "base", layers=4)),
            settings=settings,
            precision="fp32",
            size=size,
        )
        sizes[size] = sum(file.size for file in manifest.files if file.path.startswith("model."))
    card = (tmp_path / "worksmall/artifact/report.md").read_text()
    assert "| with all layers |" in card
    recipe = plans.load(tmp_path / "worksmall/recipe.yaml")
    assert recipe.size == "small"
    assert settings == recipe.settings
    if recipe.model.startswith("distilled"):
        assert "distilled to half of its layers" in manifest.description
        assert sizes["small"] < 0.7 * sizes[""]
    else:  # a simpler model was as good
        assert (task, recipe.model) == ("text-classification", "n-grams, logistic regression")


@pytest.mark.parametrize(
    ("task", "message"),
    [("text-classification", "no encoder for these texts"), ("tabular-classification", "no smaller network")],
)
def test_what_has_no_smaller_network_is_refused(task: str, message: str, tmp_path: Path) -> None:
    rows = [["text", "label"], *([f"这个电影{number}号真的很糟糕", f"{number % 2}"] for number in range(60))]
    data = write_csv(tmp_path / "a.csv", rows)
    with pytest.raises(RecipeError, match=message):
        run(Plan(task=task, name="tiny", data=str(data), size="small"), tmp_path / "work", "")  # type: ignore[arg-type]
