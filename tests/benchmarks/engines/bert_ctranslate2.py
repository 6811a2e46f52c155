"""CTranslate2: the encoder of a converted checkpoint, with the pooler; NumPy multiplies the classifier's last
matrix."""

from __future__ import annotations

import sys

from turns import pin, repeated, serve

if __name__ == "__main__":
    folder, tokens, threads, kind, texts = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5:]
    pin(threads)

    import ctranslate2
    import numpy as np
    from tokenizers import Tokenizer

    encoder = ctranslate2.Encoder(folder, device="cpu", compute_type=kind, intra_threads=threads, inter_threads=1)
    tokenizer = Tokenizer.from_file(tokens)
    matrix = np.zeros((768, 2), np.float32)

    def classify() -> np.ndarray:
        ids = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
        pooled = np.array(encoder.forward_batch(ids).pooler_output)
        exponents = np.exp(pooled @ matrix)
        return exponents / exponents.sum(1, keepdims=True)

    serve(lambda: repeated(classify))
