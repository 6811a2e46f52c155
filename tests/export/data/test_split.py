from __future__ import annotations

import numpy as np
import pytest

from hearth_build.data.datasets import DataError
from hearth_build.data.split import by_age, duplicate_images, duplicate_texts, split
from hearth_build.recipe import Example

SENTENCE = "The room on the third floor was large and bright, and breakfast was served until eleven. Number {}."


def numbered(count: int, **fields: str) -> list[Example]:
    return [Example(f"text number {number} of many", "ab"[number % 2], f"row {number}") for number in range(count)]


def test_near_duplicates_stay_on_one_side() -> None:
    texts = [f"{SENTENCE.format(number // 3)}{'!' * (number % 3)} Extra {number % 3}" for number in range(300)]
    examples = [Example(text, "ab"[number % 2]) for number, text in enumerate(texts)]
    duplicates = duplicate_texts(["A completely different text.", "a completely, different text", *texts[:3]])
    assert duplicates.exact == 1
    assert duplicates.near >= 2
    clusters = [number // 3 for number in range(300)]
    parts = split(examples, clusters, seed=1)
    sides = [{texts.index(e.inputs) // 3 for e in part} for part in (parts.train, parts.validation, parts.test)]
    assert not sides[0] & sides[1]
    assert not sides[1] & sides[2]
    assert not sides[0] & sides[2]


def test_the_side_depends_on_the_content_and_not_on_the_order() -> None:
    examples = numbered(200)
    first = split(examples, list(range(200)), 1)
    second = split(examples[::-1], list(range(200)), 1)
    assert {e.inputs for e in first.test} == {e.inputs for e in second.test}
    assert {e.inputs for e in first.test} != {e.inputs for e in split(examples, list(range(200)), 2).test}
    assert {e.expected for e in first.validation} == {"a", "b"}


def test_groups_are_not_parted() -> None:
    examples = [Example(f"text {n}", "ab"[n % 2], group=f"person {n // 10}") for n in range(300)]
    parts = split(examples, list(range(300)), 1)
    groups = [{example.group for example in part} for part in (parts.train, parts.validation, parts.test)]
    assert not groups[0] & groups[1]
    assert not groups[1] & groups[2]
    assert not groups[0] & groups[2]


def test_the_latest_are_held_out() -> None:
    examples = [Example(f"text {n}", "a", time=f"2024-01-{n:02}") for n in range(1, 31)]
    parts = split(examples, list(range(30)), 1)
    assert max(e.time for e in parts.train) < min(e.time for e in parts.validation)
    assert max(e.time for e in parts.validation) < min(e.time for e in parts.test)


def test_training_examples_that_are_in_the_users_test_data_are_left_out() -> None:
    examples, test = numbered(100), numbered(3)
    parts = split(examples, list(range(100)), 1, (test, [0, 1, 2]))
    assert len(parts.train) + len(parts.validation) == 97
    assert parts.test == test
    assert "3 training examples are also in the test data" in parts.notes[0]


def test_recompressed_images_are_near_duplicates() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (4, 16, 16, 3), np.uint8)
    images[3] = np.clip(images[0].astype(int) + random.integers(-2, 3, images[0].shape), 0, 255)
    duplicates = duplicate_images(images)
    assert duplicates.clusters[3] == duplicates.clusters[0]
    assert len(set(duplicates.clusters)) == 3


@pytest.mark.parametrize(
    "times",
    [
        ["9", "10", "11.5"],
        ["2023-12-31 23:59", "2024-01-01", "2024-02-01T00:00Z"],
        ["31.01.2023", "1.2.2023", "02.01.2024"],
        ["31/01/2023", "01/02/2023", "02/01/2024"],
        ["1/31/2023 12:30 AM", "1/31/2023 1:00 AM", "1/31/2023 12:00 PM", "02/01/2023", "01/02/2024"],
    ],
)
def test_times_are_put_in_order_as_they_are_written(times: list[str]) -> None:
    examples = [Example("text", "a", time=time) for time in reversed(times)]
    assert by_age(examples) == list(reversed(range(len(times))))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["01/02/2024", "03/04/2024"], "Is 01/02/2024 a day and a month, or a month and a day"),
        (["Jan 5", "Feb 6"], "'Jan 5' cannot be put in order"),
        (["2024-1-5", "2024-10-05"], "'2024-1-5' cannot be put in order"),
        (["2024-01-05", ""], "1 examples have no time"),
    ],
)
def test_times_whose_order_is_not_known_are_refused(times: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        by_age([Example("text", "a", time=time) for time in times])
