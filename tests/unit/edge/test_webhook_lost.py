"""Alerts go on after one that could not be sent."""

import asyncio

from proxy.core.alert import Alert
from proxy.edge.webhook import Webhook
from tests.kit import FakeClock


class Broken(Webhook):
    """Fails of what nobody foresaw as often as it is told."""

    sent = ()
    failures = 1

    async def _send(self, session, body):
        if self.failures:
            self.failures -= 1
            raise RuntimeError(self.url)
        self.sent += (body,)
        return True


def _webhook():
    counts = []
    webhook = Broken(FakeClock(), lambda name, _: counts.append(name))
    webhook.url = "https://hooks.example/secret"
    return webhook, counts


def _alert(number):
    return Alert("budget", "acme", f"number {number}", {})


async def test_an_alert_that_breaks_is_dropped_and_those_behind_it_are_sent(caplog):
    webhook, counts = _webhook()
    for number in range(3):
        webhook.tell(_alert(number))
    await webhook.close()

    assert [b"number %d" % n in body for n, body in enumerate(webhook.sent, 1)] == [True, True]
    assert counts.count("sidestream_alerts_dropped") == 1
    assert "could not be sent: RuntimeError" in caplog.text
    assert "secret" not in caplog.text


async def test_what_is_told_after_it_is_sent(caplog):
    webhook, _ = _webhook()
    webhook.tell(_alert(1))
    for _ in range(10):
        await asyncio.sleep(0)
    webhook.tell(_alert(2))
    await webhook.close()

    assert len(webhook.sent) == 1


async def test_leaving_does_not_fail_of_an_alert():
    webhook, counts = _webhook()
    webhook.failures = 3
    webhook.tell(_alert(1))
    webhook.tell(_alert(2))
    await webhook.close()

    assert webhook.sent == ()
    assert counts.count("sidestream_alerts_dropped") == 2
