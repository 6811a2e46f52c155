"""OpenVINO: an ONNX file compiled for latency, for pictures one at a time."""

from __future__ import annotations

import sys

from turns import pin, repeated, serve

if __name__ == "__main__":
    graph, kind, threads, picture = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    pin(threads)

    import numpy as np
    import openvino
    from pictures import predictor

    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    core = openvino.Core()
    network = core.read_model(graph)
    size = 224 if kind == "labels" else 640
    network.reshape([1, 3, size, size])
    model = core.compile_model(network, "CPU", config)

    def run(pixels: np.ndarray) -> np.ndarray:
        output: np.ndarray = model(pixels)[0]
        return output

    predict = predictor(kind, picture, run)
    serve(lambda: repeated(predict))
