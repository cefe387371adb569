"""A sentence encoder that onnxruntime runs, from a folder as encoders are published.

The folder has ``tokenizer.json``, ``model.onnx`` (or ``onnx/model.onnx``), and
may have ``1_Pooling/config.json``.  Needs the extra ``semantic``, so nothing
imports this module unless a configuration asks for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Encoding, Tokenizer

from proxy.core.semantic import Vector

MAX_TOKENS: Final = 256
"""Of a longer text the beginning counts, as for most encoders in training."""

MAX_CHARACTERS: Final = MAX_TOKENS * 32
"""What the tokenizer is given to read of a text."""

BATCH_TOKENS: Final = 256
"""Tokens, padding among them, of one run.

More at once is no faster on one core, and takes memory that is not given back.
"""

_INPUTS: Final = {"input_ids", "attention_mask", "token_type_ids"}
_DTYPES: Final = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_SENTENCE: Final = "sentence_embedding"
_TOKENS: Final = ("last_hidden_state", "token_embeddings")


class OnnxModel:
    """The encoder of ``folder``.  Raises ``ValueError`` that names the file at fault.

    ``ident`` is a digest of all that decides what a vector is.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder (or name the `upstream` that has it)")
        graph = _first(folder, "model.onnx", "onnx/model.onnx")
        words = _first(folder, "tokenizer.json")
        pooling = folder / "1_Pooling" / "config.json"
        self._takes_first = _takes_first(pooling) if pooling.is_file() else False
        self._tokenizer = _tokenizer(words)
        self._session = _session(graph)
        self._inputs = _inputs(self._session, graph)
        self._output = _output(self._session, graph)
        if self._output != _SENTENCE:
            _refuse_more_layers(folder / "modules.json")
        with _naming(graph):
            made = self._run(self._tokenizer.encode_batch(["a"]))
        if made.ndim != 2 or not np.isfinite(made).all():
            raise ValueError(f"{graph}: its output is no vector a text")
        weights = graph.with_name(f"{graph.name}_data")
        parts = [path for path in (graph, weights, words, pooling) if path.is_file()]
        self.ident = f"onnx:{_digest(parts)}"

    def vectors(self, texts: Sequence[str]) -> list[Vector]:
        """One vector of unit length a text.  Raises what the libraries raise."""
        read = [self._tokenizer.encode(_clean(text)) for text in texts]
        made: list[Vector] = [b""] * len(read)
        for batch in _batches(read):
            rows = self._run([read[i] for i in batch])
            for i, row in zip(batch, rows, strict=True):
                made[i] = row.astype("<f4").tobytes()
        return made

    def _run(self, read: Sequence[Encoding]) -> npt.NDArray[np.float32]:
        """Vectors of unit length, one a row."""
        longest = max(len(one) for one in read)
        mask = np.zeros((len(read), longest), np.int64)
        ids = np.zeros_like(mask)
        for row, one in enumerate(read):
            mask[row, : len(one)] = 1
            ids[row, : len(one)] = one.ids
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        fed: dict[str, Any] = {
            name: given[name].astype(dtype) for name, dtype in self._inputs.items()
        }
        (out,) = self._session.run([self._output], fed)
        hidden = np.asarray(out, np.float32)
        with np.errstate(all="ignore"):  # what is not finite is looked for below
            if self._output == _SENTENCE:
                pooled = hidden
            else:
                pooled = hidden[:, 0] if self._takes_first else _mean(hidden, mask)
            length = np.linalg.norm(pooled, axis=-1, keepdims=True)
        if not (np.isfinite(length) & (length > 0)).all():
            raise FloatingPointError("a vector is zero or not finite")
        return np.asarray(pooled / length, np.float32)


def _mean(hidden: npt.NDArray[np.float32], mask: npt.NDArray[np.int64]) -> Any:
    """The mean of each text's tokens, without padding."""
    weights = mask[:, :, None].astype(np.float32)
    return (hidden * weights).sum(axis=1) / weights.sum(axis=1)


def _batches(read: Sequence[Encoding]) -> Iterator[list[int]]:
    """Which texts run together: those of like length, and no more than pays."""
    batch: list[int] = []
    for i in sorted(range(len(read)), key=lambda i: len(read[i])):
        if batch and len(read[i]) * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _clean(text: str) -> str:
    """As much as may be read, without halves of surrogate pairs."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode()


def _first(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(f"{folder / names[0]}: no such file")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Whatever a library says of a file, as a ``ValueError`` with its name.

    Both libraries raise ``Exception`` itself or classes right below it.
    """
    try:
        yield
    except BaseException as exc:
        if not isinstance(exc, Exception):
            raise
        said = str(exc).strip().partition("\n")[0][:200] or type(exc).__name__
        raise ValueError(f"{path}: cannot be used: {said}") from exc


def _tokenizer(path: Path) -> Tokenizer:
    with _naming(path):
        made = Tokenizer.from_file(str(path))
        # The file may say otherwise; padding is done here, to what a batch needs.
        made.no_padding()
        made.enable_truncation(MAX_TOKENS)
    return made


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One core for the model; the event loop keeps the others.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with _naming(path):
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _inputs(session: ort.InferenceSession, path: Path) -> dict[str, type]:
    """The graph's inputs and their types."""
    found = {one.name: _DTYPES.get(one.type) for one in session.get_inputs()}
    if "input_ids" not in found:
        raise ValueError(f"{path}: has no input named input_ids")
    for name, dtype in found.items():
        if name not in _INPUTS or dtype is None:
            raise ValueError(f"{path}: has an input {name!r} that no text tokenizer fills")
    return {name: dtype for name, dtype in found.items() if dtype is not None}


def _output(session: ort.InferenceSession, path: Path) -> str:
    """The graph's own vector of a sentence, or else of its tokens."""
    ranks: dict[str, int] = {one.name: len(one.shape or ()) for one in session.get_outputs()}
    for name, rank in ((_SENTENCE, 2), *((name, 3) for name in _TOKENS)):
        if ranks.get(name) == rank:
            return name
    if list(ranks.values()) == [3]:
        return next(iter(ranks))
    raise ValueError(f"{path}: has neither an output {_SENTENCE} nor {' nor '.join(_TOKENS)}")


def _refuse_more_layers(path: Path) -> None:
    """A layer behind pooling that the graph has not got would be left out."""
    if path.is_file():
        with _naming(path):
            kinds = [str(one["type"]).rpartition(".")[2] for one in json.loads(path.read_bytes())]
        if "Dense" in kinds:
            raise ValueError(
                f"{path}: names a layer Dense, which the graph has not; export both as {_SENTENCE}"
            )


def _takes_first(path: Path) -> bool:
    """Whether the first token stands for the sentence, and not the mean of all."""
    with _naming(path):
        told = json.loads(path.read_bytes())
        modes = {name for name, value in told.items() if "pooling_mode" in name and value is True}
    if modes == {"pooling_mode_cls_token"}:
        return True
    if modes == {"pooling_mode_mean_tokens"}:
        return False
    raise ValueError(f"{path}: of ways of pooling, only mean and cls are known here")


def _digest(paths: Sequence[Path]) -> str:
    state = hashlib.blake2b(digest_size=8)
    for path in paths:
        with path.open("rb") as opened:
            state.update(hashlib.file_digest(opened, "blake2b").digest())
    return state.hexdigest()
