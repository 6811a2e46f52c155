"""LitServe with a worker per processor: `litserve_server.py PORT`."""

from __future__ import annotations

import os
import sys

import litserve


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        from model import Classifier

        self.classify = Classifier()

    def decode_request(self, request: dict[str, str]) -> str:
        return request["inputs"]

    def predict(self, text: str) -> list[dict[str, object]]:
        return self.classify(text)

    def encode_response(self, output: list[dict[str, object]]) -> list[dict[str, object]]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=os.cpu_count())
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
