"""One run: a fresh server with some pipeline, warmed up, that takes events at full speed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec

from bench import generator, processes
from bench.server import Server

DEADLINE_SECONDS = 120.0
DEBUG_ONE_IN = 5
"""One in so many events of the generator is DEBUG, in every connection alike."""

_CONFIGURATIONS = Path(__file__).parent / "configurations"


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

    def filtered(self, events: int) -> int:
        """Return how many of so many events the filter drops."""
        return events // DEBUG_ONE_IN if self.drops_debug else 0


class Run(msgspec.Struct, frozen=True):
    """One fresh server at full speed; rates and costs are of events received."""

    events_per_second: float
    cpu_seconds_per_million: float
    """Of all processes of the server."""
    worker_cpu_seconds_per_million: float
    generator_cpu_seconds_per_million: float
    peak_resident_bytes: dict[str, int]


class Summary(msgspec.Struct, frozen=True):
    """A figure over all runs of a case."""

    median: float
    minimum: float
    maximum: float


def summarise(values: list[float]) -> Summary:
    """Return the middle of some figures and how far they lie apart."""
    return Summary(median=median(values), minimum=min(values), maximum=max(values))


def configuration(pipeline: str) -> Path:
    """Return the configuration file of a pipeline."""
    return _CONFIGURATIONS / f"{pipeline}.toml"


def full_speed(plan: Plan, load: Load) -> Run:
    """Measure once; raise FailedRunError if the ledger is not what it has to be."""
    with warm_server(plan, load) as server:
        workers = [pid for pid in server.pids if processes.role(pid) == "worker"]
        all_before, workers_before = map(processes.cpu_seconds, (server.pids, workers))
        sent = generator.send(server.address, connections=load.connections, events=load.events)
        settled_ns = server.await_settled(load.warm_up_events + load.events, DEADLINE_SECONDS)
        all_after, workers_after = map(processes.cpu_seconds, (server.pids, workers))
        check_ledger(server, load, load.events)
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


def check_ledger(server: Server, load: Load, events: int) -> None:
    """Fail unless the warm-up and so many events were stored, but for those that are filtered."""
    server.check_ledger(
        sent=load.warm_up_events + events,
        filtered=load.filtered(load.warm_up_events) + load.filtered(events),
    )


@contextmanager
def warm_server(plan: Plan, load: Load) -> Iterator[Server]:
    """Give a fresh server that has already taken in some events; its data are removed after."""
    with tempfile.TemporaryDirectory(dir=plan.data_dir, prefix="bench-") as directory:
        root = Path(directory)
        with Server(
            root / "data", root / "log", configuration(load.pipeline), plan.workers
        ) as server:
            generator.send(server.address, connections=load.connections, events=load.warm_up_events)
            server.await_settled(load.warm_up_events, DEADLINE_SECONDS)
            yield server
