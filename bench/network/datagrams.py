"""Datagrams at a constant rate: how many are lost, and whether the server counts all of those.

A datagram is sent whether or not there is room for it, so the sum has to be exact:
sent = received + dropped by the kernel. Without a pipeline, RFC 5424 of about 200 bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from bench import processes, runs
from bench.figures import markdown
from bench.generator import Sending, Sent
from bench.network.plan import NetworkPlan
from bench.runs import MEASURED, Load
from bench.server import FailedRunError, Server

PIPELINE = "none"
RATE = 300_000.0

_SETTLE_SECONDS = 10.0
_POLL_SECONDS = 0.01

_TITLE = """\
### UDP, {senders} senders

RFC 5424 of about 200 bytes, one a datagram, from {senders} sockets, pipeline `{pipeline}`. In every
run sent = received + dropped by the kernel, to the datagram, and all that was received was stored.

{table}
"""
_HEAD = (
    "run",
    "sent/s",
    "sent",
    "received",
    "dropped by the kernel",
    "lost",
    "server CPU-s per million",
    "generator CPU-s",
)


class DatagramRun(msgspec.Struct, frozen=True):
    """One fresh server; the counts are datagrams."""

    sent: int
    received: int
    kernel_dropped: int
    send_errors: int
    sent_per_second: float
    cpu_seconds_per_million: float
    """Of all processes of the server, per datagram received."""
    generator_cpu_seconds: float


class DatagramCase(msgspec.Struct, frozen=True, tag_field="case", tag="udp"):
    """All runs with one number of sending sockets."""

    senders: int
    rate: float | None
    runs: list[DatagramRun]

    def section(self) -> str:
        """Return the part of the page for people."""
        return _TITLE.format(
            senders=self.senders,
            pipeline=PIPELINE,
            table=markdown(_HEAD, [*map(_row, range(1, len(self.runs) + 1), self.runs)]),
        )


def measure(network: NetworkPlan, senders: int, tell: Callable[[str], None]) -> DatagramCase:
    """Measure one number of sending sockets."""
    rate = network.pace(RATE)
    case = DatagramCase(senders, rate, [])
    for number in range(1, network.plan.runs + 1):
        run = _run(network, senders, rate)
        case.runs.append(run)
        tell(
            f"run {number}, {senders} senders: {run.sent:,} sent at {run.sent_per_second:,.0f}/s,"
            f" {run.received:,} received, {run.kernel_dropped:,} dropped by the kernel"
        )
    return case


def _run(network: NetworkPlan, senders: int, rate: float | None) -> DatagramRun:
    # Warmed up over TCP, where nothing gets lost.
    load = Load(pipeline=PIPELINE, connections=1, events=0, message_format="rfc5424")
    with runs.warm_server(network.plan, load, "udp") as server:
        before = processes.cpu_seconds(server.pids)
        with Sending(
            "udp",
            server.addresses["udp"],
            connections=senders,
            events=network.events(rate),
            message_format=load.message_format,
            run=MEASURED,
            rate=rate,
        ) as generator:
            sent = generator.finish()
        received, dropped = _await_all(server, sent)
        server.await_settled(load.warm_up_events + received, runs.DEADLINE_SECONDS)
        cost = processes.cpu_seconds(server.pids) - before
        server.check_ledger(sent=load.warm_up_events + received, filtered=0)
    return DatagramRun(
        sent=sent.events,
        received=received,
        kernel_dropped=dropped,
        send_errors=sent.send_errors,
        sent_per_second=sent.events / sent.seconds,
        cpu_seconds_per_million=cost * 1e6 / max(received, 1),
        generator_cpu_seconds=sent.cpu_seconds,
    )


def _await_all(server: Server, sent: Sent) -> tuple[int, int]:
    """Wait until every datagram is accounted for; return how many were received and dropped."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        received = server.sum_of("ingest_datagrams_received_total", "udp")
        dropped = server.sum_of("ingest_kernel_dropped_total", "udp")
        if received + dropped == sent.events:
            return received, dropped
        if time.monotonic() > deadline:
            raise FailedRunError(
                f"{sent.events} datagrams were sent, but {received} received and {dropped} counted"
                f" as dropped: {sent.events - received - dropped} are nowhere"
            )
        time.sleep(_POLL_SECONDS)


def _row(number: int, run: DatagramRun) -> list[str]:
    return [
        str(number),
        f"{run.sent_per_second:,.0f}",
        f"{run.sent:,}",
        f"{run.received:,}",
        f"{run.kernel_dropped:,}",
        f"{(run.sent - run.received) / run.sent:.4%}",
        f"{run.cpu_seconds_per_million:.2f}",
        f"{run.generator_cpu_seconds:.2f}",
    ]
