"""Where the servers of a sentinel or a cluster are, asked through redis-py.

Only this is asked through it: calls of requests go over ``link``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from proxy.stores.address import Address
from proxy.stores.link import Locate
from proxy.stores.pipe import StoreDown

TIMEOUT_S: Final = 0.5


def single(address: Address) -> Locate:
    """A server that is where its URL says."""

    async def locate() -> Address:
        return address

    return locate


def sentinel_master(address: Address) -> Locate:
    """The master of a service, as its sentinels see it.  Raises ``StoreDown``."""

    async def locate() -> Address:
        # The sentinels' own credentials are the service's, as is usual.
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            list(address.hosts),
            sentinel_kwargs={
                "socket_timeout": TIMEOUT_S,
                "socket_connect_timeout": TIMEOUT_S,
                "retry": None,
                "password": address.password or None,
                "username": address.username or None,
                "ssl": address.tls is not None,
            },
        )
        try:
            host, port = await sentinel.discover_master(address.service)
        except (RedisError, OSError, UnicodeError) as exc:
            raise StoreDown(f"no sentinel names a master: {type(exc).__name__}") from exc
        finally:
            for client in sentinel.sentinels:
                await client.aclose()
        return address.at(str(host), int(port))

    return locate


async def cluster_map(address: Address) -> Mapping[int, tuple[str, int]]:
    """Which server holds each of the 16384 slots.  Raises ``StoreDown``."""
    cluster = RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        require_full_coverage=False,
        username=address.username or None,
        password=address.password or None,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        ssl=address.tls is not None,
    )
    try:
        await cluster.initialize()
        slots = cluster.nodes_manager.slots_cache
        return {slot: (str(n[0].host), int(n[0].port)) for slot, n in slots.items() if n}
    except (RedisError, OSError, UnicodeError) as exc:
        raise StoreDown(f"no server tells of the cluster: {type(exc).__name__}") from exc
    finally:
        await cluster.aclose()
