"""`python -m bench`: what the server takes, case by case, until it is durable.

--quick, --full or --cases say which cases; the other parts are measured where they are named.
Without any of these it is --quick.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from datetime import UTC, datetime
from subprocess import CalledProcessError

from bench import (
    acknowledging,
    arguments,
    group_commit,
    machine,
    matrix,
    report,
    rounds,
    scaling,
    soak,
)
from bench.limits import measure as limits_beside
from bench.network.cases import CASES
from bench.network.plan import NetworkPlan
from bench.peers import measure as peers_beside
from bench.peers.measure import PeersPlan
from bench.runs import Plan
from bench.server import FailedRunError
from bench.soak import SoakPlan


def main() -> int:
    """Measure, write the results, and fail if any run did."""
    options = arguments.parse(__doc__)
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
        cases = rounds.measure(plan, [matrix.BY_NAME[name] for name in options.cases], _tell)
        network = [CASES[name](_network_plan(plan, options), _tell) for name in options.network]
        cost = group_commit.measure(plan, _tell) if options.group_commit else None
        acknowledged = acknowledging.measure(plan, _tell) if options.ack else None
        beside = peers_beside.measure(_peers_plan(plan, options), _tell) if options.peers else None
        limited = limits_beside.measure(plan, _tell) if options.limits else None
        scaled = scaling.measure(plan, _tell) if options.scaling else []
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
        matrix=cases,
        network=network,
        group_commit=cost,
        acknowledging=acknowledged,
        peers=beside,
        limits=limited,
        soak=soaked,
        scaling=scaled,
    )
    slug = re.sub(r"[^a-z0-9]+", "-", options.why.lower()).strip("-")
    directory = options.results / f"{started:%Y-%m-%d}-{slug}"
    report.write(results, directory)
    print(f"written to {directory}")
    failed = [case.name for case in cases if case.failures]
    failed += beside.failed if beside is not None else []
    if failed:
        print(f"FAILED: {', '.join(failed)}; the page says why", file=sys.stderr)
    return 1 if failed else 0


def _peers_plan(plan: Plan, options: argparse.Namespace) -> PeersPlan:
    return PeersPlan(
        plan=plan,
        peers=options.peers,
        grounds=options.grounds,
        directories=options.peer_directories,
    )


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


if __name__ == "__main__":
    sys.exit(main())
