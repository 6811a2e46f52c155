"""OpenVINO: an ONNX file compiled for latency."""

from __future__ import annotations

import sys

from turns import pin, repeated, serve

if __name__ == "__main__":
    graph, tokens, threads, texts = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    pin(threads)

    import numpy as np
    import openvino
    from texts import classifier

    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    model = openvino.Core().compile_model(graph, "CPU", config)

    def run(feeds: dict[str, np.ndarray]) -> np.ndarray:
        logits: np.ndarray = model(feeds)[0]
        return logits

    classify = classifier(tokens, texts, run)
    serve(lambda: repeated(classify))
