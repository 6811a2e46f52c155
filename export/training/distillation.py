"""`--size small`: a network with half of the layers learns from the one that was fine-tuned.

See Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network"; and Sanh et al. 2019, "DistilBERT",
for a student that begins with layers of its teacher.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hearth_build.data.text import softened_loss
from hearth_build.recipe import Batch, RecipeError

HARD = 0.5
"""Weight of the task's own loss beside that of the teacher's outputs."""
Loss = Callable[[nn.Module, Batch], Tensor]
SoftLoss = Callable[[Any, Any, Batch], Tensor]
"""Of a student's outputs, its teacher's, and the batch that both read."""


def halved(network: nn.Module) -> nn.Module:
    """Leave out every second layer of a Transformer, in place; the first and the last one stay. Raises RecipeError if
    it has no layers to leave out."""
    stacks = [module for module in network.modules() if isinstance(module, nn.ModuleList)]
    layers = max((stack for stack in stacks if len(set(map(type, stack))) == 1), key=len, default=nn.ModuleList())
    if len(layers) < 2:
        raise RecipeError(
            "--size small leaves out every second layer, but this encoder has no layers of its own to leave out. "
            "Train without --size, or start --from another encoder."
        )
    kept = [layers[int(index)] for index in np.linspace(0, len(layers) - 1, (len(layers) + 1) // 2).round()]
    del layers[:]
    layers.extend(kept)
    return network


def distilled(teacher: Callable[[], nn.Module], loss: Loss, soft: SoftLoss) -> Loss:
    """The loss of a student: `soft`, of its outputs and those of the teacher for the same inputs, plus half of the
    task's own."""
    loaded: list[nn.Module] = []

    def student_loss(network: nn.Module, batch: Batch) -> Tensor:
        if not loaded:
            loaded.append(teacher().eval())
        calls: list[tuple[Any, Any, Any]] = []
        hook = network.register_forward_hook(
            lambda module, arguments, named, outputs: calls.append((arguments, named, outputs)), with_kwargs=True
        )
        try:
            hard = loss(network, batch)
        finally:
            hook.remove()
        ((arguments, named, outputs),) = calls
        with torch.no_grad():
            taught = loaded[0](*arguments, **named)
        return soft(outputs, taught, batch) + HARD * hard

    return student_loss


def soft_classes(outputs: Tensor, taught: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy with the teacher's softened classes, the last axis of logits (..., classes). Of logits for each
    token, padding does not count."""
    if outputs.ndim == 3:
        inside = batch["attention_mask"].bool()
        outputs, taught = outputs[inside], taught[inside]
    return softened_loss(outputs, taught)


def soft_labels(outputs: Tensor, taught: Tensor, batch: Batch) -> Tensor:
    """Binary cross-entropy with the teacher's probabilities; logits (batch, labels), each of them on its own."""
    return functional.binary_cross_entropy_with_logits(outputs, taught.sigmoid())


def soft_edges(outputs: tuple[Tensor, Tensor], taught: tuple[Tensor, Tensor], batch: Batch) -> Tensor:
    """Cross-entropy with the teacher's softened first and last tokens, each (batch, sequence), without padding."""
    padding = batch["attention_mask"] == 0
    parts = [
        soft_classes(own.masked_fill(padding, -1e4), other.masked_fill(padding, -1e4), batch)
        for own, other in zip(outputs, taught, strict=True)
    ]
    return torch.stack(parts).mean()


def layers_of(work: Path, network: Callable[[Path], nn.Module], weights: dict[str, Tensor]) -> nn.Module:
    """Half of the layers of a network with these weights."""
    whole = network(work)
    whole.load_state_dict(weights)
    return halved(whole)
