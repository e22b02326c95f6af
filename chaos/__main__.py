"""`python -m chaos`: the real server under load, faults, and what the oracle says of it.

Prints the seed, with which the same plan is made again. Fails if anything is not as promised.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom

from bench import machine
from chaos import page, trial
from chaos.fault import Fault, Unavailable
from chaos.faults import BY_NAME, FAULTS
from chaos.judge import Verdict
from chaos.table import Results, table
from chaos.trial import Plan

_RESULTS = Path(__file__).parent / "results"
_PAGE = Path(__file__).parents[1] / "docs" / "chaos.md"
_MOST_SEED = 2**32


def main() -> int:
    """Run what was asked for, write the results, and fail if a promise was broken."""
    options = _parse()
    started = datetime.now(UTC)
    print(f"seed {options.seed}", flush=True)
    plan = Plan(
        rate=options.rate,
        connections=options.connections,
        workers=options.workers,
        seed=options.seed,
        directory=options.data_dir,
        deadline=time.monotonic() + options.seconds,
        keep=options.keep,
    )
    facts = machine.describe(plan.directory)
    faults = [BY_NAME[name] for name in options.faults]
    verdicts: list[Verdict] = []
    unavailable: dict[str, str] = {}
    is_short = False
    for fault in faults:
        try:
            mine = _run(plan, fault, options.rounds)
            verdicts += mine
            if (rounds := sum(verdict.rounds for verdict in mine)) < options.rounds:
                is_short = True
                print(f"{fault.name}: {rounds} of {options.rounds} rounds", flush=True)
        except Unavailable as reason:
            unavailable[fault.name] = str(reason)
            print(f"{fault.name}: not here: {reason}", flush=True)
    results = Results(
        why=options.why,
        started_at=started.isoformat(timespec="seconds"),
        command=shlex.join(["python", "-m", "chaos", *sys.argv[1:]]),
        seed=options.seed,
        rate=options.rate,
        connections=options.connections,
        workers=options.workers,
        machine=facts,
        verdicts=verdicts,
        unavailable=unavailable,
    )
    print(table(results))
    if options.why:
        print(f"written to {page.keep(results, _RESULTS)} and {_PAGE}")
        page.write(_PAGE, _RESULTS)
    return int(is_short or any(verdict.wrong for verdict in verdicts))


def _run(plan: Plan, fault: type[Fault], rounds: int) -> list[Verdict]:
    verdicts: list[Verdict] = []
    while rounds > 0 and time.monotonic() < plan.deadline:
        begun = time.monotonic()
        verdict = trial.run(plan, fault, min(rounds, fault.rounds_per_trial), len(verdicts))
        verdicts.append(verdict)
        rounds -= max(verdict.rounds, 1)
        print(
            f"{fault.name}: {verdict.rounds} rounds in {time.monotonic() - begun:.0f} s,"
            f" {verdict.sent:,} sent, {verdict.lost:,} lost, {verdict.duplicated:,} duplicated,"
            f" {verdict.broken_connections:,} connections broken",
            flush=True,
        )
        for words in verdict.wrong:
            print(f"  WRONG: {words}", flush=True)
    return verdicts


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description=__doc__,
        epilog="faults:\n"
        + "\n".join(f"  {fault.name:24} {fault.promise.words}" for fault in FAULTS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--faults", nargs="+", choices=BY_NAME, default=list(BY_NAME), metavar="FAULT"
    )
    parser.add_argument("--rounds", type=int, default=20, help="of each fault")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(_MOST_SEED))
    parser.add_argument(
        "--seconds", type=float, default=3600.0, help="no round begins after this time"
    )
    parser.add_argument("--rate", type=float, default=300_000, help="events/s over all connections")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path.cwd(),
        help="where journals are written and removed again; must be a real disk",
    )
    parser.add_argument("--keep", action="store_true", help="leave the files of a wrong trial")
    parser.add_argument(
        "--why", help="say the reason, and the results are kept under it and put into docs/chaos.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
