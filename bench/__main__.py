"""`python -m bench`: TCP to durable journal, with numbers of connections and with pipelines.

Without --connections, --cases, --network, --group-commit, --ack and --soak the first two parts are
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
    soak,
)
from bench.connections import Case
from bench.network import hostile
from bench.network.cases import CASES
from bench.network.plan import NetworkPlan
from bench.runs import Plan
from bench.server import FailedRunError
from bench.soak import SoakPlan

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
        soaked = soak.measure(plan, _soak_plan(plan, options), _tell) if options.soak else None
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
        soak=soaked,
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


def _soak_plan(plan: Plan, options: argparse.Namespace) -> SoakPlan:
    return SoakPlan(
        seconds=options.soak,
        rate=options.rate or soak.half_of_maximum(plan, _tell),
        leg_seconds=options.leg_seconds,
        sample_seconds=1.0,
        faults=tuple(options.faults),
        seed=options.seed,
        workers=plan.workers or soak.WORKERS,
    )


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
    _add_soak(parser.add_argument_group("a long run under faults"))
    options = parser.parse_args()
    others = (options.group_commit, options.ack, options.soak, options.network is not None)
    if not options.connections and not options.cases and not any(others):
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


def _add_soak(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--soak", type=float, metavar="SECONDS", help="at --rate, or half of the maximum"
    )
    group.add_argument(
        "--leg-seconds", type=float, default=5.0, help="after so long, all connections are new"
    )
    group.add_argument(
        "--faults", nargs="*", choices=soak.FAULTS, default=soak.DEFAULT_FAULTS, metavar="FAULT"
    )
    group.add_argument("--seed", type=int, default=1, help="of the faults")


if __name__ == "__main__":
    sys.exit(main())
