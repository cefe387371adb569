"""Whose limits are met: those of each key count for that key."""

from proxy.core.ledger import Limit
from proxy.rules.allowance import MAX_KNOWN, NOBODY, Allowance, AllowanceTable, Bound, Tenancy
from proxy.rules.globs import GlobSet

MONEY = Limit(name="budget", kind="money", cap=1_000_000)
REQUESTS = Limit(name="requests", kind="rate", cap=2, amount=60, seconds=60)


def bound(by, scope="", limit=MONEY):
    return Bound(limit=limit, by=by, measure="cost", shown="so much", scope=scope)


def table(*bounds, **more):
    return AllowanceTable({"acme": Tenancy(own=Allowance(bounds=bounds), **more)})


def scopes(found, *asked):
    return [scope for _, scope, _ in found.find(*asked).order_for("u", "user/u").spots]


def test_a_budget_by_key_is_each_key_s_own_and_the_tenant_s_stays_the_tenant_s():
    found = table(bound("key"), bound("tenant", "tenant"), bound("user"))

    assert scopes(found, "acme", "one", "m") == ["key/one", "tenant", "user/u"]
    assert scopes(found, "acme", "two", "m") == ["key/two", "tenant", "user/u"]


def test_requests_without_a_key_share_one_budget_by_key():
    assert scopes(table(bound("key")), "acme", "", "m") == [f"key/{NOBODY}"]


def test_a_limit_of_one_key_is_met_by_that_key_alone():
    of_one = Allowance(bounds=(bound("key", "key/one", REQUESTS),))
    found = table(bound("tenant", "tenant"), keys={"one": of_one})

    assert scopes(found, "acme", "one", "m") == ["tenant", "key/one"]
    assert scopes(found, "acme", "two", "m") == ["tenant"]


def test_however_many_models_clients_make_up_the_limits_stay_the_same():
    of_model = Allowance(bounds=(bound("model", "model/gpt-*"),))
    found = table(bound("tenant", "tenant"), models=((GlobSet(["gpt-*"]), of_model),))
    for number in range(MAX_KNOWN + 2):
        assert scopes(found, "acme", "k", f"made-up-{number}") == ["tenant"]

    assert len(found._known) <= MAX_KNOWN
    assert scopes(found, "acme", "k", "gpt-5") == ["tenant", "model/gpt-*"]
    assert found.find("other", "k", "gpt-5") is None
