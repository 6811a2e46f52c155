from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from hearth_build.data.detections import (
    AugmentedDetections,
    Canvases,
    clip_boxes,
    combine,
    feeds,
    letterbox,
    place_images,
)
from hearth_build.recipe import Example

PREPROCESSING = letterbox(64, 64)


def example(*boxes: dict[str, Any]) -> Example:
    file = io.BytesIO()
    Image.new("RGB", (128, 64), (255, 0, 0)).save(file, "PNG")
    return Example(file.getvalue(), boxes)


def test_boxes_move_with_their_image_onto_the_canvas(tmp_path: Path) -> None:
    boxes = [
        {"box": [0, 0, 64, 32], "label": "b", "crowd": False},
        {"box": [0, 0, 128, 64], "label": "a", "crowd": True},
        {"box": [100, 40, 200, 64], "label": "a", "crowd": False},
    ]
    canvases = place_images([example(*boxes), example()], ["a", "b"], PREPROCESSING, tmp_path / "pixels.npy")
    assert canvases.boxes[0, :2].tolist() == [[0, 0, 32, 16], [50, 20, 64, 32]], "clipped to the image, which is halved"
    assert canvases.classes.tolist() == [[1, 0, -1], [-1, -1, -1]], "crowds are no boxes"
    assert canvases.pixels[0, 40, 10].tolist() == [114, 114, 114], "below the image is the fill"
    (batch,) = feeds(canvases, PREPROCESSING, 2)
    assert batch["pixels"].shape == (1, 3, 64, 64)


def test_boxes_that_lose_most_of_their_area_are_dropped() -> None:
    low, high = torch.tensor([[0.0, 0.0], [50.0, 0.0]]), torch.tensor([[10.0, 10.0], [100.0, 10.0]])
    boxes, classes = clip_boxes(low, high, torch.tensor([3, 4]), torch.zeros(2), torch.tensor([60.0, 60.0]))
    assert classes.tolist() == [3, -1]
    assert boxes[1].tolist() == [50, 0, 60, 10]


def bright_square(boxes: int = 1) -> Canvases:
    """Two canvases with a white square, of which the box is known."""
    pixels = np.full((2, 64, 64, 3), 114, np.uint8)
    pixels[:, 16:40, 24:48] = 255
    corners = np.zeros((2, boxes, 4), np.float32)
    corners[:, 0] = (24, 16, 48, 40)
    classes = np.full((2, boxes), -1, np.int64)
    classes[:, 0] = 5
    return Canvases(pixels, corners, classes)


def test_boxes_stay_around_what_they_were_around() -> None:
    batches = AugmentedDetections(bright_square(), PREPROCESSING, turns=True)
    for seed in range(8):
        torch.manual_seed(seed)
        pixels, boxes, _ = batches.transform(np.array([0, 1]))
        for canvas, (x1, y1, x2, y2) in zip(pixels, boxes[:, 0].tolist(), strict=True):
            rows, columns = torch.nonzero(canvas[0] > 70, as_tuple=True)
            edges = [columns.min().item(), rows.min().item(), columns.max().item() + 1, rows.max().item() + 1]
            assert np.abs(np.array(edges) - np.array([x1, y1, x2, y2])).max() <= 1.5


def test_batches_have_as_many_boxes_as_their_fullest_image() -> None:
    batches = AugmentedDetections(bright_square(boxes=3), PREPROCESSING, turns=False)
    assert sorted(index for indices in batches.plan(0, 1, 0) for index in indices) == [0, 1]
    torch.manual_seed(0)
    batch = batches.collate([0, 1], progress=0.9)
    assert batch["classes"].tolist() == [[5], [5]]
    assert batch["real"].all()
    assert batch["boxes"].shape == (2, 1, 4)


def test_halves_are_joined_with_their_boxes() -> None:
    canvases = bright_square()
    pixels = torch.from_numpy(canvases.pixels).permute(0, 3, 1, 2).float()
    boxes, classes = torch.from_numpy(canvases.boxes), torch.tensor([[1], [2]])
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        _, _, joined = combine(pixels, boxes, classes)
        seen.update(map(tuple, joined.tolist()))
    assert (1, -1) in seen, "an image as it is"
    assert any(other == 2 for _, other in seen), "the neighbour's box, where its half took the place"
