"""`python -m bench`: TCP to durable journal, with numbers of connections and with pipelines.

Without --connections and --cases both parts are measured, with either of them only that part.
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

from bench import connections, machine, pipeline_table, pipelines, report
from bench.connections import Case
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
    options = parser.parse_args()
    if not options.connections and not options.cases:
        options.connections, options.cases = _CONNECTIONS, list(pipelines.NAMES)
    return options


if __name__ == "__main__":
    sys.exit(main())
