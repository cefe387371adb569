"""Claims as the scripts read them: MessagePack, written by hand."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.ledger import MAX_AMOUNT, Claim, Limit
from proxy.stores import lines as lines_module
from proxy.stores.lines import Counters


def unpacked(data):
    """The value at the beginning of ``data``, and the rest."""
    first, rest = data[0], data[1:]
    if first < 0x80:
        return first, rest
    if first == 0xCF:
        return int.from_bytes(rest[:8], "big"), rest[8:]
    if first == 0xD9 or first & 0xE0 == 0xA0:
        size, rest = (rest[0], rest[1:]) if first == 0xD9 else (first & 0x1F, rest)
        return rest[:size].decode(), rest[size:]
    count, rest = (
        (int.from_bytes(rest[:2], "big"), rest[2:]) if first == 0xDC else (first & 0x0F, rest)
    )
    found = []
    for _ in range(count):
        value, rest = unpacked(rest)
        found.append(value)
    return found, rest


LIMITS = st.builds(
    lambda name, cap: Limit(name=name, kind="window", cap=cap),
    st.text(min_size=1, max_size=300) | st.text("abc_", min_size=1, max_size=80),
    st.integers(1, MAX_AMOUNT),
)
CLAIMS = st.builds(
    Claim,
    LIMITS,
    st.text(max_size=300) | st.text("abc/-", min_size=1, max_size=80),
    st.integers(-5, MAX_AMOUNT),
)


@given(st.lists(CLAIMS, max_size=20))
def test_what_is_packed_is_each_claim_with_its_counter_cap_and_amount(claims):
    counters = Counters()
    packed, rest = unpacked(counters.pack(claims))

    assert rest == b""
    assert len(packed) == len(claims)
    for item, claim, (line, amount) in zip(packed, claims, counters.lines(claims), strict=True):
        *numbers, scope, name, packed_amount = item
        assert numbers == list(line[:4])
        assert f"{scope}:{name}" == line.counter
        assert packed_amount == amount == max(0, claim.amount)


def test_what_is_remembered_of_claims_is_bounded_and_forgetting_changes_nothing(monkeypatch):
    monkeypatch.setattr(lines_module, "MAX_KNOWN", 2)
    counters = Counters()
    limit = Limit(name="day", kind="window", cap=5)
    before = counters.pack((Claim(limit, "user/1", 3),))
    for number in range(5):
        counters.pack((Claim(limit, f"user/{number}", 3),))

    assert len(counters._known) <= 2
    assert counters.pack((Claim(limit, "user/1", 3),)) == before
