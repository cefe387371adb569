"""The billing ledger in files."""

import os

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.ledger import Charge, Row
from proxy.stores import usage_file
from proxy.stores.usage_file import UsageFile, files_of


def row(number, record=b'{"tenant":"acme","in":1}'):
    return Row("acme", f"l{number}", "settled", (Charge("tenant:day", 7, 5),), record)


def lines(path):
    return [
        orjson.loads(line) for file in files_of(path) for line in file.read_bytes().splitlines()
    ]


def test_a_row_is_one_line_with_its_record(tmp_path):
    file = UsageFile(tmp_path / "usage.jsonl", 1 << 20, 3)
    file.put(row(1))
    assert files_of(file.path) == []
    file.flush()

    assert lines(file.path) == [
        {"lease": "l1", "state": "settled", "charges": [["tenant:day", 7, 5]], "tenant": "acme", "in": 1}
    ]  # fmt: skip


def test_what_is_there_is_added_to(tmp_path):
    for number in (1, 2):
        file = UsageFile(tmp_path / "usage.jsonl", 1 << 20, 3)
        file.put(row(number))
        file.flush()

    assert [line["lease"] for line in lines(file.path)] == ["l1", "l2"]


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=25), keep=st.integers(0, 4))
def test_files_are_rotated_kept_in_number_and_read_in_order(tmp_path_factory, sizes, keep):
    file = UsageFile(tmp_path_factory.mktemp("u") / "usage.jsonl", 400, keep)
    number = 0
    for size in sizes:
        for _ in range(size):
            number += 1
            file.put(row(number))
        file.flush()
    found = [line["lease"] for line in lines(file.path)]

    assert found == [f"l{i}" for i in range(number - len(found) + 1, number + 1)]
    assert len(files_of(file.path)) <= keep + 1


def test_a_disk_that_takes_nothing_is_tried_again_and_nothing_is_lost(tmp_path, caplog):
    folder = tmp_path / "not yet"
    file = UsageFile(folder / "usage.jsonl", 1 << 20, 3)
    for number in range(3):
        file.put(row(number))
        file.flush()
    folder.mkdir()
    file.put(row(3))
    file.flush()

    assert [line["lease"] for line in lines(file.path)] == ["l0", "l1", "l2", "l3"]
    assert len(caplog.records) == 1
    assert file.lost == 0


def test_what_does_not_fit_in_memory_is_lost_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("proxy.stores.usage_file.MAX_WAITING", 200)
    file = UsageFile(tmp_path / "none" / "usage.jsonl", 1 << 20, 3)
    for number in range(10):
        file.put(row(number))

    assert file.lost > 0


def test_two_processes_may_rotate_one_file(tmp_path):
    files = [UsageFile(tmp_path / "usage.jsonl", 500, 100) for _ in range(2)]
    for number in range(40):
        files[number % 2].put(row(number))
        files[number % 2].flush()

    assert [line["lease"] for line in lines(files[0].path)] == [f"l{i}" for i in range(40)]


@pytest.mark.parametrize("other", ["usage.jsonl.bak", "usage.jsonl.1x", "usage.json"])
def test_other_files_are_not_touched(tmp_path, other):
    (tmp_path / other).write_text("mine")
    file = UsageFile(tmp_path / "usage.jsonl", 100, 0)
    for number in range(5):
        file.put(row(number))
        file.flush()

    assert (tmp_path / other).read_text() == "mine"


@given(sizes=st.lists(st.integers(0, 40), max_size=8), waiting=st.integers(0, 3))
def test_what_waits_is_whole_where_it_is_written_after_a_move(tmp_path_factory, sizes, waiting):
    """The disk takes some bytes of some lines before the file is moved."""
    folder = tmp_path_factory.mktemp("u")
    file = UsageFile(folder / "one.jsonl", 1 << 20, 3)
    for number in range(3):
        file.put(row(number))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(usage_file.os, "write", _full_after(sizes))
        file.flush()
    for number in range(3, 3 + waiting):
        file.put(row(number))
    file.move(folder / "two.jsonl", 1 << 20, 3)
    file.flush()
    before = (folder / "one.jsonl").read_bytes().splitlines(keepends=True)
    found = [orjson.loads(line) for line in before if line.endswith(b"\n")]

    assert [line["lease"] for line in found + lines(file.path)] == [
        f"l{i}" for i in range(3 + waiting)
    ]


def _full_after(sizes):
    left = [*sizes]
    really = os.write

    def write(fd, data):
        if not left:
            raise OSError(28, "No space left on device")
        return really(fd, data[: left.pop(0)])

    return write
