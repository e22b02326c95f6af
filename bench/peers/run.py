"""One run: a fresh program, warmed up, that does its job on what the generator sends."""

from __future__ import annotations

import time
from itertools import takewhile

import msgspec

from bench import processes
from bench.generator import Sending, Sent
from bench.peers.grounds import Ground
from bench.peers.running import Running
from bench.runs import DEADLINE_SECONDS, MEASURED, WARM_UP, check_unbroken, cpu_at_rest
from bench.server import FailedRunError

RATES = (50_000.0, 100_000.0, 200_000.0, 300_000.0, 400_000.0, 600_000.0, 800_000.0)
"""Datagrams per second, one after the other, until more than half of them are lost."""

QUIET_SECONDS = 1.2
"""After so long in which nothing was written, the rest of some datagrams is lost."""

_POLL_SECONDS = 0.005
_FLUSH_SECONDS = 0.05
_STILL_SECONDS = 0.1
_WORST_SHARE = 0.5


class Step(msgspec.Struct, frozen=True):
    """Datagrams at one rate; those that are not written are lost."""

    rate: float
    sent: int
    sent_per_second: float
    written: int
    cpu_seconds: float = 0.0
    """Of all processes of the program."""

    @property
    def cpu_seconds_per_million(self) -> float:
        """Of datagrams written."""
        return self.cpu_seconds * 1e6 / max(self.written, 1)

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
    def lossless(self) -> list[Step]:
        """The steps before the first at which datagrams were lost."""
        return list(takewhile(lambda step: step.written == step.sent, self.steps))

    @property
    def lossless_rate(self) -> float:
        """The highest rate of datagrams sent at which, and below which, none was lost."""
        return max((step.sent_per_second for step in self.lossless), default=0.0)


def measure_stream(running: Running, ground: Ground, events: int, warm_up_events: int) -> PeerRun:
    """Measure once over TCP; raise FailedRunError if anything was lost or not done."""
    growth = _Growth(running)
    _send(growth, ground, warm_up_events, run=WARM_UP)
    _await_all(growth, warm_up_events)
    before = cpu_at_rest(running.pids)
    sent = _send(growth, ground, events)
    _await_all(growth, warm_up_events + events)
    ended_ns = growth.changed_ns
    cost = cpu_at_rest(running.pids) - before
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
    """Send at rising rates, each for some seconds; raise FailedRunError unless the output is right.

    What was written at each rate is counted, and has to be some of what was sent, each once.
    """
    growth = _Growth(running)
    sendings: list[Sent] = []
    steps: list[Step] = []
    written = 0
    before = cpu_at_rest(running.pids)
    for number, rate in enumerate(RATES, start=MEASURED):
        sent = _send(growth, ground, int(rate * seconds), run=number, rate=rate)
        now = _await_written(growth, written + sent.events, QUIET_SECONDS)
        after = cpu_at_rest(running.pids)
        rate_sent = sent.events / sent.seconds
        steps.append(Step(rate, sent.events, rate_sent, now - written, after - before))
        sendings.append(sent)
        written, before = now, after
        if steps[-1].share < _WORST_SHARE:
            break
    resident = sum(map(processes.peak_resident_bytes, running.pids))
    for step, sent in zip(steps, sendings, strict=True):
        if (found := running.check(sent, written, may_lose=True)) != step.written:
            raise FailedRunError(
                f"{step.written} datagrams were counted at {step.rate:,.0f}/s, but {found} found"
            )
    all_sent = sum(step.sent for step in steps)
    return PeerRun(
        events=written,
        events_per_second=max(
            step.written / sent.seconds for step, sent in zip(steps, sendings, strict=True)
        ),
        cpu_seconds_per_million=sum(step.cpu_seconds for step in steps) * 1e6 / max(written, 1),
        peak_resident_bytes=resident,
        generator_cpu_seconds_per_million=sum(s.cpu_seconds for s in sendings) * 1e6 / all_sent,
        steps=steps,
    )


class _Growth:
    """When what a program has written last grew.

    Only its size is looked at while the program works: to read it would take CPU from it.
    """

    def __init__(self, running: Running) -> None:
        self.running = running
        self.changed_ns = time.monotonic_ns()
        self._size = running.size()

    def look(self) -> float:
        """Look once; return for how many seconds nothing has changed."""
        size, now_ns = self.running.size(), time.monotonic_ns()
        if size != self._size:
            self._size, self.changed_ns = size, now_ns
        return (now_ns - self.changed_ns) / 1e9


def _send(
    growth: _Growth, ground: Ground, events: int, *, run: int = MEASURED, rate: float | None = None
) -> Sent:
    deadline = time.monotonic() + DEADLINE_SECONDS
    with Sending(
        ground.transport,
        growth.running.address,
        connections=ground.connections,
        events=events,
        message_format=ground.message_format,
        run=run,
        rate=rate,
    ) as sending:
        while sending.is_at_work:
            growth.look()
            if time.monotonic() > deadline:
                raise FailedRunError(f"{events} events are not taken in {DEADLINE_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)
        return check_unbroken(sending.finish(DEADLINE_SECONDS))


def _await_all(growth: _Growth, events: int) -> None:
    """Wait until exactly so many events are written."""
    written = _await_written(growth, events, DEADLINE_SECONDS)
    if written != events:
        raise FailedRunError(f"of {events} events {written} were written")


def _await_written(growth: _Growth, events: int, patience_seconds: float) -> int:
    """Wait until so many events are written, or nothing was for so long; return how many are."""
    running, written, counted_ns = growth.running, 0, 0
    began = time.monotonic()
    flush_at = began
    while (waited_seconds := time.monotonic() - began) < DEADLINE_SECONDS:
        still_seconds = min(growth.look(), waited_seconds)
        if still_seconds > patience_seconds:
            break
        if still_seconds > _STILL_SECONDS and counted_ns != growth.changed_ns:
            written, counted_ns = running.written(), growth.changed_ns
            if written >= events:
                break
        if began + waited_seconds > flush_at:
            running.flush()
            flush_at = began + waited_seconds + _FLUSH_SECONDS
        time.sleep(_POLL_SECONDS)
    return running.written()
