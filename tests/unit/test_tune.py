import asyncio
import re

import orjson
import pytest

from proxy.__main__ import main
from tests.scripted import Scripted, json_answer, says
from tests.semantic import tiny

SAME = ("how do i reset my password", "how can i reset my password")
OTHER = ("the capital of france", "the capital of germany")
NUMBERS = ("how do i reset 2", "how do i reset 3")


def lines(*pairs):
    return "".join(
        orjson.dumps({"a": a, "b": b, "same": same}).decode() + "\n" for (a, b), same in pairs
    )


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(lines((SAME, True), (OTHER, False), (NUMBERS, False)))
    return path


@pytest.fixture
def model(tmp_path):
    return tiny.write(tmp_path / "model")


def tune(*options):
    return main(["cache", "tune", *map(str, options)])


def table(shown):
    """The cells of each threshold."""
    rows = [line.split() for line in shown.splitlines() if re.match(r" +\d\.\d{3} ", line)]
    return {row[0]: row[1:] for row in rows if "%" in row[1]}


def test_counts_hits_and_false_hits_with_and_without_the_guard(pairs, model, capsys):
    code = tune(pairs, "--model", model, "--from", 0.01, "--to", 1, "--step", 0.99)
    shown = capsys.readouterr().out

    assert code == 0
    assert shown.startswith(f"{pairs}: 1 same, 2 different; 6 texts by onnx:")
    assert table(shown)["0.010"][:3] == ["100.0%", "100.0%", "33.3%"]
    assert table(shown)["0.010"][4] != "100.0%"
    assert "lowest threshold with at most 5% false hits:" in shown
    assert "without the guard  not known: 2 different pairs prove nothing; at least 59" in shown


def test_lists_the_pairs_that_deceive(pairs, model, capsys):
    assert tune(pairs, "--model", model, "--show", 1) == 0

    shown = capsys.readouterr().out.partition("look most alike")[2].splitlines()
    assert len(shown) == 2
    assert re.fullmatch(r"  1\.0000  numbers +\"how do i reset 2\"  \"how do i reset 3\"", shown[1])


def test_draws_the_curves(pairs, model, tmp_path, capsys):
    assert tune(pairs, "--model", model, "--plot", tmp_path / "curves.svg") == 0

    picture = (tmp_path / "curves.svg").read_text()
    assert picture.count("<polyline") == 4
    assert "pairs.jsonl: 1 same, 2 different" in picture


def test_reads_csv_too(tmp_path, model, capsys):
    path = tmp_path / "pairs.csv"
    path.write_text("\ufeffa,b,same\nhow do i,how can i,true\n")  # as spreadsheets begin it

    assert tune(path, "--model", model) == 0
    shown = capsys.readouterr().out
    assert "1 same, 0 different" in shown
    assert "not known: all pairs are the same" in shown


CONFIG = """\
version: 1
upstreams:
  main: {{kind: generic, base_url: "http://127.0.0.1:{port}/v1", api_key: sk-up,
         concurrency: {{max: 1}}}}
routes: [{{name: all, targets: [{{upstream: main}}]}}]
cache:
  one: {{semantic: {{mode: "off", embed: {{model: model}}}}}}
  two: {{semantic: {{embed: {{upstream: main, model: small}}}}}}
  three: {{}}
"""


@pytest.fixture
def config(tmp_path):
    def write(port=1):
        path = tmp_path / "sidestream.yaml"
        path.write_text(CONFIG.format(port=port))
        return path

    return write


def test_asks_the_model_that_a_cache_names(pairs, model, config, capsys):
    """Whether or not a route leads to it, and whatever its mode."""
    assert tune(pairs, "--config", config(), "--cache", "one") == 0
    assert "by onnx:" in capsys.readouterr().out


async def embeddings(peer):
    texts = peer.upstream.requests[-1].json["input"]
    data = [{"index": i, "embedding": [len(text), 1]} for i, text in enumerate(texts)]
    await peer.send(json_answer({"data": data}))


async def in_thread(*options):
    return await asyncio.to_thread(tune, *options)


async def test_asks_the_upstream_that_a_cache_names(pairs, config, capsys):
    async with Scripted([embeddings]) as upstream:
        code = await in_thread(pairs, "--config", config(upstream.port), "--cache", "two")

        assert code == 0
        assert upstream.requests[0].json["model"] == "small"
    assert "6 texts by main/small in" in capsys.readouterr().out


NOTHING = "sidestream: main/small gives no embeddings: "


def test_an_upstream_that_gives_nothing_is_told(pairs, config, capsys):
    assert tune(pairs, "--config", config(), "--cache", "two") == 2
    assert capsys.readouterr().err == (
        f"{NOTHING}the upstream refuses connections or its name does not resolve\n"
    )


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (json_answer({}, status=401), "it answers with status 401; is api_key right?"),
        (json_answer({}, status=500), "it answers with status 500"),
        (json_answer({"data": []}), "it answers, but not with one vector for each of 6 texts"),
        (json_answer([]), "it answers with status 200, but not with a JSON object"),
    ],
)
async def test_why_an_upstream_gives_nothing_is_told(pairs, config, answer, why, capsys):
    async with Scripted([says(answer)]) as upstream:
        assert await in_thread(pairs, "--config", config(upstream.port), "--cache", "two") == 2

    assert capsys.readouterr().err == f"{NOTHING}{why}\n"


@pytest.mark.parametrize("name", [(), ("--cache", "three"), ("--cache", "four")])
def test_the_cache_must_be_named_if_there_are_several(pairs, config, name, capsys):
    assert tune(pairs, "--config", config(), *name) == 2
    assert "there is one, two" in capsys.readouterr().err


def test_bad_lines_are_told_with_file_and_line(pairs, model, capsys):
    pairs.write_text(lines((SAME, True)) + "nonsense\n" + '{"a": "x"}\n' * 30)

    assert tune(pairs, "--model", model) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"{pairs}:2: not JSON")
    assert told[1] == f"{pairs}:3: b must be a text"
    assert told[-1] == "and 11 more"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("nowhere.jsonl",), "nowhere.jsonl: cannot be read: No such file"),
        (("PAIRS", "--model", "nowhere"), "nowhere: no such folder"),
        (("PAIRS", "--config", "nowhere.yaml"), "nowhere.yaml:1:1: $: cannot read the file"),
        (("PAIRS", "--from", "0", "--to", "0.8"), "thresholds go"),
        (("PAIRS", "--step", "0"), "a step is"),
        (("PAIRS", "--model", "MODEL", "--plot", "nowhere/x.svg"), "cannot be written"),
    ],
)
def test_bad_input_is_told(pairs, model, options, said, capsys):
    given = [str({"PAIRS": pairs, "MODEL": model}.get(option, option)) for option in options]

    assert tune(*given) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""


def test_what_is_no_text_is_told(pairs, model, capsys):
    pairs.write_bytes(b'{"a": "\xff"}')

    assert tune(pairs, "--model", model) == 2
    assert capsys.readouterr().err == f"{pairs}:1: not UTF-8 (byte 7)\n"


def test_a_range_upside_down_is_called_so(pairs, capsys):
    assert tune(pairs, "--model", "none", "--from", 0.9, "--to", 0.8) == 2
    assert capsys.readouterr().err == "sidestream: --from 0.9 is above --to 0.8\n"
