"""What fails is logged without its message, and what comes after it runs."""

import asyncio

import pytest

from proxy.stores.outlived import Outlived


def test_what_failed_is_said_but_not_its_message(caplog):
    message = "hush"
    with Outlived("to try") as step:
        raise ValueError(message)

    assert step.is_failed
    assert "to try failed: ValueError" in caplog.text
    assert "hush" not in caplog.text


def test_what_went_well_is_not_mentioned(caplog):
    with Outlived("to try") as step:
        pass

    assert not step.is_failed
    assert not caplog.text


def test_being_cancelled_is_no_failure():
    with pytest.raises(asyncio.CancelledError), Outlived("to try"):
        raise asyncio.CancelledError
