"""The state of a running server as one document, read from the shared region.

`/status`, `/readyz` and `ingest status` all show this document. It only reads, takes no lock and
can be made by any process that has the region.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from ingest import contract
from ingest._native import METRICS, Ledger, Region
from ingest.contract import (
    DiskPressure,
    IntakePause,
    ListenerKind,
    PreviousServer,
    ReloadDescription,
    ServerDescription,
    WorkerState,
)

_NANOSECONDS = 1_000_000_000

_INTAKE_WORDS = {
    IntakePause.RUNNING: "running",
    IntakePause.QUEUE_FULL: "paused: the disk is slower than the senders",
    IntakePause.NO_SPACE: "paused: no space left on the disk",
    IntakePause.DISK_ERROR: "paused: the disk reports errors",
    IntakePause.DISK_RESERVE: "paused: no more than the reserve is free on the disk",
}

_REJECTED = "ingest_events_rejected_total"
_REJECT_REASONS = next(metric for metric in METRICS if metric.name == _REJECTED).label_values


class LedgerStatus(msgspec.Struct, kw_only=True):
    """Where every event that was received is now; it is closed if the parts make up the whole.

    `kernel_dropped` counts datagrams that nobody could read and stands beside the sum.
    """

    received: int = 0
    journaled: int = 0
    filtered: int = 0
    dead_lettered: int = 0
    dropped: dict[str, int] = {}
    lost: dict[str, int] = {}
    in_flight: int = 0
    closed: bool = True
    kernel_dropped: int = 0


class WorkerStatus(msgspec.Struct, kw_only=True):
    """One worker slot; its counts outlive its processes."""

    index: int
    pid: int | None
    state: str
    generation: int
    restarts: int
    breaker_open: bool
    heartbeat_age_seconds: float | None
    intake: str
    connections: int
    received: int
    journaled: int


class DiskStatus(msgspec.Struct, kw_only=True):
    """What is free on the file system of the data directory; of several, where it is tightest."""

    free_bytes: int
    low_water_bytes: int
    """With less, people are warned."""
    reserve_bytes: int
    """With less, nothing is read."""
    pressure: str
    """`none`, `low` or `reserve`."""


class ListenerStatus(msgspec.Struct, kw_only=True):
    """One listener, over all workers."""

    name: str
    kind: ListenerKind
    address: str
    bound: bool
    received: int
    received_bytes: int
    connections_opened: int
    connections_closed: int
    datagrams: int
    rejected: dict[str, int]
    ledger: LedgerStatus


class StageStatus(msgspec.Struct, kw_only=True):
    """One stage of the pipeline, over all workers; the last five are of Python plugins."""

    name: str
    filtered: int
    changed: int
    events: int
    seconds: float
    errors: int
    timeouts: int
    skipped: int
    breakers_open: int


class Readiness(msgspec.Struct, kw_only=True):
    """Whether every worker takes events; where not, why."""

    ready: bool
    reasons: list[str]


class Status(msgspec.Struct, kw_only=True):
    """The whole document."""

    version: str
    data_dir: str
    started_at: str
    uptime_seconds: float
    admin: str | None
    last_reload: ReloadDescription | None
    previous_server: PreviousServer | None
    ready: bool
    reasons: list[str]
    disk: DiskStatus
    workers: list[WorkerStatus]
    listeners: list[ListenerStatus]
    stages: list[StageStatus]
    ledger: LedgerStatus


def read_status(region: Region) -> Status:
    """Read the document as of now."""
    region.refresh()
    description = contract.decode(region.descriptor, ServerDescription)
    slots, listeners = range(region.workers), range(len(region.listeners))
    now_ns = time.monotonic_ns()
    # A worker may be respawned between two readings: its ledgers are read once and used for all.
    ledgers = [[region.ledger(slot, listener) for listener in listeners] for slot in slots]
    workers = [_read_worker(region, slot, ledgers[slot], now_ns) for slot in slots]
    readiness = judge(workers, description.heartbeat_timeout_seconds)
    uptime_ns = max(0, time.time_ns() - region.boot_time_ns)
    return Status(
        version=description.version,
        data_dir=description.data_dir,
        started_at=datetime.fromtimestamp(region.boot_time_ns // _NANOSECONDS, UTC).isoformat(),
        uptime_seconds=round(uptime_ns / _NANOSECONDS, 3),
        admin=description.admin,
        last_reload=description.last_reload,
        previous_server=description.previous_server,
        ready=readiness.ready,
        reasons=readiness.reasons,
        disk=_read_disk(region),
        workers=workers,
        listeners=[
            _read_listener(region, description, listener, [row[listener] for row in ledgers])
            for listener in listeners
        ],
        stages=[_read_stage(region, stage, name) for stage, name in enumerate(region.stages)],
        ledger=add_up(ledger for row in ledgers for ledger in row),
    )


def judge(workers: Iterable[WorkerStatus], heartbeat_timeout_seconds: float) -> Readiness:
    """Say whether the server is ready: every worker is, and has shown life lately."""
    reasons = []
    for worker in workers:
        age = worker.heartbeat_age_seconds
        if worker.state != WorkerState.READY.name.lower():
            reasons.append(f"worker {worker.index} is {worker.state}")
        elif age is None or age > heartbeat_timeout_seconds:
            reasons.append(f"worker {worker.index} shows no heartbeat")
    return Readiness(ready=not reasons, reasons=reasons)


def add_up(ledgers: Iterable[Ledger]) -> LedgerStatus:
    """Return the sum of ledgers; it is closed if each of them is."""
    total = LedgerStatus()
    for ledger in ledgers:
        total.received += ledger.received
        total.journaled += ledger.journaled
        total.filtered += ledger.filtered
        total.dead_lettered += ledger.dead_lettered
        for of_total, of_ledger in ((total.dropped, ledger.dropped), (total.lost, ledger.lost)):
            for reason, count in of_ledger.items():
                of_total[reason] = of_total.get(reason, 0) + count
        total.in_flight += ledger.in_flight
        total.closed = total.closed and ledger.closed
        total.kernel_dropped += ledger.kernel_dropped
    return total


def _read_worker(region: Region, slot: int, ledgers: Iterable[Ledger], now_ns: int) -> WorkerStatus:
    def cell(name: str) -> int:
        return region.get(slot, name)

    total = add_up(ledgers)
    heartbeat_ns = cell("ingest_worker_heartbeat_ns")
    age = max(0, now_ns - heartbeat_ns) / _NANOSECONDS
    return WorkerStatus(
        index=slot,
        pid=cell("ingest_worker_pid") or None,
        state=WorkerState(cell("ingest_worker_state")).name.lower(),
        generation=cell("ingest_worker_generation"),
        restarts=cell("ingest_worker_restarts_total"),
        breaker_open=bool(cell("ingest_worker_breaker_open")),
        heartbeat_age_seconds=round(age, 3) if heartbeat_ns else None,
        intake=_INTAKE_WORDS[IntakePause(cell("ingest_intake_paused"))],
        connections=cell("ingest_connections"),
        received=total.received,
        journaled=total.journaled,
    )


def _read_disk(region: Region) -> DiskStatus:
    return DiskStatus(
        free_bytes=region.get(None, "ingest_disk_free_bytes"),
        low_water_bytes=region.get(None, "ingest_disk_low_water_bytes"),
        reserve_bytes=region.get(None, "ingest_disk_reserve_bytes"),
        pressure=DiskPressure(region.get(None, "ingest_disk_pressure")).name.lower(),
    )


def _read_listener(
    region: Region, description: ServerDescription, listener: int, ledgers: list[Ledger]
) -> ListenerStatus:
    def cells(name: str, label: str | None = None) -> int:
        slots = range(region.workers)
        return sum(region.get(slot, name, listener=listener, label=label) for slot in slots)

    described = description.listeners[listener]
    total = add_up(ledgers)
    return ListenerStatus(
        name=described.name,
        kind=described.kind,
        address=described.address,
        bound=described.bound,
        received=total.received,
        received_bytes=cells("ingest_received_bytes_total"),
        connections_opened=cells("ingest_connections_opened_total"),
        connections_closed=cells("ingest_connections_closed_total"),
        datagrams=cells("ingest_datagrams_received_total"),
        rejected={reason: cells(_REJECTED, reason) for reason in _REJECT_REASONS},
        ledger=total,
    )


def _read_stage(region: Region, stage: int, name: str) -> StageStatus:
    def cells(what: str) -> int:
        slots = range(region.workers)
        return sum(region.get(slot, f"ingest_stage_{what}", stage=stage) for slot in slots)

    return StageStatus(
        name=name,
        filtered=cells("filtered_total"),
        changed=cells("changed_total"),
        events=cells("events_total"),
        seconds=cells("seconds_total") / _NANOSECONDS,
        errors=cells("errors_total"),
        timeouts=cells("timeouts_total"),
        skipped=cells("skipped_total"),
        breakers_open=cells("breaker_open"),
    )
