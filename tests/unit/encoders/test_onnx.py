import numpy as np
import pytest
from onnx import TensorProto

from proxy.encoders.onnx import MAX_TOKENS, OnnxModel
from tests.semantic import tiny

QUESTION = "how do i reset my password"


def numbers(vector):
    return np.frombuffer(vector, "<f4")


def vector(model, text):
    return numbers(model.vectors([text])[0])


def expected(text, values, *, ids=None):
    """The mean of a text's rows of the table, at unit length."""
    ids = ids or [2, *(tiny.VOCABULARY.get(word, 1) for word in text.split()), 3]
    mean = values[ids].mean(axis=0)
    return mean / np.linalg.norm(mean)


def test_a_vector_is_the_mean_of_all_tokens_at_unit_length(tmp_path):
    made = OnnxModel(tiny.write(tmp_path)).vectors([QUESTION, "what"])

    assert [len(one) for one in made] == [4 * tiny.WIDTH] * 2
    np.testing.assert_allclose(numbers(made[0]), expected(QUESTION, tiny.table()), atol=1e-6)
    np.testing.assert_allclose(numbers(made[1]), expected("what", tiny.table()), atol=1e-6)


@pytest.mark.parametrize("at", ["model.onnx", "onnx/model.onnx"])
def test_the_graph_lies_where_repositories_have_it(tmp_path, at):
    assert len(vector(OnnxModel(tiny.write(tmp_path, at=at)), QUESTION)) == tiny.WIDTH


def test_the_first_token_stands_for_all_where_the_folder_says_so(tmp_path):
    model = OnnxModel(tiny.write(tmp_path, pooling=tiny.FIRST))

    np.testing.assert_allclose(
        vector(model, QUESTION), expected("", tiny.table(), ids=[2]), atol=1e-6
    )


@pytest.mark.parametrize(
    "how",
    [
        {"output": "sentence_embedding", "rank": 2},
        {"output": "token_embeddings"},
        {"output": "output_0"},
        {"inputs": ("input_ids",)},
        {"inputs": ("input_ids", "attention_mask")},
        {"dtype": TensorProto.INT32},
    ],
    ids=str,
)
def test_graphs_of_all_exporters_do(tmp_path, how):
    model = OnnxModel(tiny.write(tmp_path, tiny.lookup(tiny.table(), **how), pooling=tiny.MEAN))

    np.testing.assert_allclose(vector(model, QUESTION), expected(QUESTION, tiny.table()), atol=1e-6)


def test_a_text_has_one_vector_whoever_runs_with_it(tmp_path):
    """Padding is not read: attention is masked, and the mean leaves it out."""
    model = OnnxModel(tiny.write(tmp_path, tiny.bert()))
    texts = [QUESTION, "a", "what is the capital of france " * 9, "", "change my password"] * 20

    together = [numbers(one) for one in model.vectors(texts)]

    assert len(together) == len(texts)
    for text, one in zip(texts[:5], together, strict=False):
        np.testing.assert_allclose(one, vector(model, text), atol=1e-5)
    np.testing.assert_array_equal(together[:5], together[-5:])


def test_of_a_long_text_the_beginning_counts(tmp_path):
    model = OnnxModel(tiny.write(tmp_path, tiny.bert()))
    begun = "how " * (MAX_TOKENS - 2)

    np.testing.assert_allclose(vector(model, begun + "what " * 90), vector(model, begun), atol=1e-6)
    assert len(vector(model, "how " * 1_000_000)) == tiny.WIDTH


def test_half_a_surrogate_pair_does_no_harm(tmp_path):
    assert len(vector(OnnxModel(tiny.write(tmp_path)), "how \ud800 do")) == tiny.WIDTH


def test_another_model_has_another_name(tmp_path):
    idents = {
        OnnxModel(tiny.write(tmp_path / "a")).ident,
        OnnxModel(tiny.write(tmp_path / "b", tiny.lookup(tiny.table(seed=2)))).ident,
        OnnxModel(tiny.write(tmp_path / "c", pooling=tiny.FIRST)).ident,
    }

    assert len(idents) == 3
    assert OnnxModel(tiny.write(tmp_path / "d")).ident in idents


def gone(name):
    return lambda folder: (folder / name).unlink()


def written(name, data):
    return lambda folder: (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "file", "said"),
    [
        (gone("model.onnx"), "model.onnx", "no such file"),
        (gone("tokenizer.json"), "tokenizer.json", "no such file"),
        (written("model.onnx", b"no graph"), "model.onnx", "cannot be used"),
        (written("model.onnx", b""), "model.onnx", "cannot be used"),
        (written("tokenizer.json", b"{}"), "tokenizer.json", "cannot be used"),
        (written("tokenizer.json", b"\xff"), "tokenizer.json", "cannot be used"),
        (
            written("modules.json", b'[{"type": "sentence_transformers.models.Dense"}]'),
            "modules.json",
            "a layer Dense",
        ),
        (written("1_Pooling/config.json", b"["), "config.json", "cannot be used"),
        (written("1_Pooling/config.json", b"[]"), "config.json", "cannot be used"),
        (written("1_Pooling/config.json", b'{"pooling_mode_max_tokens": true}'),
         "config.json", "only mean and cls"),
        (written("model.onnx", tiny.lookup(tiny.table(), inputs=("ids",))),
         "model.onnx", "no input named input_ids"),
        (written("model.onnx", tiny.lookup(tiny.table(), inputs=("input_ids", "pixels"))),
         "model.onnx", "'pixels'"),
        (written("model.onnx", tiny.lookup(tiny.table(), output="logits", rank=2)),
         "model.onnx", "neither an output sentence_embedding"),
        (written("model.onnx", tiny.lookup(tiny.table() * 0)), "model.onnx", "zero or not finite"),
        (written("model.onnx", tiny.lookup(tiny.table() * np.float32(np.inf))),
         "model.onnx", "zero or not finite"),
        (written("model.onnx", tiny.lookup(tiny.table()[:2])), "model.onnx", "cannot be used"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_used_is_refused_with_the_file_at_fault(tmp_path, harm, file, said):
    folder = tiny.write(tmp_path, pooling=tiny.MEAN)
    harm(folder)

    with pytest.raises(ValueError, match=f"{file}: .*{said}") as refused:
        OnnxModel(folder)
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        OnnxModel(tmp_path / "nowhere")
