"""onnxruntime-genai: its own loop over a decoder's graph, token by token."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from turns import pin, serve, token_by_token

if __name__ == "__main__":
    folder, tokens, threads, new, text = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    pin(threads)

    import onnxruntime_genai
    from tokenizers import Tokenizer

    config = onnxruntime_genai.Config(folder)
    config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
    model = onnxruntime_genai.Model(config)
    tokenizer = Tokenizer.from_file(tokens)

    def generate() -> Iterator[str]:
        prompt = tokenizer.encode(text).ids
        length = len(prompt) + new
        parameters = onnxruntime_genai.GeneratorParams(model)
        parameters.set_search_options(max_length=length, min_length=length, do_sample=False)
        generator = onnxruntime_genai.Generator(model, parameters)
        generator.append_tokens(prompt)
        for _ in range(new):
            generator.generate_next_token()
            yield tokenizer.decode(generator.get_next_tokens())

    serve(lambda: token_by_token(generate()))
