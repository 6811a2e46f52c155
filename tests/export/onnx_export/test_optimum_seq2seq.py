"""Encoder-decoders from graphs in optimum's layout write the tokens that transformers writes, without torch's weights.

optimum 2.3 with transformers 4.57 exports these graphs; here torch's exporter writes the same inputs and outputs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

torch = pytest.importorskip("torch", reason="the export extra (torch) is not installed")
transformers = pytest.importorskip("transformers")

from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from transformers import DynamicCache, EncoderDecoderCache  # noqa: E402
from transformers.modeling_outputs import BaseModelOutput  # noqa: E402

from hearth.models.model import Model  # noqa: E402
from hearth.tasks import seq2seq  # noqa: E402
from hearth_build.importing import read  # noqa: E402
from hearth_build.importing.base import ImportOptions  # noqa: E402
from hearth_build.onnx_export.encoder_decoder import filled_cache  # noqa: E402
from hearth_build.onnx_export.export import exported  # noqa: E402
from hearth_build.pipeline.precision import build_import  # noqa: E402
from hearth_build.recipe import RecipeError  # noqa: E402

LAYERS, HEADS, SIZE, V = 2, 4, 8, 60
WORDS = ["</s>", "<pad>", "<unk>", *(f"w{index}" for index in range(V - 3))]
PARTS = [f"{layer}.{{}}.{part}" for layer in range(LAYERS) for part in ("key", "value")]
SELF, CROSS = [part.format("decoder") for part in PARTS], [part.format("encoder") for part in PARTS]


class EncoderOnly(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states: Tensor = self.model.get_encoder()(input_ids=input_ids, attention_mask=attention_mask)[0]
        return states


class FirstStep(EncoderOnly):
    def forward(  # type: ignore[override]
        self, input_ids: Tensor, encoder_hidden_states: Tensor, encoder_attention_mask: Tensor
    ) -> list[Tensor]:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        logits = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoder_hidden_states),
            attention_mask=encoder_attention_mask,
            decoder_input_ids=input_ids,
            cache=cache,
            use_cache=True,
        ).logits
        layers = [*cache.self_attention_cache.layers, *cache.cross_attention_cache.layers]
        return [logits, *(tensor for layer in layers for tensor in (layer.keys, layer.values))]


class NextStep(EncoderOnly):
    def forward(  # type: ignore[override]
        self, input_ids: Tensor, encoder_attention_mask: Tensor, *past: Tensor
    ) -> list[Tensor]:
        caches = EncoderDecoderCache(filled_cache(past[: 2 * LAYERS]), filled_cache(past[2 * LAYERS :]))
        caches.is_updated = dict.fromkeys(range(LAYERS), True)
        states = past[-1].new_zeros(encoder_attention_mask.shape[0], encoder_attention_mask.shape[1], 1)
        logits = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=encoder_attention_mask,
            decoder_input_ids=input_ids,
            cache=caches,
            use_cache=True,
        ).logits
        layers = caches.self_attention_cache.layers
        return [logits, *(tensor for layer in layers for tensor in (layer.keys, layer.values))]


def merge(first: Path, following: Path, target: Path) -> None:
    """The two decoders as the branches of an If, as optimum merges them."""
    without, with_past = onnx.load(first), onnx.load(following)
    names = ["logits", *(f"present.{part}" for part in (*SELF, *CROSS))]
    branches, weights = {}, []
    for name, model, prefix in (("else_branch", without, "e."), ("then_branch", with_past, "t.")):
        inputs = {value.name for value in model.graph.input}
        nodes = []
        for node in model.graph.node:
            for edges in (node.input, node.output):
                for index, edge in enumerate(edges):
                    edges[index] = edge if edge in inputs or not edge else prefix + edge
            nodes.append(node)
        for tensor in model.graph.initializer:
            tensor.name = prefix + tensor.name
            weights.append(tensor)
        given = {value.name for value in model.graph.output}
        for output in names:
            if output not in given:  # with past, cross-attention is what it was
                source = output.replace("present", "past_key_values")
                nodes.append(helper.make_node("Identity", [source], [prefix + output]))
        outputs = [helper.make_tensor_value_info(prefix + output, TensorProto.FLOAT, None) for output in names]
        branches[name] = helper.make_graph(nodes, name, [], outputs)
    flag = helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1])
    states = [value for value in without.graph.input if value.name == "encoder_hidden_states"]
    choice = helper.make_node("If", ["use_cache_branch"], names, **branches)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    graph = helper.make_graph([choice], "merged", [*with_past.graph.input, *states, flag], outputs, weights)
    merged = helper.make_model(graph, opset_imports=with_past.opset_import, ir_version=with_past.ir_version)
    merged.functions.extend([*without.functions, *with_past.functions])
    onnx.save(merged, target)
    first.unlink()
    following.unlink()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder of a small random BART as optimum exports it, and transformers' model."""
    folder = tmp_path_factory.mktemp("bart")
    torch.manual_seed(0)
    config = transformers.BartConfig(
        vocab_size=V,
        d_model=HEADS * SIZE,
        encoder_layers=1,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_position_embeddings=40,
        init_std=0.3,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
        forced_eos_token_id=None,
        architectures=["BartForConditionalGeneration"],
    )
    model = transformers.BartForConditionalGeneration(config).eval()
    config.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    ids, mask = torch.full((2, 5), 7), torch.ones(2, 5, dtype=torch.int64)
    source = {0: "batch", 1: "source"}
    write_encoder = exported(lambda: {"input_ids": ids, "attention_mask": mask}, source, ["last_hidden_state"])
    write_encoder(EncoderOnly(model), folder / "encoder_model.onnx")
    states = {"input_ids": ids[:, :2], "encoder_hidden_states": torch.zeros(2, 5, HEADS * SIZE)}
    write_first = exported(
        lambda: {**states, "encoder_attention_mask": mask},
        {"input_ids": {0: "batch", 1: "length"}, "encoder_hidden_states": source, "encoder_attention_mask": source},
        ["logits", *(f"present.{part}" for part in (*SELF, *CROSS))],
    )
    write_first(FirstStep(model), folder / "decoder_model.onnx")
    past = {f"past_key_values.{part}": torch.zeros(2, HEADS, 4, SIZE) for part in SELF}
    cross = {f"past_key_values.{part}": torch.zeros(2, HEADS, 5, SIZE) for part in CROSS}
    write_next = exported(
        lambda: {"input_ids": ids[:, :1], "encoder_attention_mask": mask, **past, **cross},
        {
            "input_ids": {0: "batch"},
            "encoder_attention_mask": source,
            **{name: {0: "batch", 2: "past"} for name in past},
            **{name: {0: "batch", 2: "source"} for name in cross},
        },
        ["logits", *(f"present.{part}" for part in SELF)],
    )
    write_next(NextStep(model), folder / "decoder_with_past_model.onnx")
    return folder, model


