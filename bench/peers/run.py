"""One run: a fresh program, warmed up, that does its job on what the generator sends."""

from __future__ import annotations

import time

import msgspec

from bench import processes
from bench.generator import Sending, Sent
from bench.peers.grounds import Ground
from bench.peers.running import Running
from bench.runs import DEADLINE_SECONDS, MEASURED, WARM_UP, check_unbroken
from bench.server import FailedRunError

RATES = (50_000.0, 100_000.0, 200_000.0, 300_000.0, 400_000.0, 600_000.0, 800_000.0)
"""Datagrams per second, one after the other, until more than half of them are lost."""

_POLL_SECONDS = 0.005
_FLUSH_SECONDS = 0.05
_QUIET_SECONDS = 1.2
_WORST_SHARE = 0.5


class Step(msgspec.Struct, frozen=True):
    """Datagrams at one rate; those that are not written are lost."""

    rate: float
    sent: int
    sent_per_second: float
    written: int

    @property
    def share(self) -> float:
        """What part of them was written."""
        return self.written / self.sent


class PeerRun(msgspec.Struct, frozen=True):
    """One fresh program; costs are of events written."""

    events: int
    events_per_second: float
    """Until the last was where it belongs; for datagrams the most that was written at any rate."""
    cpu_seconds_per_million: float
    """Of all its processes."""
    peak_resident_bytes: int | None
    """The sum over its processes."""
    generator_cpu_seconds_per_million: float
    steps: list[Step] = []
    """Of datagrams."""

    @property
    def lossless_rate(self) -> float:
        """The highest rate of datagrams sent at which, and below which, none was lost."""
        rate = 0.0
        for step in self.steps:
            if step.written < step.sent:
                break
            rate = max(rate, step.sent_per_second)
        return rate


def measure_stream(running: Running, ground: Ground, events: int, warm_up_events: int) -> PeerRun:
    """Measure once over TCP; raise FailedRunError if anything was lost or not done."""
    _send(running, ground, warm_up_events, run=WARM_UP)
    _await_written(running, warm_up_events)
    before = processes.cpu_seconds(running.pids)
    sent = _send(running, ground, events)
    ended_ns = _await_written(running, warm_up_events + events)
    cost = processes.cpu_seconds(running.pids) - before
    resident = sum(map(processes.peak_resident_bytes, running.pids))
    running.check(sent, warm_up_events + events, may_lose=False)
    return PeerRun(
        events=events,
        events_per_second=events * 1e9 / (ended_ns - sent.started_ns),
        cpu_seconds_per_million=cost * 1e6 / events,
        peak_resident_bytes=resident,
        generator_cpu_seconds_per_million=sent.cpu_seconds * 1e6 / events,
    )


def measure_datagrams(running: Running, ground: Ground, seconds: float) -> PeerRun:
    """Send at rising rates, each for some seconds; what was written at each is counted."""
    steps: list[Step] = []
    best = generator_seconds = 0.0
    written = 0
    before = processes.cpu_seconds(running.pids)
    for rate in RATES:
        sent = _send(running, ground, int(rate * seconds), rate=rate)
        now = _await_quiet(running, written + sent.events)
        steps.append(Step(rate, sent.events, sent.events / sent.seconds, now - written))
        best = max(best, (now - written) / sent.seconds)
        generator_seconds += sent.cpu_seconds
        written = now
        if steps[-1].share < _WORST_SHARE:
            break
    cost = processes.cpu_seconds(running.pids) - before
    resident = sum(map(processes.peak_resident_bytes, running.pids))
    return PeerRun(
        events=written,
        events_per_second=best,
        cpu_seconds_per_million=cost * 1e6 / max(written, 1),
        peak_resident_bytes=resident,
        generator_cpu_seconds_per_million=generator_seconds * 1e6 / sum(s.sent for s in steps),
        steps=steps,
    )


def _send(
    running: Running, ground: Ground, events: int, *, run: int = MEASURED, rate: float | None = None
) -> Sent:
    with Sending(
        ground.transport,
        running.address,
        connections=ground.connections,
        events=events,
        message_format=ground.message_format,
        run=run,
        rate=rate,
    ) as sending:
        while sending.is_at_work:
            running.written()  # a look now and then, so that the last one has little to count
            time.sleep(_POLL_SECONDS)
        return check_unbroken(sending.finish())


def _await_written(running: Running, events: int) -> int:
    """Wait until so many events are written; return when that was, in monotonic ns."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    flush_at = 0.0
    while (written := running.written()) < events:
        now = time.monotonic()
        if now > deadline:
            raise FailedRunError(f"of {events} events {written} were written, and no more came")
        if now > flush_at:
            running.flush()
            flush_at = now + _FLUSH_SECONDS
        time.sleep(_POLL_SECONDS)
    if written > events:
        raise FailedRunError(f"of {events} events {written} were written")
    return time.monotonic_ns()


def _await_quiet(running: Running, most: int) -> int:
    """Wait until all is written or nothing comes any more; return how many events there are."""
    written, since = running.written(), time.monotonic()
    while written < most and time.monotonic() - since < _QUIET_SECONDS:
        running.flush()
        time.sleep(_FLUSH_SECONDS)
        if (now := running.written()) != written:
            written, since = now, time.monotonic()
    return written
