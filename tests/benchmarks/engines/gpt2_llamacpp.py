"""llama.cpp: its server's completions without HTTP (xllamacpp), token by token."""

from __future__ import annotations

import sys
from typing import Any

from turns import Tokens, pin, serve

if __name__ == "__main__":
    path, tokens, threads, new, text = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    pin(threads)

    import xllamacpp
    from tokenizers import Tokenizer

    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx, parameters.n_parallel, parameters.n_gpu_layers = 1024, 1, 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.cache_prompt, parameters.cache_ram_mib, parameters.verbosity = False, 0, 0
    server = xllamacpp.Server(parameters)
    tokenizer = Tokenizer.from_file(tokens)

    def turn() -> dict[str, float]:
        clock = Tokens()
        request = {
            "prompt": tokenizer.encode(text).ids,
            "n_predict": new,
            "stream": True,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
        }

        def on_completion(chunk: dict[str, Any] | list[dict[str, Any]]) -> None:
            for completion in chunk if isinstance(chunk, list) else [chunk]:
                if completion["choices"][0]["finish_reason"] is None:  # the last piece has no token
                    clock.record()

        server.handle_completions(request, on_completion)
        assert len(clock.times) == new, len(clock.times)
        return clock.figures()

    serve(turn)
