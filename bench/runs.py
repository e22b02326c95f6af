"""One run: a fresh server with some pipeline, warmed up, that takes the events of a load."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import processes, settings, stored
from bench.generator import Format, Sending, Sent, Transport
from bench.server import FailedRunError, Server

DEADLINE_SECONDS = 120.0
DEBUG_ONE_IN = 5
"""One in so many events of the generator is DEBUG, in every connection alike."""
WARM_UP, MEASURED = 0, 1
"""What the events' identities call the two parts of a run."""


class Plan(msgspec.Struct, frozen=True):
    """How often to measure, with how much."""

    events: int
    runs: int
    latency_seconds: float
    workers: int | None
    data_dir: Path


class Load(msgspec.Struct, frozen=True):
    """What a server is set to do, and what it is sent."""

    pipeline: str
    """The name of a file in bench/configurations/."""
    connections: int
    events: int
    warm_up_events: int = 200_000
    drops_debug: bool = False
    """Whether the pipeline's filter drops DEBUG; then every connection sends whole cycles."""
    transport: Transport = "tcp"
    message_format: Format = "json"
    rate: float | None = None
    """Events per second; none is as fast as the server takes them."""
    burst: int | None = None
    """The most events that a connection sends at a time."""
    environment: dict[str, str] = {}
    """Added to that of the server."""

    def filtered(self, events: int) -> int:
        """Return how many of so many events the filter drops."""
        return events // DEBUG_ONE_IN if self.drops_debug else 0


class Run(msgspec.Struct, frozen=True):
    """One fresh server under load; rates and costs are of events received."""

    events_per_second: float
    cpu_seconds_per_million: float
    """Of all processes of the server."""
    worker_cpu_seconds_per_million: float
    generator_cpu_seconds_per_million: float
    peak_resident_bytes: dict[str, int]


def measure(plan: Plan, load: Load, *, look_at_events: bool = False) -> Run:
    """Measure once; raise FailedRunError if the ledger is not what it has to be.

    To `look_at_events` is to read the journal back: each event once, each connection in order.
    """
    with warm_server(plan, load) as server:
        workers = [pid for pid in server.pids if processes.role(pid) == "worker"]
        all_before, workers_before = map(processes.cpu_seconds, (server.pids, workers))
        sent = send(server, load, load.events)
        settled_ns = server.await_settled(load.warm_up_events + load.events, DEADLINE_SECONDS)
        all_after, workers_after = map(processes.cpu_seconds, (server.pids, workers))
        check_ledger(server, load, load.events)
        if look_at_events and not (findings := stored.check(server.data_dir, sent)).clean:
            raise FailedRunError(f"what was stored is not what was sent: {findings}")
        millions = load.events / 1e6
        return Run(
            events_per_second=load.events * 1e9 / (settled_ns - sent.started_ns),
            cpu_seconds_per_million=(all_after - all_before) / millions,
            worker_cpu_seconds_per_million=(workers_after - workers_before) / millions,
            generator_cpu_seconds_per_million=sent.cpu_seconds / millions,
            peak_resident_bytes={
                f"{processes.role(pid)} {pid}": processes.peak_resident_bytes(pid)
                for pid in server.pids
            },
        )


def sending(
    server: Server, load: Load, events: int, *, run: int = MEASURED, timeline: Path | None = None
) -> Sending:
    """Begin to send so many events of a load."""
    return Sending(
        load.transport,
        server.addresses[load.transport],
        connections=load.connections,
        events=events,
        message_format=load.message_format,
        run=run,
        rate=load.rate if run == MEASURED else None,
        burst=load.burst,
        timeline=timeline,
    )


def send(server: Server, load: Load, events: int, *, run: int = MEASURED) -> Sent:
    """Send so many events of a load; raise FailedRunError if a connection broke."""
    with sending(server, load, events, run=run) as generator:
        return check_unbroken(generator.finish())


def check_unbroken(sent: Sent) -> Sent:
    """Return it, unless a connection broke."""
    if not sent.unbroken:
        raise FailedRunError(
            f"of {len(sent.per_connection)} connections {sent.resets} were reset, the server closed"
            f" {sent.closed}, and {sent.failed} failed"
        )
    return sent


def check_ledger(server: Server, load: Load, events: int) -> None:
    """Fail unless the warm-up and so many events were stored, but for those that are filtered."""
    server.check_ledger(
        sent=load.warm_up_events + events,
        filtered=load.filtered(load.warm_up_events) + load.filtered(events),
    )


@contextmanager
def server_directory(plan: Plan) -> Iterator[Path]:
    """Give a directory for all that a server writes, and remove it after."""
    with tempfile.TemporaryDirectory(dir=plan.data_dir, prefix="bench-") as directory:
        yield Path(directory)


@contextmanager
def warm_server(plan: Plan, load: Load, *also: Transport) -> Iterator[Server]:
    """Give a fresh server that has already taken in some events; its data are removed after.

    It also listens for the transports named.
    """
    with server_directory(plan) as directory:
        listeners = dict.fromkeys((load.transport, *also), settings.ANY_PORT)
        configuration = settings.write(directory, load.pipeline, listeners)
        with Server(
            directory / "data", directory / "log", configuration, plan.workers, load.environment
        ) as server:
            send(server, load, load.warm_up_events, run=WARM_UP)
            server.await_settled(load.warm_up_events, DEADLINE_SECONDS)
            yield server
