"""`ingest status`: show what a running server is doing."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Annotated

import msgspec
import typer

from ingest.cli.options import DEFAULT_DATA_DIR, DataDir
from ingest.cli.running import attach
from ingest.cli.tables import render_table
from ingest.contract import PreviousServer
from ingest.counters import DiskStatus, LedgerStatus, Status, read_status

_RATE_SECONDS = 1.0


def status(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    json: Annotated[
        bool, typer.Option("--json", help="Print the whole document, without waiting for rates.")
    ] = False,
) -> None:
    """Show workers, listeners, rates and the ledger."""
    region = attach(data_dir)
    before, begun = read_status(region), time.monotonic()
    if json:
        typer.echo(msgspec.json.encode(before))
        return
    time.sleep(_RATE_SECONDS)  # a rate is a difference over time
    after, seconds = read_status(region), time.monotonic() - begun
    typer.echo(render_status(before, after, seconds))


def render_status(before: Status, after: Status, seconds: float) -> str:
    """Return the page for people; rates are from the difference of two documents."""
    parts = [
        _render_summary(after),
        _render_workers(before, after, seconds),
        _render_listeners(before, after, seconds),
    ]
    if after.stages:
        parts.append(_render_stages(after))
    parts.append(render_ledger(after.ledger))
    return "\n\n".join(parts)


def render_ledger(ledger: LedgerStatus) -> str:
    """Return the ledger written as the sum that it is."""
    parts = [
        ("=", "journaled", ledger.journaled),
        ("+", "filtered", ledger.filtered),
        ("+", "dead lettered", ledger.dead_lettered),
        *(("+", f"dropped: {reason}", count) for reason, count in ledger.dropped.items() if count),
        *(("+", f"lost: {reason}", count) for reason, count in ledger.lost.items() if count),
        ("+", "in flight", ledger.in_flight),
    ]
    width = max(len(f"{ledger.received:,}"), *(len(f"{count:,}") for _, _, count in parts))
    lines = [f"  {'received':24} {ledger.received:>{width},}"]
    lines += [f"{sign} {name:24} {count:>{width},}" for sign, name, count in parts]
    lines.append("  The sum closes." if ledger.closed else "  THE SUM DOES NOT CLOSE.")
    if ledger.kernel_dropped:
        lines.append(
            f"  Beside it, the kernel dropped {ledger.kernel_dropped:,} datagrams"
            " before they could be read."
        )
    return "\n".join(lines)


def _render_summary(status: Status) -> str:
    state = "ready" if status.ready else f"not ready: {', '.join(status.reasons)}"
    admin = f"http://{status.admin}" if status.admin else "none"
    uptime = timedelta(seconds=int(status.uptime_seconds))
    lines = [
        f"fapilog-ingest {status.version}, {state}",
        f"up {uptime}, data in {status.data_dir}, admin {admin}",
        _describe_disk(status.disk),
    ]
    if reload := status.last_reload:
        lines.append(f"last reload {reload.finished_at}, {reload.result}: {reload.message}")
    if status.previous_server:
        lines.append(f"previous server: killed, {_describe_loss(status.previous_server)}")
    return "\n".join(lines)


def _describe_disk(disk: DiskStatus) -> str:
    free = f"disk has {_in_gib(disk.free_bytes)} free"
    match disk.pressure:
        case "low":
            return f"{free}, LESS THAN {_in_gib(disk.low_water_bytes)}"
        case "reserve":
            return f"{free}, LESS THAN THE RESERVE OF {_in_gib(disk.reserve_bytes)}: SENDERS WAIT"
        case _:
            return free


def _in_gib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):,.2f} GiB"


def _describe_loss(previous: PreviousServer) -> str:
    if previous.lost is None:
        return f"not known how many events were lost: {previous.reason}"
    return f"{previous.lost:,} of {previous.received:,} events lost"


def _render_workers(before: Status, after: Status, seconds: float) -> str:
    headings = (
        "WORKER",
        "PID",
        "STATE",
        "INTAKE",
        "RESTARTS",
        "CONNECTIONS",
        "RECEIVED",
        "RECEIVED/S",
        "JOURNALED/S",
    )
    return render_table(
        headings,
        [
            (
                now.index,
                None if now.pid is None else str(now.pid),
                f"{now.state}, breaker open" if now.breaker_open else now.state,
                now.intake,
                now.restarts,
                now.connections,
                now.received,
                round((now.received - then.received) / seconds),
                round((now.journaled - then.journaled) / seconds),
            )
            for then, now in zip(before.workers, after.workers, strict=True)
        ],
    )


def _render_listeners(before: Status, after: Status, seconds: float) -> str:
    # A reload in between may have added some.
    known = [*before.listeners, *after.listeners[len(before.listeners) :]]
    return render_table(
        ("LISTENER", "ADDRESS", "RECEIVED", "RECEIVED/S", "REJECTED", "KERNEL DROPPED"),
        [
            (
                now.name,
                now.address if now.bound else "removed",
                now.received,
                round((now.received - then.received) / seconds),
                sum(now.rejected.values()),
                now.ledger.kernel_dropped,
            )
            for then, now in zip(known, after.listeners, strict=True)
        ],
    )


def _render_stages(status: Status) -> str:
    """Return a line for each stage; those that nothing is done for in Python have two counts."""
    headings = (
        "STAGE",
        "FILTERED",
        "CHANGED",
        "EVENTS",
        "µs/EVENT",
        "ERRORS",
        "TIMEOUTS",
        "SKIPPED",
        "BREAKER",
    )
    rows: list[tuple[object, ...]] = []
    for stage in status.stages:
        row: tuple[object, ...] = (None,) * 6
        if stage.events or stage.skipped or stage.breakers_open:
            row = (
                stage.events,
                round(stage.seconds * 1e6 / stage.events) if stage.events else None,
                stage.errors,
                stage.timeouts,
                stage.skipped,
                f"open in {stage.breakers_open:,}" if stage.breakers_open else "closed",
            )
        rows.append((stage.name, stage.filtered, stage.changed, *row))
    return render_table(headings, rows)
