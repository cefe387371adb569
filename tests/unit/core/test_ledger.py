"""The ledger's value types hold only what can be counted."""

import pytest

from proxy.core.ledger import MAX_AMOUNT, Limit


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "slot", "cap": 0},
        {"kind": "money", "cap": MAX_AMOUNT + 1},
        {"kind": "rate", "cap": 5},
        {"kind": "rate", "cap": 5, "amount": 5},
        {"kind": "rate", "cap": 5, "amount": 0, "seconds": 60},
    ],
)
def test_a_limit_that_cannot_be_counted_is_refused(fields):
    with pytest.raises(ValueError, match="requests: "):
        Limit(name="requests", **fields)


def test_limits_are_compared_by_identity():
    """They are keys of tables on the hot path, where comparing fields would cost."""
    first, second = (Limit(name="slots", kind="slot", cap=1) for _ in range(2))

    assert first != second
    assert len({first, second, first}) == 2
