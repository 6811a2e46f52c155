"""BentoML with a worker per processor: served as `bentoml serve bentoml_server:Classify`."""

from __future__ import annotations

import os

import bentoml


@bentoml.service(workers=os.cpu_count(), traffic={"timeout": 60})
class Classify:
    def __init__(self) -> None:
        from model import Classifier

        self.classify = Classifier()

    @bentoml.api
    def models(self, inputs: str) -> list[dict[str, object]]:
        return self.classify(inputs)
