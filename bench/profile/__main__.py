"""`python -m bench.profile`: where the CPU time of the workers goes, phase by phase.

Needs `perf` and a library with symbols, which `make profile` builds. The cases are those of
`python -m bench`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, matrix, results_directory, rounds
from bench.profile import breakdown, recording, report
from bench.runs import FAILURES, Plan

_RESULTS = Path(__file__).parents[1] / "results"
_DEFAULT = ["raw", "reference"]


def main() -> int:
    """Profile each case, write the results, and fail if any run did."""
    options = _parse()
    started = datetime.now(UTC)
    plan = Plan(
        events=options.events,
        runs=1,
        latency_seconds=0.0,
        workers=options.workers,
        data_dir=options.data_dir,
    )
    profiles = []
    try:
        recording.check_programs()
        facts = machine.describe(plan.data_dir)
        directory = options.directory or results_directory.make(_RESULTS, started, "profile")
        for name in options.cases:
            load = rounds.load(plan, matrix.BY_NAME[name])
            profile, samples = recording.profile(plan, name, load)
            profiles.append(profile)
            print(f"{name}\n\n{breakdown.table(profile)}\n", flush=True)
            report.write_stacks(samples, directory, name)
    except FAILURES as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    report.write(
        report.Profiles(
            started_at=started.isoformat(timespec="seconds"),
            command=shlex.join(["python", "-m", "bench.profile", *sys.argv[1:]]),
            machine=facts,
            profiles=profiles,
        ),
        directory,
    )
    print(f"written to {directory}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--cases", nargs="+", default=_DEFAULT, choices=matrix.BY_NAME, metavar="CASE"
    )
    parser.add_argument("--events", type=int, default=10_000_000, help="of a fast case")
    parser.add_argument("--workers", type=int, help="default: the server's own")
    parser.add_argument("--directory", type=Path, help="for the results")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path.cwd(),
        help="where journals are written and removed again; must be a real disk",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
