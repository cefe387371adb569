"""From a URL to a store that is ready to be started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxy.stores.address import Address
from proxy.stores.cluster import Cluster
from proxy.stores.discovery import cluster_map, sentinel_master, single
from proxy.stores.link import Link
from proxy.stores.scripts import Scripts
from proxy.stores.store import Store

RECHECK_S: Final = 2.0
"""How often sentinels are asked whether the master is still the same."""


def open_store(
    address: Address, scripts: Scripts, chance: Callable[[], float], *, timeout_s: float = 0.05
) -> Store:
    """The store at ``address``; ``chance`` gives 0 to 1, for jitter."""

    def link(where: Address) -> Link:
        return Link(single(where), scripts, chance, timeout_s=timeout_s)

    if address.mode == "cluster":
        return Cluster(address, lambda: cluster_map(address), link)
    if address.mode == "sentinel":
        return Link(
            sentinel_master(address), scripts, chance, timeout_s=timeout_s, recheck_s=RECHECK_S
        )
    return link(address)
