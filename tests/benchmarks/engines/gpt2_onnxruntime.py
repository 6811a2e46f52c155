"""ONNX Runtime: optimum's export of a decoder; keys and values go in and out as NumPy arrays, copied for each token."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from turns import pin, serve, token_by_token

if __name__ == "__main__":
    graph, tokens, threads, new, text = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    pin(threads)

    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(tokens)
    pasts = [value for value in session.get_inputs() if value.name.startswith("past")]
    input_names = {value.name for value in session.get_inputs()}

    def generate() -> Iterator[str]:
        ids = np.array([tokenizer.encode(text).ids])
        cache = [np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32) for value in pasts]
        length = 0
        for _ in range(new):
            length += ids.shape[1]
            feeds = {
                "input_ids": ids,
                "attention_mask": np.ones((1, length), np.int64),
                "position_ids": np.arange(length - ids.shape[1], length)[None],
            }
            caches = dict(zip([value.name for value in pasts], cache, strict=True))
            logits, *cache = session.run(
                None, {name: value for name, value in feeds.items() if name in input_names} | caches
            )
            ids = logits[:, -1:].argmax(2)
            yield tokenizer.decode(ids[0])

    serve(lambda: token_by_token(generate()))
