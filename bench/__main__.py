"""`python -m bench`: what the server takes, case by case, until it is durable.

--quick, --full or --cases say which cases; the other parts are measured where they are named.
Without any of these it is --quick.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from bench import (
    acknowledging,
    arguments,
    group_commit,
    machine,
    matrix,
    report,
    results_directory,
    rounds,
    scaling,
    soak,
)
from bench.limits import measure as limits_beside
from bench.network.cases import CASES, NetworkCase
from bench.network.plan import NetworkPlan
from bench.parts import Parts
from bench.peers import measure as peers_beside
from bench.peers.measure import PeersPlan
from bench.runs import Plan
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
    chosen = [matrix.BY_NAME[name] for name in options.cases]
    parts = Parts(_tell)
    results = report.Results(
        why=options.why,
        started_at=started.isoformat(timespec="seconds"),
        command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        environment={name: os.environ[name] for name in os.environ if name.startswith("INGEST_")},
        machine=facts,
        matrix=parts.measure("cases", chosen, lambda: rounds.measure(plan, chosen, _tell)) or [],
        network=_network(parts, _network_plan(plan, options), options.network),
        group_commit=parts.measure(
            "group commit", options.group_commit, lambda: group_commit.measure(plan, _tell)
        ),
        acknowledging=parts.measure(
            "acknowledging", options.ack, lambda: acknowledging.measure(plan, _tell)
        ),
        peers=parts.measure(
            "peers",
            options.peers,
            lambda: peers_beside.measure(_peers_plan(plan, options), _tell),
        ),
        limits=parts.measure("limits", options.limits, lambda: limits_beside.measure(plan, _tell)),
        scaling=parts.measure("scaling", options.scaling, lambda: scaling.measure(plan, _tell))
        or [],
        soak=parts.measure(
            "soak", options.soak, lambda: soak.measure(plan, _soak_plan(plan, options), _tell)
        ),
        failures=parts.failures,
    )
    directory = results_directory.make(options.results, started, options.why)
    report.write(results, directory)
    print(f"written to {directory}")
    failed = [*parts.failures, *(case.name for case in results.matrix if case.failures)]
    failed += results.peers.failed if results.peers is not None else []
    failed += results.limits.failed if results.limits is not None else []
    if failed:
        print(f"FAILED: {', '.join(failed)}; the page says why", file=sys.stderr)
    return 1 if failed else 0


def _network(parts: Parts, plan: NetworkPlan, names: Sequence[str]) -> list[NetworkCase]:
    measured = [
        parts.measure(f"{name} (network edge)", name, partial(CASES[name], plan, _tell))
        for name in names
    ]
    return [case for case in measured if case is not None]


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
