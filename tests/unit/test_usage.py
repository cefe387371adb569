"""How the billing ledger is shown."""

import pytest

from proxy.rules.usage import Tally
from proxy.usage import as_chart, as_table


def tally(*nanos):
    made = Tally(["model"])
    for i, each in enumerate(nanos):
        made.add(str(i), "settled", {"time": 0, "tenant": "a", "user": "", "model": f"m{i}", "in": 1,
                                     "cached": 0, "out": 1, "nanos": each, "estimated": False})  # fmt: skip
    return made


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        ([12_345], ["0.0000123"]),
        ([1_234_567_000_000, 12_345], ["1,234.5670000", "0.0000123"]),
        ([1], ["0.000000001"]),
        ([2_500_000_000], ["2.5000"]),
        ([2_500_000_000, 0], ["2.5000", "0.0000"]),
        ([0], ["0.0000"]),
    ],
)
def test_the_cost_of_small_models_is_not_nothing(nanos, shown):
    rows = as_table(tally(*nanos)).splitlines()[2 : 2 + len(nanos)]
    chart = as_chart(tally(*nanos), "cost", 80).splitlines()[1:]

    assert [row.split()[-1] for row in rows] == shown
    assert [row.split()[1] for row in chart] == shown
