"""transformers on torch: `generate` of a Marian model."""

from __future__ import annotations

import sys

from turns import pin, repeated, serve

if __name__ == "__main__":
    folder, tokens, threads, new, beams, texts = *sys.argv[1:3], *map(int, sys.argv[3:6]), sys.argv[6:]
    pin(threads)

    import torch
    from tokenizers import Tokenizer
    from transformers import MarianMTModel

    torch.set_num_threads(threads)
    network = MarianMTModel.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(tokens)
    tokenizer.enable_padding(pad_id=network.config.pad_token_id)

    def translate() -> list[str]:
        encodings = tokenizer.encode_batch(texts)
        ids = torch.tensor([encoding.ids for encoding in encodings])
        mask = torch.tensor([encoding.attention_mask for encoding in encodings])
        with torch.inference_mode():
            generated = network.generate(ids, attention_mask=mask, num_beams=beams, do_sample=False, max_new_tokens=new)
        return tokenizer.decode_batch(generated.tolist())

    serve(lambda: repeated(translate))
