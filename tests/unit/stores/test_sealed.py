"""Sealed values open for whom they were sealed and for nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.stores.cache_memory import OVERHEAD, Memory
from proxy.stores.sealed import Master, Unsealable

ONE, TWO = Master(b"1" * 32), Master(b"2" * 32)
SALT, NAME = b"s" * 32, b"n" * 20


@given(st.binary(max_size=3000), st.text(max_size=20))
def test_what_is_sealed_opens(data, scope):
    sealed = ONE.seal(scope, SALT, NAME, data)

    assert ONE.open(scope, SALT, NAME, sealed) == data
    assert data not in sealed or len(data) < 4


@given(st.binary(max_size=2000), st.integers(0, 10**6), st.integers(1, 255))
def test_no_byte_can_be_changed(data, at, flip):
    sealed = bytearray(ONE.seal("t", SALT, NAME, data))
    sealed[at % len(sealed)] ^= flip

    with pytest.raises(Unsealable):
        ONE.open("t", SALT, NAME, bytes(sealed))


@given(st.binary(max_size=200))
def test_no_bytes_are_taken_for_sealed_ones(data):
    with pytest.raises(Unsealable):
        ONE.open("t", SALT, NAME, data)


@pytest.mark.parametrize(
    ("master", "scope", "salt", "name", "reason"),
    [
        (TWO, "t", SALT, NAME, "key"),
        (ONE, "u", SALT, NAME, "seal"),
        (ONE, "t", b"x" * 32, NAME, "seal"),
        (ONE, "t", SALT, b"x" * 20, "seal"),
    ],
)
def test_another_key_scope_salt_or_name_opens_nothing(master, scope, salt, name, reason):
    sealed = ONE.seal("t", SALT, NAME, b"data")

    with pytest.raises(Unsealable) as caught:
        master.open(scope, salt, name, sealed)
    assert caught.value.reason == reason


def test_names_tell_nothing_and_differ_by_scope_and_key():
    names = {ONE.name("t", b"m"), ONE.name("u", b"m"), TWO.name("t", b"m"), ONE.name("t", b"n")}

    assert len(names) == 4
    assert ONE.name("t", b"m") == Master(b"1" * 32).name("t", b"m")


def test_a_name_leads_to_the_name_under_another_key_and_tells_no_more():
    name = ONE.name("t", b"m")

    assert TWO.named("t", ONE.digest_of("t", name)) == TWO.name("t", b"m")
    assert TWO.digest_of("t", name) is None
    assert ONE.digest_of("t", name[:-1]) is None
    assert ONE.digest_of("u", name) != ONE.digest_of("t", name)


def test_text_is_packed_and_forgotten_keys_are_made_again():
    sealed = ONE.seal("t", SALT, NAME, b"word " * 1000)
    assert len(sealed) < 300
    ONE.forget("t")

    assert ONE.open("t", SALT, NAME, sealed) == b"word " * 1000


def test_the_longest_unused_leaves_first():
    memory = Memory(3 * (10 + OVERHEAD))
    for name in (b"a", b"b", b"c"):
        memory.put(name, b"x" * 10, 100.0, "t")
    memory.get(b"a", 0.0)
    memory.put(b"d", b"x" * 10, 100.0, "u")

    assert memory.get(b"b", 0.0) is None
    assert memory.get(b"a", 0.0)
    assert len(memory) == 3
    assert memory.get(b"a", 100.0) is None
    memory.drop_scope("t")
    assert len(memory) == 1
    memory.put(b"e", b"x" * 2000, 100.0, "t")
    assert len(memory) == 1
    memory.clear()
    assert memory.size == 0


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.integers(0, 900)), max_size=40))
def test_bytes_are_never_more_than_allowed(puts):
    memory = Memory(2000)
    for name, size in puts:
        memory.put(name, b"x" * size, 1.0, "t")

        assert memory.size <= 2000
        assert memory.size == sum(len(sealed) + OVERHEAD for sealed, _, _ in memory._kept.values())
