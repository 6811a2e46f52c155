from __future__ import annotations

import pytest
import torch

from hearth_build.networks import yolox, yolox_loss


def test_cells_are_assigned_to_the_boxes_around_them() -> None:
    cells, steps = yolox.grid(64, 64)
    centres = (cells + 0.5) * steps
    boxes = torch.tensor([[[4.0, 4.0, 30.0, 30.0], [34.0, 34.0, 62.0, 60.0], [0.0, 0.0, 0.0, 0.0]]])
    target = yolox_loss.GroundTruth(boxes, torch.tensor([[1, 0, 0]]), torch.tensor([[True, True, False]]))
    predictions = torch.cat([centres - 12, centres + 12], 1)[None]
    assigned = yolox_loss.assign(predictions, torch.full((1, len(cells), 2), 0.1), centres, target)
    assert 0 < int(assigned.positive.sum()) <= 2 * yolox_loss.CELLS_PER_BOX
    for cell in assigned.positive[0].nonzero()[:, 0].tolist():
        low, high = assigned.boxes[0, cell, :2], assigned.boxes[0, cell, 2:]
        assert ((centres[cell] > low) & (centres[cell] < high)).all()
        assert assigned.scores[0, cell].argmax() == (1 if low[0] == 4 else 0)
    assert float(assigned.scores[0, :, 1].max()) == pytest.approx(
        float(yolox_loss.iou(boxes[0, 0], predictions[0]).max()), abs=0.05
    )


def test_the_loss_is_lowest_for_the_right_boxes() -> None:
    cells, steps = yolox.grid(64, 64)
    centres = (cells + 0.5) * steps
    box = torch.tensor([8.0, 8.0, 40.0, 40.0])
    target = yolox_loss.GroundTruth(box.view(1, 1, 4), torch.tensor([[0]]), torch.tensor([[True]]))
    inside = ((centres > 8) & (centres < 40)).all(1)
    boxes = torch.where(inside[:, None], box, torch.zeros(4))[None]
    logits = torch.where(inside[:, None], torch.tensor([6.0, -6.0]), torch.tensor([-6.0, -6.0]))[None]
    lowest = float(yolox_loss.loss(boxes, logits, centres, target))
    assert lowest < float(yolox_loss.loss(boxes, -logits, centres, target))
    assert lowest < float(yolox_loss.loss(boxes + torch.tensor([0.0, 0.0, 9.0, 0.0]), logits, centres, target))
