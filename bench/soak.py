"""A long run under faults: whether anything grows, whether every event is stored exactly once.

The load comes in legs. At the end of each every connection closes in order, the server comes to
rest for a moment, and new connections carry the next leg; meanwhile the journal of the last one is
read back. Within a leg, workers are killed and replaced. Growth is reported, never judged.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from signal import SIGUSR1
from statistics import median
from urllib.request import urlopen

import msgspec

from bench import footprint, processes, runs, stored
from bench.figures import markdown, spread, summarise
from bench.footprint import Footprint
from bench.generator import Sending
from bench.runs import Load, Plan
from bench.server import FailedRunError
from bench.stored import Findings, Stretch
from chaos.fault import Fault, Promise
from chaos.faults import BY_NAME
from chaos.tier import RECOVERY_SECONDS, Tier
from ingest.counters import LedgerStatus

PIPELINE = "none"
CONNECTIONS = 50
WORKERS = 2
SEGMENT_BYTES = 64 * 1024 * 1024

_RUNS = 100
"""As many as the identity of an event tells apart."""
_EVENT_BYTES = 340
_CLOSE_SECONDS = 60.0
_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 0.2, 2.0
_REST_SECONDS = 5.0
_LOOK_SECONDS = 0.1
_MIB = 1024 * 1024
_DURABLE = "ingest_journal_durable_sequence"

_TITLE = """
## Soak

{seconds:,.0f} seconds of JSON events of about 320 bytes at {rate:,.0f} events/s over {connections}
connections to {workers} workers, pipeline `{pipeline}`, in {legs} legs of {leg_seconds:g} seconds.
Faults at random moments, seed {seed}: {faults}.

{table}

