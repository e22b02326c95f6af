"""`python -m bench`: TCP to durable journal, with numbers of connections and with pipelines.

Without --connections, --cases, --network, --group-commit and --ack the first two parts are
measured, with any of them only what is named.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CalledProcessError

from bench import (
    acknowledging,
    connections,
    group_commit,
    machine,
    pipeline_table,
    pipelines,
    report,
)
from bench.connections import Case
from bench.network import hostile
from bench.network.cases import CASES
from bench.network.plan import NetworkPlan
from bench.runs import Plan
from bench.server import FailedRunError

_RESULTS = Path(__file__).parent / "results"
_CONNECTIONS = [1, 4, 64, 1000]


def main() -> int:
    """Measure, write the results, and fail if any run did."""
    options = _parse()
    started = datetime.now(UTC)
    plan = Plan(
        events=options.events,
        runs=options.runs,
        latency_seconds=options.latency_seconds,
        workers=options.workers,
        data_dir=options.data_dir,
    )
    facts = machine.describe(plan.data_dir)
    try:
        cases = [_measure_connections(plan, number) for number in options.connections]
        rounds = pipelines.measure(plan, options.cases, _tell) if options.cases else None
        network = [CASES[name](_network_plan(plan, options), _tell) for name in options.network]
        cost = group_commit.measure(plan, _tell) if options.group_commit else None
        acknowledged = acknowledging.measure(plan, _tell) if options.ack else None
    except (FailedRunError, CalledProcessError) as error:
        print(f"FAILED, nothing is written: {error}", file=sys.stderr)
        return 1
    results = report.Results(
        why=options.why,
        started_at=started.isoformat(timespec="seconds"),
        command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        environment={name: os.environ[name] for name in os.environ if name.startswith("INGEST_")},
        machine=facts,
        cases=cases,
        rounds=rounds,
        network=network,
        group_commit=cost,
        acknowledging=acknowledged,
    )
    if rounds is not None:
        _tell(pipeline_table.table(rounds))
    slug = re.sub(r"[^a-z0-9]+", "-", options.why.lower()).strip("-")
    directory = _RESULTS / f"{started:%Y-%m-%d}-{slug}"
    report.write(results, directory)
    print(f"written to {directory}")
    return 0


def _measure_connections(plan: Plan, number: int) -> Case:
    case = connections.measure(plan, number)
    _tell(
        f"{number} connections: {case.events_per_second.median:,.0f} events/s,"
        f" {case.cpu_seconds_per_million.median:.2f} CPU-s per million,"
        f" p50 {case.latency_ms.p50:.1f} ms, p99 {case.latency_ms.p99:.1f} ms"
    )
    return case


def _network_plan(plan: Plan, options: argparse.Namespace) -> NetworkPlan:
    return NetworkPlan(
        plan=plan,
        seconds=options.seconds,
        rate=options.rate,
        burst=options.burst,
        signals=options.signals,
        signal_interval_seconds=options.interval,
        kinds=tuple(options.hostile),
    )


def _tell(line: str) -> None:
    print(line, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--why", default="run by hand", help="names the results; say the reason")
    parser.add_argument("--connections", type=int, nargs="+", default=[], metavar="NUMBER")
    parser.add_argument(
        "--cases", nargs="+", default=[], choices=pipelines.NAMES, help="pipelines, in rounds"
    )
    parser.add_argument(
        "--group-commit", action="store_true", help="what it costs, against syncs that do nothing"
    )
    parser.add_argument(
        "--ack", action="store_true", help="how long requests wait until they are durable"
    )
    parser.add_argument("--events", type=int, default=5_000_000, help="per run of a fast case")
    parser.add_argument("--runs", type=int, default=5, help="of every case")
    parser.add_argument("--latency-seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, help="default: the server's own")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path.cwd(),
        help="where journals are written and removed again; must be a real disk",
    )
    _add_network(parser.add_argument_group("the network edge"))
    options = parser.parse_args()
    named = (options.connections, options.cases, options.group_commit, options.ack)
    if not any(named) and options.network is None:
        options.connections, options.cases = _CONNECTIONS, list(pipelines.NAMES)
    options.network = list(CASES) if options.network == [] else options.network or []
    return options


def _add_network(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--network", nargs="*", choices=CASES, metavar="CASE", help=f"{', '.join(CASES)}; or all"
    )
    group.add_argument(
        "--seconds", type=float, default=10.0, help="how long senders with a rate send"
    )
    group.add_argument(
        "--rate", type=float, help="events/s of these in place of the case's own; 0: full speed"
    )
    group.add_argument(
        "--burst", type=int, default=10, help="events that a connection of `many` sends at a time"
    )
    group.add_argument(
        "--signals", type=int, default=5, help="reloads, or replacements, in a run of `reload`"
    )
    group.add_argument("--interval", type=float, default=2.0, help="seconds between these")
    group.add_argument(
        "--hostile", nargs="+", default=[], choices=hostile.KINDS, help="kinds for `hostile`"
    )


if __name__ == "__main__":
    sys.exit(main())
