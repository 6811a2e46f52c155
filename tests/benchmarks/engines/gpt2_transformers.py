"""transformers on torch: `generate` with a streamer that receives each token."""

from __future__ import annotations

import sys

from turns import Tokens, pin, serve

if __name__ == "__main__":
    folder, threads, new, text = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    pin(threads)

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    class Streamer(Tokens):
        prompt = True

        def put(self, value: torch.Tensor) -> None:
            if not self.prompt:  # the prompt comes first
                tokenizer.decode(value)
                self.record()
            self.prompt = False

        def end(self) -> None:
            pass

    def turn() -> dict[str, float]:
        streamer = Streamer()
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        mask = torch.ones_like(ids)
        network.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=new, streamer=streamer, pad_token_id=0
        )
        return streamer.figures()

    serve(turn)
