"""CTranslate2: a converted decoder, token by token."""

from __future__ import annotations

import sys

from turns import pin, serve, token_by_token

if __name__ == "__main__":
    folder, tokens, threads, kind = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    new, text = int(sys.argv[5]), sys.argv[6]
    pin(threads)

    import ctranslate2
    from tokenizers import Tokenizer

    generator = ctranslate2.Generator(folder, device="cpu", compute_type=kind, intra_threads=threads, inter_threads=1)
    tokenizer = Tokenizer.from_file(tokens)

    def turn() -> dict[str, float]:
        prompt = tokenizer.encode(text).tokens
        steps = generator.generate_tokens(prompt, max_length=len(prompt) + new, min_length=len(prompt) + new)
        return token_by_token(tokenizer.decode([step.token_id]) for step in steps)

    serve(turn)