@pytest.mark.slow
@pytest.mark.parametrize("form", ["separate", "merged"])
def test_optimums_graphs_write_what_transformers_writes(saved: tuple[Path, Any], tmp_path: Path, form: str) -> None:
    folder, network = saved
    if form == "merged":
        decoders = (folder / "decoder_model.onnx", folder / "decoder_with_past_model.onnx")
        merge(*decoders, folder / "decoder_model_merged.onnx")
    imported = read(str(folder), ImportOptions(name="bart", precision="fp32"))
    assert imported.recipe.task == "text2text-generation"
    assert imported.recipe.network is None
    manifest, _ = build_import(imported.recipe, imported.quantizers, tmp_path, "hearth import", "fp32")
    model = Model(manifest, tmp_path / "artifact", threads=1)
    ids = torch.tensor([[5, 9, 30, 12], [40, 8, 1, 1]])
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    for beams in (1, 3):
        parameters = seq2seq.Parameters(num_beams=beams, max_new_tokens=8)
        feeds = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        tokens = seq2seq.generate(model, parameters, feeds)
        with torch.no_grad():
            expected = network.generate(
                input_ids=ids, attention_mask=mask, num_beams=beams, max_new_tokens=8, do_sample=False
            )[:, 1:].tolist()
        assert tokens == [row[: row.index(0)] if 0 in row else row for row in expected]


def test_a_folder_without_one_of_the_graphs_says_which_it_needs(tmp_path: Path) -> None:
    config = {"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True, "vocab_size": V}
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "t5"}))
    (tmp_path / "tokenizer.json").write_text(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str())
    (tmp_path / "encoder_model.onnx").write_bytes(b"")
    with pytest.raises(RecipeError, match=r"decoder_model_merged\.onnx"):
        read(str(tmp_path), ImportOptions())
