"""The command line of `python -m bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from bench import matrix, soak
from bench.network import hostile
from bench.network.cases import CASES
from bench.peers.grounds import GROUNDS
from bench.peers.measure import NAMES

_RESULTS = Path(__file__).parent / "results"


class Extent(msgspec.Struct, frozen=True):
    """How much is measured, where nothing else is asked for."""

    events: int
    runs: int
    latency_seconds: float


QUICK = Extent(events=2_000_000, runs=3, latency_seconds=1.0)
FULL = Extent(events=5_000_000, runs=5, latency_seconds=5.0)


def parse(description: str | None, arguments: list[str] | None = None) -> argparse.Namespace:
    """Return what is asked for; the description is that of the program."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--why", help="names the results; say the reason")
    _add_cases(parser.add_argument_group("cases").add_mutually_exclusive_group())
    parser.add_argument(
        "--group-commit", action="store_true", help="what it costs, against syncs that do nothing"
    )
    parser.add_argument(
        "--ack", action="store_true", help="how long requests wait until they are durable"
    )
    parser.add_argument(
        "--scaling",
        action="store_true",
        help="with more workers, connections, listeners, patterns, paths",
    )
    parser.add_argument("--events", type=int, help="per run of a fast case")
    parser.add_argument("--runs", type=int, help="of every case")
    parser.add_argument("--latency-seconds", type=float)
    parser.add_argument("--workers", type=int, help="default: the server's own")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path.cwd(),
        help="where journals are written and removed again; must be a real disk",
    )
    parser.add_argument(
        "--results", type=Path, default=_RESULTS, help="where a directory of results is made"
    )
    _add_network(parser.add_argument_group("the network edge"))
    _add_peers(parser.add_argument_group("other programs at the same jobs, and what is possible"))
    _add_soak(parser.add_argument_group("a long run under faults"))
    return _completed(parser.parse_args(arguments))


def _completed(options: argparse.Namespace) -> argparse.Namespace:
    """Return the options with all that follows from them."""
    options.peers = list(NAMES) if options.peers == [] else options.peers or []
    others = (
        options.group_commit,
        options.ack,
        options.scaling,
        options.soak,
        options.peers,
        options.limits,
        options.network is not None,
    )
    if not (options.full or options.cases or any(others)):
        options.quick = True
    if options.quick:
        options.cases = list(matrix.QUICK)
    elif options.full:
        options.cases = list(matrix.BY_NAME)
    if options.why is None:
        options.why = "quick run" if options.quick else "full run" if options.full else "by hand"
    extent = QUICK if options.quick else FULL
    for name in extent.__struct_fields__:
        if getattr(options, name) is None:
            setattr(options, name, getattr(extent, name))
    options.network = list(CASES) if options.network == [] else options.network or []
    return options


def _add_cases(group: argparse._MutuallyExclusiveGroup) -> None:
    group.add_argument(
        "--quick",
        action="store_true",
        help=f"those that matter most, in {QUICK.runs} rounds of {QUICK.events:,} events",
    )
    group.add_argument(
        "--full", action="store_true", help=f"all, in {FULL.runs} rounds of {FULL.events:,} events"
    )
    group.add_argument(
        "--cases",
        nargs="+",
        default=[],
        choices=matrix.BY_NAME,
        metavar="CASE",
        help=f"as with --full, but only these of {', '.join(matrix.BY_NAME)}",
    )


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


def _add_peers(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--peers", nargs="*", choices=NAMES, metavar="NAME", help=f"{', '.join(NAMES)}; or all"
    )
    group.add_argument(
        "--grounds",
        nargs="+",
        default=list(GROUNDS),
        choices=GROUNDS,
        metavar="GROUND",
        help=f"jobs to compare on, of {', '.join(GROUNDS)}",
    )
    group.add_argument(
        "--peer-directories",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIRECTORY",
        help="where their programs are, before .clients and PATH",
    )
    group.add_argument(
        "--limits", action="store_true", help="programs by hand that do a part of the job"
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
