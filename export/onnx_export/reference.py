"""A torch network in place of a loaded artifact: the attributes of a model that a task's `predict` uses."""

from __future__ import annotations

from hearth.models.model import Model


class ReferenceModel:
    """A model that takes everything but its sessions from the artifact `served`."""

    def __init__(self, served: Model) -> None:
        self.manifest, self.resources, self.input_names = served.manifest, served.resources, served.input_names
        self.preprocessing, self.head = served.preprocessing, served.head
        self.unknown_token = self.known_tokens = self.centre = None  # what a reference sees is not counted
        if hasattr(served, "tokenizer"):
            self.tokenizer = served.tokenizer
