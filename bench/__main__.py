"""`python -m bench`: TCP to durable journal, with several numbers of connections."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CalledProcessError

from bench import machine, report
from bench.measure import Plan, measure
from bench.server import FailedRunError

_RESULTS = Path(__file__).parent / "results"


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
    cases = []
    failure = None
    for connections in options.connections:
        try:
            case = measure(plan, connections)
        except (FailedRunError, CalledProcessError) as error:
            failure = f"{connections} connections: {error}"
            break
        cases.append(case)
        print(
            f"{connections} connections: {case.events_per_second.median:,.0f} events/s,"
            f" {case.cpu_seconds_per_million.median:.2f} CPU-s per million,"
            f" p50 {case.latency_ms.p50:.1f} ms, p99 {case.latency_ms.p99:.1f} ms",
            flush=True,
        )
    if failure is not None:
        print(f"FAILED, nothing is written: {failure}", file=sys.stderr)
        return 1
    results = report.Results(
        why=options.why,
        started_at=started.isoformat(timespec="seconds"),
        command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        environment={name: os.environ[name] for name in os.environ if name.startswith("INGEST_")},
        machine=facts,
        cases=cases,
    )
    slug = re.sub(r"[^a-z0-9]+", "-", options.why.lower()).strip("-")
    directory = _RESULTS / f"{started:%Y-%m-%d}-{slug}"
    report.write(results, directory)
    print(f"written to {directory}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--why", default="run by hand", help="names the results; say the reason")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 4, 64, 1000])
    parser.add_argument("--events", type=int, default=5_000_000, help="per run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--latency-seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, help="default: the server's own")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path.cwd(),
        help="where journals are written and removed again; must be a real disk",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