Growth is that of the median of the last fifth of the run over the second fifth. Memory is what
would be free without the server: the private memory of all its processes and all shared memory.
Descriptors at rest are those between two legs, when no connection is open.
"""


class Replace(Fault):
    """Every worker has a successor, as after a reload that changes what they are told."""

    name = "replace"
    promise = Promise(words="nothing that was read is lost, connections live on")

    def strike(self, tier: Tier, chance: Random) -> None:
        """Have all workers replaced."""
        del chance
        workers = tier.ready_workers()
        tier.server.signal(SIGUSR1)
        for index, pid in workers.items():
            tier.await_successor(index, pid)
        tier.await_replaced()


FAULTS: dict[str, type[Fault]] = {**BY_NAME, Replace.name: Replace}
DEFAULT_FAULTS = ("kill-worker", "replace")


class SoakPlan(msgspec.Struct, frozen=True):
    """What to do for how long."""

    seconds: float
    rate: float
    """Events per second."""
    leg_seconds: float
    sample_seconds: float
    faults: tuple[str, ...]
    seed: int
    workers: int


class Leg(msgspec.Struct, frozen=True):
    """What one leg came to."""

    events: int
    seconds: float
    waited_seconds: float
    """Before it, for the check of the leg before the last."""
    faults: int
    at_rest: Footprint
    """Behind it, with no connection open."""
    ledger: LedgerStatus
    findings: Findings
    """What was read back."""


class Soak(msgspec.Struct, frozen=True):
    """All of it."""

    rate: float
    leg_seconds: float
    workers: int
    seed: int
    faults: dict[str, int]
    """How often each struck."""
    warm_up_events: int
    began: Footprint
    """At rest, when all workers had served and before the first leg."""
    samples: list[Footprint]
    """Within the legs."""
    legs: list[Leg]
    ledger: LedgerStatus
    """When the server had stopped."""

    @property
    def memory_growth(self) -> float:
        """As a share."""
        return footprint.growth([each.memory_bytes for each in self.samples])

    @property
    def descriptors_growth(self) -> float:
        """As a share."""
        return footprint.growth([each.descriptors for each in self.samples])

    def section(self) -> str:
        """Return the part of the page for people."""
        return _TITLE.format(
            seconds=self.samples[-1].seconds,
            rate=self.rate,
            connections=CONNECTIONS,
            workers=self.workers,
            pipeline=PIPELINE,
            legs=len(self.legs),
            leg_seconds=self.leg_seconds,
            seed=self.seed,
            faults=", ".join(f"{name} {count} times" for name, count in self.faults.items()),
            table=markdown(("", "figure"), self._rows()),
        )

    def _rows(self) -> Iterator[tuple[str, str]]:
        findings = [leg.findings for leg in self.legs]
        memory = [each.memory_bytes / _MIB for each in self.samples]
        at_rest = [leg.at_rest.descriptors for leg in self.legs]
        yield "events", f"{sum(leg.events for leg in self.legs):,}"
        yield "lost", f"{sum(each.lost for each in findings):,}"
        yield "duplicated", f"{sum(each.duplicated for each in findings):,}"
        yield "counted as lost", f"{sum(self.ledger.lost.values()):,}"
        yield "ledger closed", "yes" if self.ledger.closed else "no"
        yield "memory, median, MiB", f"{median(memory):,.0f}"
        yield "memory, least to most, MiB", f"{min(memory):,.0f} to {max(memory):,.0f}"
        yield "memory growth", f"{self.memory_growth:+.2%}"
        yield "descriptors growth", f"{self.descriptors_growth:+.2%}"
        yield "descriptors at rest, before", f"{self.began.descriptors:,}"
        yield "descriptors at rest, behind legs", f"{min(at_rest):,} to {max(at_rest):,}"
        waited = sum(leg.waited_seconds for leg in self.legs)
        yield "seconds without load, for the reading back", f"{waited:.1f}"


def measure(plan: Plan, soak: SoakPlan, tell: Callable[[str], None]) -> Soak:
    """Run it; raise FailedRunError where an event is missing, twice, or not accounted for."""
    with runs.server_directory(plan) as directory:
        environment = _environment(soak)
        tier = Tier(directory / "data", workers=soak.workers, environment=environment)
        try:
            with tier, ThreadPoolExecutor(1) as checks:
                found = _Run(soak, tier, checks, tell, directory).run()
        except (AssertionError, LookupError) as error:
            raise FailedRunError(str(error)) from error
    if not all(leg.findings.clean for leg in found.legs):
        raise FailedRunError(f"not every event was stored once: {found.legs}")
    if not found.ledger.closed or found.ledger.in_flight or any(found.ledger.lost.values()):
        raise FailedRunError(
            f"the ledger does not close, or says that some were lost: {found.ledger}"
        )
    return found


def half_of_maximum(plan: Plan, tell: Callable[[str], None]) -> float:
    """Return half of the events/s that a server takes over as many connections."""
    load = Load(pipeline=PIPELINE, connections=CONNECTIONS, events=plan.events)
    maximum = summarise(runs.measure(plan, load).events_per_second for _ in range(plan.runs))
    tell(f"maximum: {spread(maximum, ',.0f')} events/s over {CONNECTIONS} connections")
    return maximum.median / 2


class _Run:
    """The run at work."""

    def __init__(
        self,
        plan: SoakPlan,
        tier: Tier,
        checks: ThreadPoolExecutor,
        tell: Callable[[str], None],
        directory: Path,
    ) -> None:
        self._plan = plan
        self._tier = tier
        self._checks = checks
        self._tell = tell
        self._faults = [FAULTS[name](directory) for name in plan.faults]
        self._struck = dict.fromkeys(plan.faults, 0)
        self._chance = Random(plan.seed)
        self._began = time.monotonic()
        self._numbers = itertools.count()
        self._legs: list[Future[Leg]] = []
        self._at_first: Footprint | None = None

    def run(self) -> Soak:
        plan, tier = self._plan, self._tier
        warm_up = self._leg(min(plan.leg_seconds, 1.0), faults=[])
        self._legs.clear()
        self._await_admin()
        began = self._at_first = self._await_rest()
        self._began = time.monotonic()
        samples: list[Footprint] = []
        while time.monotonic() < self._began + plan.seconds:
            with self._sampled(samples):
                self._leg(plan.leg_seconds, faults=self._faults)
        tier.stop()
        return Soak(
            rate=self._plan.rate,
            leg_seconds=plan.leg_seconds,
            workers=plan.workers,
            seed=plan.seed,
            faults=self._struck,
            warm_up_events=warm_up,
            began=began,
            samples=samples,
            legs=[leg.result() for leg in self._legs],
            ledger=tier.ledger(),
        )

    def _leg(self, seconds: float, faults: Sequence[Fault]) -> int:
        """Send for so long, with faults, until the server is at rest again; begin to check.

        Returns how many events.
        """
        tier, number = self._tier, next(self._numbers)
        waited = self._await_check_before_last()
        events = max(int(self._plan.rate * seconds), CONNECTIONS)
        began, before = time.monotonic(), self._durable()
        struck = sum(self._struck.values())
        with Sending(
            "tcp",
            tier.address,
            connections=CONNECTIONS,
            events=events,
            rate=self._plan.rate,
            run=number % _RUNS,
            await_close_seconds=_CLOSE_SECONDS,
        ) as senders:
            if faults:
                self._strike(senders, faults)
            sent = runs.finish(senders, seconds)
        at_rest = self._await_rest()
        stretches = [
            Stretch(first, behind) for first, behind in zip(before, self._durable(), strict=True)
        ]
        leg = partial(
            Leg,
            events=sent.events,
            seconds=time.monotonic() - began,
            waited_seconds=waited,
            faults=sum(self._struck.values()) - struck,
            at_rest=at_rest,
            ledger=tier.ledger(),
        )
        self._legs.append(
            self._checks.submit(lambda: leg(findings=stored.check(tier.data_dir, sent, stretches)))
        )
        self._tell(
            f"leg {number}: {sent.events:,} events, {sum(self._struck.values())} faults so far,"
            f" {at_rest.memory_bytes / _MIB:,.0f} MiB and {at_rest.descriptors} descriptors at rest"
        )
        return sent.events

    def _await_rest(self) -> Footprint:
        """Wait until no connection is open and nothing that a fault has begun is under way."""
        self._tier.await_settled()
        self._tier.await_replaced()
        deadline = time.monotonic() + _REST_SECONDS
        found = self._look()
        while time.monotonic() < deadline and not self._is_at_rest(found):
            time.sleep(_LOOK_SECONDS)
            found = self._look()
        return found

    def _await_admin(self) -> None:
        """Wait until the admin process, which starts behind the workers, serves."""
        url = f"http://{self._tier.server.running().admin}/healthz"
        with urlopen(url, timeout=RECOVERY_SECONDS) as answer:
            answer.read()

    def _is_at_rest(self, found: Footprint) -> bool:
        """Say whether it is as it was before the first leg, or does not change any more."""
        at_first = self._at_first or self._look()
        return (found.descriptors, found.processes) == (at_first.descriptors, at_first.processes)

    def _strike(self, senders: Sending, faults: Sequence[Fault]) -> None:
        while senders.is_at_work:
            time.sleep(self._chance.uniform(_LEAST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS))
            if senders.is_at_work:
                fault = self._chance.choice(faults)
                fault.strike(self._tier, self._chance)
                self._struck[fault.name] += 1

    def _await_check_before_last(self) -> float:
        """Keep the journal from being deleted before it was read; return how long that took."""
        began = time.monotonic()
        for leg in self._legs[-2:-1]:
            leg.result()
        return time.monotonic() - began

    def _durable(self) -> list[int]:
        """Return the sequence number behind what is durable, for each shard."""
        region = self._tier.server.region
        return [region.get(slot, _DURABLE, label="events") for slot in range(region.workers)]

    @contextmanager
    def _sampled(self, samples: list[Footprint]) -> Iterator[None]:
        """Look at the server again and again while the block runs, in a thread of its own."""
        stopped = threading.Event()

        def sample() -> None:
            while not stopped.wait(self._plan.sample_seconds):
                samples.append(self._look())

        thread = threading.Thread(target=sample, name="footprint")
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _look(self) -> Footprint:
        family = processes.family(self._tier.server.pid)
        return footprint.look(family, time.monotonic() - self._began)


def _environment(plan: SoakPlan) -> dict[str, str]:
    """Keep two legs of the journal and as much again, for shards do not fill alike."""
    leg_bytes = int(plan.rate * plan.leg_seconds * _EVENT_BYTES / plan.workers)
    return {
        "INGEST_JOURNAL__SEGMENT_BYTES": str(SEGMENT_BYTES),
        "INGEST_JOURNAL__RETENTION_BYTES": str(4 * leg_bytes + 2 * SEGMENT_BYTES),
    }
