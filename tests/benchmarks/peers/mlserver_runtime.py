"""MLServer: the protocol's text in, label scores out; its model runs on threads of their own."""

from __future__ import annotations

import asyncio

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Runtime(MLModel):
    async def load(self) -> bool:
        from model import Classifier

        self.classify = Classifier()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        import numpy as np

        (text,) = StringCodec.decode_input(payload.inputs[0])
        predictions = await asyncio.to_thread(self.classify, text)
        scores = np.array([row["score"] for row in predictions])
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", scores)])
