"""`python -m bench.model`: what larger machines should take, reckoned from what was measured here.

Prints the tables of docs/scaling.md, where the assumptions stand. Whichever of processor, memory,
network and disk allows the fewest events is the limit.
"""

from __future__ import annotations

import msgspec

from bench.figures import markdown

_USABLE_SHARE = 0.9
"""Of every resource: the rest is for bursts and for all else on the machine."""
_NETWORK_CPU_SECONDS_PER_GB = 0.25
"""Of the receiving kernel for a real network card; over loopback the sender pays for it."""
_HEADER_SHARE = 0.05
"""Of the bytes on the wire: Ethernet, IP and TCP around full segments."""
_METADATA_SHARE = 0.001
"""Of the bytes in a segment."""


class Machine(msgspec.Struct, frozen=True):
    """What a machine has."""

    name: str
    cores: int
    memory_gb_per_second: float
    network_gbit_per_second: float
    disk_mb_per_second: float


class Work(msgspec.Struct, frozen=True):
    """What an event takes."""

    name: str
    event_bytes: int
    cpu_seconds_per_million: float
    passes: int
    """How often a byte is read or written, by us and by the kernel, until it is sealed."""
    ratio: float
    """Bytes of events to bytes on the disk."""


MACHINES = (
    Machine("8 cores", 8, 100, 25, 3_000),
    Machine("64 cores", 64, 300, 100, 6_000),
)
# Worker CPU-seconds per million events of bench/results/2026-11-26-profile.
_RAW, _REFERENCE = 0.56, 0.67
# Compressed: Zstandard at a fast level, 1.05 GB/s on a core, to less than a third.
WORKS = (
    Work("raw", 320, _RAW, 13, 1.0),
    Work("reference", 320, _REFERENCE, 13, 1.0),
    Work("reference, compressed", 320, _REFERENCE + 0.32 / 1.05, 14, 3.2),
)


def limits(machine: Machine, work: Work) -> dict[str, float]:
    """Return how many events per second each resource allows."""
    gigabytes_per_million = work.event_bytes / 1e3
    cpu = work.cpu_seconds_per_million + gigabytes_per_million * _NETWORK_CPU_SECONDS_PER_GB
    wire_bytes = work.event_bytes / (1 - _HEADER_SHARE)
    stored_bytes = work.event_bytes * (1 + _METADATA_SHARE) / work.ratio
    rates = {
        "processor": machine.cores / cpu * 1e6,
        "memory": machine.memory_gb_per_second * 1e9 / (work.event_bytes * work.passes),
        "network": machine.network_gbit_per_second * 1e9 / 8 / wire_bytes,
        "disk": machine.disk_mb_per_second * 1e6 / stored_bytes,
    }
    return {resource: rate * _USABLE_SHARE for resource, rate in rates.items()}


def tables() -> str:
    """Return what machines have, what events take, and what follows."""
    machines = markdown(
        ("machine", "cores", "memory, GB/s", "network, Gbit/s", "disk, MB/s"),
        [
            (
                each.name,
                f"{each.cores}",
                f"{each.memory_gb_per_second:g}",
                f"{each.network_gbit_per_second:g}",
                f"{each.disk_mb_per_second:,g}",
            )
            for each in MACHINES
        ],
    )
    works = markdown(
        ("events", "bytes", "worker CPU-s per million", "passes", "ratio"),
        [
            (
                each.name,
                f"{each.event_bytes}",
                f"{each.cpu_seconds_per_million:.2f}",
                f"{each.passes}",
                f"{each.ratio:g}",
            )
            for each in WORKS
        ],
    )
    return f"{machines}\n\n{works}\n\n{markdown(_HEAD, _rows())}"


_HEAD = (
    *("machine, events", "by processor, M/s", "by memory, M/s", "by network, M/s", "by disk, M/s"),
    "expected, M/s",
)


def _rows() -> list[tuple[str, ...]]:
    rows = []
    for machine in MACHINES:
        for work in WORKS:
            rates = limits(machine, work)
            least = min(rates, key=rates.__getitem__)
            cells = [f"{rate / 1e6:.1f}" for rate in rates.values()]
            expected = f"{rates[least] / 1e6:.1f}, {least}"
            rows.append((f"{machine.name}, {work.name}", *cells, expected))
    return rows


if __name__ == "__main__":
    print(tables())
