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

    how = xllamacpp.CommonParams()
    how.model.path = path
    how.n_ctx, how.n_parallel, how.n_gpu_layers = 1024, 1, 0
    how.cpuparams.n_threads = how.cpuparams_batch.n_threads = threads
    how.cache_prompt, how.cache_ram_mib, how.verbosity = False, 0, 0
    server = xllamacpp.Server(how)
    tokenizer = Tokenizer.from_file(tokens)

    def turn() -> dict[str, float]:
        watch = Tokens()
        asked = {
            "prompt": tokenizer.encode(text).ids,
            "n_predict": new,
            "stream": True,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": False,
        }

        def told(piece: dict[str, Any] | list[dict[str, Any]]) -> None:
            for one in piece if isinstance(piece, list) else [piece]:
                if one["choices"][0]["finish_reason"] is None:  # the last piece has no token
                    watch.came()

        server.handle_completions(asked, told)
        assert len(watch.times) == new, len(watch.times)
        return watch.figures()

    serve(turn)
