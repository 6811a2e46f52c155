from __future__ import annotations

import torch
import transformers

from hearth_build.onnx_export.encoder_decoder import DecoderStep, Encoder, shape_of, tensor_names

CONFIG = transformers.T5Config(
    vocab_size=30,
    d_model=16,
    d_kv=4,
    d_ff=32,
    num_layers=2,
    num_decoder_layers=3,
    num_heads=2,
    decoder_start_token_id=0,
)


def test_decoding_step_by_step_gives_the_networks_logits() -> None:
    torch.manual_seed(0)
    network = transformers.T5ForConditionalGeneration(CONFIG).eval()
    layers, heads, size = shape_of(network)
    assert (layers, heads, size) == (3, 2, 4)
    ids, mask = torch.randint(2, 30, (2, 5)), torch.ones(2, 5, dtype=torch.int64)
    mask[1, 3:] = 0
    tokens = torch.randint(2, 30, (6, 4))  # three beams of each source
    past = [torch.zeros(6, heads, 0, size)] * 2 * layers
    with torch.no_grad():
        cross = Encoder(network)(ids, mask)
        step = DecoderStep(network, layers)
        for position in range(4):
            logits, *past = step(tokens[:, position : position + 1], mask, *cross, *past)
        expected = network(
            input_ids=ids.repeat_interleave(3, 0),
            attention_mask=mask.repeat_interleave(3, 0),
            decoder_input_ids=tokens,
        ).logits[:, -1]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_tensors_are_named_layer_by_layer() -> None:
    assert tensor_names("past", 2) == ["past_key_0", "past_value_0", "past_key_1", "past_value_1"]
