"""Where a store is, from its URL, and what is said of a URL that is none."""

import pytest

from proxy.stores.address import parse_address


def test_one_server_with_its_login_and_database():
    found = parse_address("redis://us%40er:p%2Fw@store:7000/3")

    assert (found.mode, found.hosts, found.db) == ("single", (("store", 7000),), 3)
    assert (found.username, found.password, found.tls) == ("us@er", "p/w", None)


def test_tls_is_asked_for_by_the_scheme():
    assert parse_address("rediss://store").tls is not None


def test_a_socket_has_a_path_and_its_database_behind_it():
    found = parse_address("unix://:pw@/run/a%20b.sock?db=4")

    assert (found.path, found.db, found.password, str(found)) == (
        "/run/a b.sock", 4, "pw", "/run/a b.sock",
    )  # fmt: skip


def test_the_sentinels_of_a_service_and_the_database_behind_it():
    found = parse_address("redis+sentinel://:pw@one:1,two/main/2")

    assert (found.mode, found.service, found.db) == ("sentinel", "main", 2)
    assert found.hosts == (("one", 1), ("two", 26379))
    assert found.at("three", 5).hosts == (("three", 5),)
    assert found.at("three", 5).password == "pw"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://u:hidden@store", "does not begin with http://"),
        ("redis://u:hidden@store:x", "a port or a database that is no number"),
        ("redis://u:hidden@store:70000", "a port or a database that is no number"),
        ("redis://u:hidden@store/x", "a port or a database that is no number"),
        ("unix://u:hidden@/run/s?db=x", "a port or a database that is no number"),
        ("redis+sentinel://u:hidden@store", "the name of its service"),
        ("redis+cluster://u:hidden@store/1", "no databases but 0"),
        ("redis://u:hidden@[store", "cannot be read"),
        ("redis://u:hidden@store\u2100", "cannot be read"),
    ],
)
def test_a_url_that_is_none_is_told_without_a_word_of_its_secret(url, why):
    with pytest.raises(ValueError, match=why) as raised:
        parse_address(url)

    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("url", ["redis:/127.0.0.1", "redis:127.0.0.1:6379", "rediss+cluster:/h"])
def test_a_url_that_lacks_a_slash_is_told_so(url):
    with pytest.raises(ValueError, match="with two slashes"):
        parse_address(url)
