"""ONNX Runtime: an ONNX file by its path with the session's own optimisation."""

from __future__ import annotations

import sys

from turns import pin, repeated, serve

if __name__ == "__main__":
    graph, tokens, threads, texts = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    pin(threads)

    import numpy as np
    import onnxruntime
    from texts import classifier

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(feeds: dict[str, np.ndarray]) -> np.ndarray:
        logits: np.ndarray = session.run(["logits"], feeds)[0]
        return logits

    classify = classifier(tokens, texts, run)
    serve(lambda: repeated(classify))
