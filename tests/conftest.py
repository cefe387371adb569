"""Hypothesis profiles: few examples by default, many on demand; what programs log."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", max_examples=100, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, print_blob=True)
settings.register_profile(
    "fuzz",
    max_examples=int(os.environ.get("HYPOTHESIS_MAX_EXAMPLES", "0")) or 2000,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(
    "fuzz"
    if "HYPOTHESIS_MAX_EXAMPLES" in os.environ
    else os.environ.get("HYPOTHESIS_PROFILE", "default")
)


@pytest.fixture
def log_lines(capfd):
    """The lines that programs with ``requests="stdout"`` have logged up to now."""
    parts = []

    def lines():
        parts.append(capfd.readouterr().out)
        return "".join(parts).splitlines()

    return lines
