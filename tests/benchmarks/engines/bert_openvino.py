"""OpenVINO: an ONNX file compiled for latency."""

from __future__ import annotations

import sys

from turns import pin, repeated, serve

if __name__ == "__main__":
    graph, tokens, threads, texts = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
    pin(threads)

    import numpy as np
    import openvino
    from tokenizers import Tokenizer

    how = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    model = openvino.Core().compile_model(graph, "CPU", how)
    tokenizer = Tokenizer.from_file(tokens)
    tokenizer.enable_padding()

    def answer() -> np.ndarray:
        encodings = tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings])
        mask = np.array([encoding.attention_mask for encoding in encodings])
        logits = model({"input_ids": ids, "attention_mask": mask})[0]
        raised = np.exp(logits - logits.max(1, keepdims=True))
        return raised / raised.sum(1, keepdims=True)

    serve(lambda: repeated(answer))
