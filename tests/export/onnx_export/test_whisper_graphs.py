from __future__ import annotations

import torch
import transformers

from hearth_build.onnx_export.whisper_graphs import FRAMES, Decoder, Encoder, tensor_names

CONFIG = transformers.WhisperConfig(
    vocab_size=40,
    num_mel_bins=8,
    d_model=16,
    encoder_layers=1,
    decoder_layers=2,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    encoder_ffn_dim=16,
    decoder_ffn_dim=16,
    max_target_positions=12,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    decoder_start_token_id=3,
)


def test_tokens_that_are_read_in_parts_have_the_networks_logits() -> None:
    torch.manual_seed(0)
    network = transformers.WhisperForConditionalGeneration(CONFIG).eval()
    features, tokens = torch.randn(1, 8, FRAMES), torch.tensor([[3, 7, 9, 11]])
    past = [torch.zeros(1, 2, 0, 8)] * 4
    with torch.no_grad():
        cross = Encoder(network)(features)
        decoder = Decoder(network)
        for part in (tokens[:, :2], tokens[:, 2:3], tokens[:, 3:]):
            logits, *past = decoder(part, *cross, *past)
        expected = network(input_features=features, decoder_input_ids=tokens).logits[:, -1]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
    assert [tuple(tensor.shape[2:]) for tensor in cross[:2]] == [(8, 1500), (1500, 8)], "keys are transposed once"
    assert len(tensor_names("past", 2)) == len(past)
