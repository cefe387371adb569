"""Sentence encoders of a few kilobytes, as folders."""

import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.semantic.export import IR_VERSION, OPSET, Bert

WORDS = "how do i reset my password what is the capital of france germany can change a".split()  # noqa: SIM905 - easier to read
VOCABULARY = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
FIRST = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
WIDTH = 8


def tokenizer():
    """Splits at spaces; padding and truncation as published files have them, to be undone."""
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_padding(length=64)
    made.enable_truncation(4)
    return made


def table(seed=1):
    return np.random.default_rng(seed).normal(size=(len(VOCABULARY), WIDTH)).astype(np.float32)


def lookup(values, *, inputs=INPUTS, output="last_hidden_state", dtype=TensorProto.INT64, rank=3):
    """A graph that only looks its words up in ``values``."""
    last = "hidden" if rank == 2 else output
    nodes = [helper.make_node("Gather", ["table", inputs[0]], [last])]
    if rank == 2:
        nodes.append(helper.make_node("ReduceMean", [last], [output], axes=[1], keepdims=0))
    shape = ["batch", WIDTH] if rank == 2 else ["batch", "tokens", WIDTH]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info(name, dtype, ["batch", "tokens"]) for name in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(values, "table")],
    )
    return _bytes(graph)


def bert(seed=1, layers=2):
    """A real encoder with weights of chance."""
    chance = np.random.default_rng(seed)

    def some(*shape):
        return chance.normal(scale=0.5, size=shape).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": some(len(VOCABULARY), WIDTH),
        "embeddings.position_embeddings.weight": some(256, WIDTH),
        "embeddings.token_type_embeddings.weight": some(2, WIDTH),
    }
    shapes = {"attention.self.query": (WIDTH, WIDTH), "attention.self.key": (WIDTH, WIDTH),
              "attention.self.value": (WIDTH, WIDTH), "attention.output.dense": (WIDTH, WIDTH),
              "intermediate.dense": (16, WIDTH), "output.dense": (WIDTH, 16)}  # fmt: skip
    for i in range(layers):
        for name, shape in shapes.items():
            tensors[f"encoder.layer.{i}.{name}.weight"] = some(*shape)
            tensors[f"encoder.layer.{i}.{name}.bias"] = some(shape[0])
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            tensors[f"encoder.layer.{i}.{name}.weight"] = some(WIDTH)
            tensors[f"encoder.layer.{i}.{name}.bias"] = some(WIDTH)
    tensors["embeddings.LayerNorm.weight"] = some(WIDTH)
    tensors["embeddings.LayerNorm.bias"] = some(WIDTH)
    return Bert(tensors, heads=2, layers=layers).model().SerializeToString()


def write(folder, graph=None, *, pooling=None, at="model.onnx"):
    """``folder`` with the files of an encoder."""
    (folder / at).parent.mkdir(parents=True, exist_ok=True)
    (folder / at).write_bytes(lookup(table()) if graph is None else graph)
    tokenizer().save(str(folder / "tokenizer.json"))
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def _bytes(graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    return model.SerializeToString()
