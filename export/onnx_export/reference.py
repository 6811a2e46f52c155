"""A torch network in place of a loaded artifact: what the task's `predict` needs of a model, beside its sessions."""

from __future__ import annotations

from hearth.models.model import Model


class ReferenceModel:
    """Everything but the sessions is that of the artifact `served`."""

    def __init__(self, served: Model) -> None:
        self.manifest, self.resources, self.input_names = served.manifest, served.resources, served.input_names
        self.preprocessing, self.head = served.preprocessing, served.head
        if hasattr(served, "tokenizer"):
            self.tokenizer = served.tokenizer
