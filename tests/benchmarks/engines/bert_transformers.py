"""transformers on torch: model and tokenizer of the checkpoint, fp32 or torch's dynamic int8."""

from __future__ import annotations

import sys

from turns import pin, repeated, serve

if __name__ == "__main__":
    folder, threads, kind, texts = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
    pin(threads)

    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.set_num_threads(threads)
    network = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    if kind == "int8":
        network = torch.ao.quantization.quantize_dynamic(network, {torch.nn.Linear}, dtype=torch.qint8)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = "[PAD]"

    def classify() -> list[list[float]]:
        with torch.inference_mode():
            return network(**tokenizer(texts, padding=True, return_tensors="pt")).logits.softmax(1).tolist()

    serve(lambda: repeated(classify))
