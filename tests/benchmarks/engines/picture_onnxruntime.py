"""ONNX Runtime: an ONNX file by its path with the session's own optimisation."""

from __future__ import annotations

import sys

from turns import pin, repeated, serve

if __name__ == "__main__":
    graph, kind, threads, picture = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    pin(threads)

    import numpy as np
    import onnxruntime
    from pictures import predictor

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(pixels: np.ndarray) -> np.ndarray:
        output: np.ndarray = session.run(None, {name: pixels})[0]
        return output

    predict = predictor(kind, picture, run)
    serve(lambda: repeated(predict))
