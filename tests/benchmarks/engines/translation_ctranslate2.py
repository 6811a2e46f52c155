"""CTranslate2: a converted Marian model."""

from __future__ import annotations

import sys

from turns import pin, repeated, serve

if __name__ == "__main__":
    folder, tokens, kind = sys.argv[1:4]
    threads, new, beams, texts = *map(int, sys.argv[4:7]), sys.argv[7:]
    pin(threads)

    import ctranslate2
    from tokenizers import Tokenizer

    translator = ctranslate2.Translator(folder, device="cpu", compute_type=kind, intra_threads=threads, inter_threads=1)
    tokenizer = Tokenizer.from_file(tokens)

    def translate() -> list[str]:
        sources = [encoding.tokens for encoding in tokenizer.encode_batch(texts)]
        results = translator.translate_batch(sources, beam_size=beams, max_decoding_length=new)
        ids = [[tokenizer.token_to_id(token) for token in result.hypotheses[0]] for result in results]
        return tokenizer.decode_batch(ids)

    serve(lambda: repeated(translate))
