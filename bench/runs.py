"""One run: a fresh server, warmed up, that takes the events of a load and is asked for all of them.

What it says it did is checked, and what it stored is read back.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import processes, settings, stored, switched_off
from bench.generator import Sending, Sent, Transport
from bench.parameters import Parameters
from bench.server import FailedRunError, Server

DEADLINE_SECONDS = 120.0
FAILURES = (
    FailedRunError,
    subprocess.SubprocessError,
    OSError,
    msgspec.DecodeError,
    ValueError,
    IndexError,
)
"""All that a run may end with in place of a figure.

A server that died in the middle is a process that is gone, a report that is cut off, or counts that
make no sense.
"""
DEBUG_ONE_IN = 5
"""One in so many events of the generator is DEBUG, in every connection alike."""
WARM_UP, MEASURED = 0, 1
"""What the events' identities call the two parts of a run."""

# The keeper of a journal looks once a second whether a segment is to be sealed.
_KEEPER_SECONDS = 1.1
_LOOK_SECONDS = 0.2
_REST_SECONDS = 10.0


class Plan(msgspec.Struct, frozen=True):
    """How often to measure, with how much."""

    events: int
    runs: int
    latency_seconds: float
    workers: int | None
    data_dir: Path


class Load(Parameters, frozen=True, kw_only=True):
    """What a server is set to do, and how much of what it is sent."""

    events: int
    """Where the pipeline drops DEBUG, whole cycles of levels on every connection."""
    warm_up_events: int = 200_000
    rate: float | None = None
    """Events per second; none is as fast as the server takes them."""
    burst: int | None = None
    """The most events that a connection sends at a time."""

    def whole_cycles(self, events: float) -> int:
        """Return about so many, at least one cycle of levels on every connection."""
        cycle = self.connections * DEBUG_ONE_IN
        return max(1, int(events) // cycle) * cycle

    def filtered(self, events: int) -> int:
        """Return how many of so many events the pipeline drops."""
        return events // DEBUG_ONE_IN if settings.drops_debug(self.pipeline) else 0


class Run(msgspec.Struct, frozen=True):
    """One fresh server under load; rates and costs are of events received."""

    events: int
    """Sent, after the warm-up."""
    bytes: int
    """Of these, as sent."""
    kernel_dropped: int
    """Datagrams that the kernel had no room for."""
    stored_events: int | None
    """Of these, as counted in the journal that was read back; null where nothing is written."""
    events_per_second: float
    """Until the last one was durable."""
    cpu_seconds_per_million: float
    """Of all processes of the server, with what was left to be sealed behind the last event."""
    worker_cpu_seconds_per_million: float
    generator_cpu_seconds_per_million: float
    peak_resident_bytes: dict[str, int]
    """By role and process id."""

    @property
    def largest_worker_bytes(self) -> int:
        """The peak of the worker that had the highest."""
        peaks = self.peak_resident_bytes.items()
        return max(peak for process, peak in peaks if process.startswith("worker "))


def measure(plan: Plan, load: Load) -> Run:
    """Measure once; raise FailedRunError if anything was lost, or stored twice or out of order."""
    with warm_server(plan, load) as server:
        workers = [pid for pid in server.pids if processes.role(pid) == "worker"]
        all_before, workers_before = map(processes.cpu_seconds, (server.pids, workers))
        sent = send(server, load, load.events)
        settled_ns, kernel_dropped = await_settled(server, load, sent)
        all_after = cpu_at_rest(server.pids)
        workers_after = processes.cpu_seconds(workers)
        resident = {
            f"{processes.role(pid)} {pid}": processes.peak_resident_bytes(pid)
            for pid in server.pids
        }
        check_ledger(server, load, load.events, kernel_dropped)
        stored_events = _check_stored(server, load, sent)
    received = load.events - kernel_dropped
    millions = received / 1e6
    return Run(
        events=load.events,
        bytes=sent.bytes,
        kernel_dropped=kernel_dropped,
        stored_events=stored_events,
        events_per_second=received * 1e9 / (settled_ns - sent.started_ns),
        cpu_seconds_per_million=(all_after - all_before) / millions,
        worker_cpu_seconds_per_million=(workers_after - workers_before) / millions,
        generator_cpu_seconds_per_million=sent.cpu_seconds * 1e6 / load.events,
        peak_resident_bytes=resident,
    )


def sending(
    server: Server, load: Load, events: int, *, run: int = MEASURED, timeline: Path | None = None
) -> Sending:
    """Begin to send so many events of a load; the warm-up goes where nothing gets lost."""
    transport = load.transport if run == MEASURED else _warm_up_transport(load)
    return Sending(
        transport,
        server.addresses[transport],
        connections=load.connections,
        events=events,
        message_format=load.message_format,
        event_bytes=load.event_bytes,
        run=run,
        rate=load.rate if run == MEASURED else None,
        burst=load.burst,
        timeline=timeline,
    )


def send(server: Server, load: Load, events: int, *, run: int = MEASURED) -> Sent:
    """Send so many events of a load; raise FailedRunError if a connection broke."""
    paced_seconds = events / load.rate if load.rate and run == MEASURED else 0.0
    with sending(server, load, events, run=run) as generator:
        return finish(generator, paced_seconds)


def finish(generator: Sending, paced_seconds: float = 0.0) -> Sent:
    """Wait until all is sent; raise FailedRunError if it takes too long or a connection broke.

    `paced_seconds` is how long it has to take, because of its rate.
    """
    try:
        return check_unbroken(generator.finish(paced_seconds + DEADLINE_SECONDS))
    except subprocess.TimeoutExpired as error:
        raise FailedRunError("the server does not take the events: sending never ended") from error


def check_unbroken(sent: Sent) -> Sent:
    """Return it, unless a connection broke."""
    if not sent.unbroken:
        raise FailedRunError(
            f"of {len(sent.per_connection)} connections {sent.resets} were reset, the server closed"
            f" {sent.closed}, and {sent.failed} failed"
        )
    return sent


def await_settled(server: Server, load: Load, sent: Sent) -> tuple[int, int]:
    """Wait until all is durable or filtered.

    Return when that was, in monotonic ns, and how many datagrams the kernel dropped.
    """
    dropped = server.await_datagrams(sent.events) if load.transport == "udp" else 0
    events = load.warm_up_events + sent.events - dropped
    return server.await_settled(events, DEADLINE_SECONDS), dropped


def cpu_at_rest(pids: Sequence[int]) -> float:
    """Return the CPU time of a server once it has done what it owed; raise FailedRunError if never.

    Segments are sealed in the background, also behind the last event.
    """
    deadline = time.monotonic() + _REST_SECONDS
    time.sleep(_KEEPER_SECONDS)
    before = processes.cpu_seconds(pids)
    while time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        now = processes.cpu_seconds(pids)
        if now - before <= processes.TICK_SECONDS * 1.5:
            return now
        before = now
    raise FailedRunError(
        f"the processes are still at work {_REST_SECONDS:g} s behind the last event"
    )


def check_ledger(server: Server, load: Load, events: int, kernel_dropped: int = 0) -> None:
    """Fail unless the warm-up and so many events were stored, but for those that are filtered."""
    filtered = load.filtered(load.warm_up_events) + load.filtered(events)
    if kernel_dropped:
        # How many of those the filter would have dropped, nobody knows.
        filtered = min(filtered, max(server.ledger().filtered, filtered - kernel_dropped))
    server.check_ledger(sent=load.warm_up_events + events - kernel_dropped, filtered=filtered)


def _check_stored(server: Server, load: Load, sent: Sent) -> int | None:
    """Read the journal back; return how many events of the measured part it has.

    The ledger has been checked, so what has to be there is what it says is journaled; or nothing.
    """
    if load.journal == "off":
        if written := stored.written_bytes(server.data_dir):
            raise FailedRunError(f"{written} bytes were written to a journal that is off")
        return None
    findings = stored.check(server.data_dir, sent)
    # Datagrams of one socket go to any worker, whose queues are not equally long.
    disorder = findings.reordered + findings.received_out_of_order if load.transport != "udp" else 0
    journaled = server.ledger().journaled
    if (
        findings.events + findings.other_runs != journaled
        or findings.other_runs != load.warm_up_events - load.filtered(load.warm_up_events)
        or findings.foreign + findings.duplicated + disorder
    ):
        raise FailedRunError(
            f"{journaled} events are journaled, but what is stored is not them: {findings}"
        )
    return findings.events


@contextmanager
def server_directory(plan: Plan) -> Iterator[Path]:
    """Give a directory for all that a server writes, and remove it after."""
    with tempfile.TemporaryDirectory(dir=plan.data_dir, prefix="bench-") as directory:
        yield Path(directory)


@contextmanager
def warm_server(
    plan: Plan, load: Load, *also: Transport, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Give a fresh server that has already taken in some events; its data are removed after.

    It also listens for the transports named, and has this in its environment.
    """
    with server_directory(plan) as directory:
        transports = (load.transport, _warm_up_transport(load), *also)
        listeners = dict.fromkeys(transports, settings.ANY_PORT)
        configuration = settings.write(directory, load.pipeline, listeners, journal=load.journal)
        whole = {**switched_off.environment(load), **(environment or {})}
        with Server(
            directory / "data", directory / "log", configuration, plan.workers, whole
        ) as server:
            send(server, load, load.warm_up_events, run=WARM_UP)
            server.await_settled(load.warm_up_events, DEADLINE_SECONDS)
            yield server


def _warm_up_transport(load: Load) -> Transport:
    return "tcp" if load.transport == "udp" else load.transport
