"""The counter of a listener over changing sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from ingest._native import Region
from ingest.config import Listener, Settings
from ingest.sockets import SocketGroup
from ingest.supervisor.deployment import BoundListener, Deployment
from ingest.supervisor.kernel_drops import KernelDrops

COUNTER, BASE = "ingest_kernel_dropped_total", "ingest_kernel_drops_base"


@pytest.fixture
def groups() -> Iterator[list[SocketGroup]]:
    """Yield two groups of a socket each."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    yield [SocketGroup("udp", f"127.0.0.1:{at}", (one,)) for at, one in enumerate(sockets)]
    for one in sockets:
        one.close()


def deployment(*bound: SocketGroup | None) -> Deployment:
    """Return one whose listeners have these sockets."""
    return Deployment(
        1,
        Settings(),
        tuple(
            BoundListener(
                f"in-{at}",
                Listener(kind="udp", address="127.0.0.1:1", name=f"in-{at}"),
                "127.0.0.1:1",
                group,
            )
            for at, group in enumerate(bound)
        ),
        (),
    )


def count(region: Region, listener: int, kernel: int) -> int:
    """Do what a worker does when the kernel has counted so much for the socket."""
    total = region.get(0, COUNTER, listener=listener)
    counted = (total - region.get(0, BASE, listener=listener)) % 2**32
    region.add(0, COUNTER, (kernel - counted) % 2**32, listener=listener)
    return region.get(0, COUNTER, listener=listener)


def test_a_drop_is_counted_once_however_sockets_change(groups: list[SocketGroup]) -> None:
    """A new socket counts from 0; an old one comes back; one moves to another listener."""
    region = Region.create(1, ["in-0", "in-1"], [], b"")
    drops = KernelDrops(region, 0)
    old, new = groups
    assert count(region, 0, 10) == 10
    drops.change(deployment(old, None), deployment(new, None))
    assert count(region, 0, 0) == 10
    assert count(region, 0, 3) == 13
    drops.change(deployment(new, None), deployment(old, None))
    assert count(region, 0, 10) == 13
    assert count(region, 0, 11) == 14
    drops.change(deployment(old, None), deployment(None, old))
    assert count(region, 1, 11) == 0
    assert count(region, 1, 15) == 4
    assert region.get(0, COUNTER, listener=0) == 14
