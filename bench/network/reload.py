"""A reload of the configuration, and the replacement of workers, under many connections.

Afterwards the whole journal is read back. The pipeline is `origin`, so that the order of what one
connection sent to several workers can be told by the time when it was received.
"""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import runs, settings, stored
from bench.figures import markdown
from bench.generator import Sending, Sent
from bench.network.plan import NetworkPlan
from bench.runs import MEASURED
from bench.server import FailedRunError, Server
from bench.stored import Findings

PIPELINE = "origin"
CONNECTIONS = 200
RATE = 500_000.0
HOW = {"reload": signal.SIGHUP, "replace": signal.SIGUSR1}
"""What the supervisor is sent; before a reload its file changes."""

_CLOSE_SECONDS = 60.0
_REPLACED_SECONDS = 30.0
_POLL_SECONDS = 0.01
_GENERATION = "ingest_worker_generation"

_TITLE = """\
### Reload and replacement

JSON events of about 320 bytes at {rate:,.0f} events/s over {connections} connections, pipeline
`{pipeline}`; meanwhile {signals} times SIGHUP to the supervisor after a change of its file
(`reload`), or SIGUSR1, which replaces every worker as it is (`replace`). Resets and connections
closed are what the sender saw, and a run with any is no run; the other counts are what was read
back from the journal.

{table}
"""
_HEAD = (
    "run",
    "events",
    "seconds",
    "resets",
    "closed",
    "lost",
    "duplicated",
    "reordered in a shard",
    "received out of order",
    "connections moved",
    "workers replaced",
)


class ReloadRun(msgspec.Struct, frozen=True):
    """One fresh server."""

    how: str
    sent: Sent
    findings: Findings
    workers_replaced: int


class ReloadCase(msgspec.Struct, frozen=True, tag_field="case", tag="reload"):
    """All runs, both ways in turn."""

    rate: float
    signals: int
    signal_interval_seconds: float
    runs: list[ReloadRun]

    def section(self) -> str:
        """Return the part of the page for people."""
        return _TITLE.format(
            rate=self.rate,
            connections=CONNECTIONS,
            pipeline=PIPELINE,
            signals=self.signals,
            table=markdown(_HEAD, [_row(run) for run in self.runs]),
        )


def measure(network: NetworkPlan, tell: Callable[[str], None]) -> ReloadCase:
    """Measure both ways once in every round."""
    case = ReloadCase(network.rate or RATE, network.signals, network.signal_interval_seconds, [])
    for number in range(1, network.plan.runs + 1):
        for how in HOW:
            run = _run(network, case, how)
            case.runs.append(run)
            tell(
                f"round {number}, {how}: {run.sent.resets} reset, {run.sent.closed} closed,"
                f" {run.workers_replaced} workers replaced; {run.findings}"
            )
    return case


def _run(network: NetworkPlan, case: ReloadCase, how: str) -> ReloadRun:
    with runs.server_directory(network.plan) as directory:
        address = _free_address()
        configuration = _configure(directory, address, 0)
        with Server(
            directory / "data", directory / "log", configuration, network.plan.workers
        ) as server:
            before = _generations(server)
            with _sending(server, case) as generator:
                for number in range(1, case.signals + 1):
                    time.sleep(case.signal_interval_seconds)
                    if how == "reload":
                        _configure(directory, address, number)
                    server.send_signal(HOW[how])
                if not generator.is_at_work:
                    raise FailedRunError("the sender was done before the last signal")
                sent = runs.finish(generator, case.signal_interval_seconds)
            server.await_quiet(runs.DEADLINE_SECONDS)
            _await_replaced(server, before)
            replaced = sum(_generations(server)) - sum(before)
            if how == "reload":
                _check_reloaded(server, case.signals)
            findings = stored.check(server.data_dir, sent)
            if findings.timed < findings.events:
                raise FailedRunError(f"not every event says when it was received: {findings}")
            return ReloadRun(how, sent, findings, replaced)


def _sending(server: Server, case: ReloadCase) -> Sending:
    # One interval more than there are signals: the last of them has to be seen in events.
    seconds = (case.signals + 1) * case.signal_interval_seconds
    return Sending(
        "tcp",
        server.addresses["tcp"],
        connections=CONNECTIONS,
        events=int(case.rate * seconds),
        run=MEASURED,
        rate=case.rate,
        await_close_seconds=_CLOSE_SECONDS,
    )


def _configure(directory: Path, address: str, number: int) -> Path:
    return settings.write(directory, PIPELINE, {"tcp": address}, label=str(number))


def _free_address() -> str:
    """Return an address that stays the same over reloads."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return "{}:{}".format(*probe.getsockname())


def _generations(server: Server) -> list[int]:
    return [server.region.get(worker, _GENERATION) for worker in range(server.region.workers)]


def _await_replaced(server: Server, before: list[int]) -> None:
    """Wait until each worker has had a successor."""
    deadline = time.monotonic() + _REPLACED_SECONDS
    while any(now == then for now, then in zip(_generations(server), before, strict=True)):
        if time.monotonic() > deadline:
            raise FailedRunError("there are workers that were not replaced")
        time.sleep(_POLL_SECONDS)


def _check_reloaded(server: Server, number: int) -> None:
    """Fail unless the events that were stored last carry the label of the last configuration."""
    label = f'"reload":"{number}"'.encode()
    for line in stored.last_lines(server.data_dir):
        if label not in line:
            raise FailedRunError(f"the server did not take up its last configuration: {line!r}")


def _row(run: ReloadRun) -> list[str]:
    sent, findings = run.sent, run.findings
    counts = (
        sent.resets,
        sent.closed + sent.failed + sent.unclosed,
        findings.lost,
        findings.duplicated,
        findings.reordered,
        findings.received_out_of_order,
        findings.moved_connections,
        run.workers_replaced,
    )
    return [run.how, f"{sent.events:,}", f"{sent.seconds:.1f}", *(f"{each:,}" for each in counts)]
