"""The comparison as a part of the page for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.figures import markdown, ratio, spread, summarise
from bench.peers.grounds import GROUNDS
from bench.peers.results import OURS, Entry, GroundResult, PeersResult
from bench.peers.run import RATES, PeerRun, Step

_MIB = 1024 * 1024
_UNKNOWN = "-"

_TITLE = """
## Peers

The same job by others on the same machine, with the same generator, each set as well as we know
(`bench/peers/configurations/`): medians of the rounds, least to most in brackets. Ratios are of
figures of the same round. Every event was found in the output, once, and the job done on all of
them; ours is durable, theirs is handed to the kernel. What is compared, and how fair that is,
stands in `docs/peers.md`.

{versions}
{grounds}"""
_GROUND = """
### {name}

{job}.

{table}
{failures}"""
_HEAD = (
    "program",
    "events/s",
    "CPU-s per million",
    "peak RSS, MiB",
    "ours: events/s to it",
    "its CPU to ours",
)
_DATAGRAM_HEAD = ("program", "lossless up to, /s", "most written, /s", *_HEAD[2:])
_SHARES = """
What part of the datagrams of each rate was written, in the middle of the rounds; with the rate that
was really sent, where the machine was too busy for the other:

"""
_REACHED = 0.95
"""Of a rate: less is said."""


def section(result: PeersResult) -> str:
    """Return the part of the page."""
    versions = [f"- {name}: {version}" for name, version in result.versions.items()]
    versions += [f"- {name}: not on this machine" for name in result.absent]
    grounds = "".join(map(_ground, result.grounds))
    return _TITLE.format(versions="\n".join(versions), grounds=grounds)


def _ground(result: GroundResult) -> str:
    ground = GROUNDS[result.ground]
    ours = next(entry for entry in result.entries if entry.name == OURS)
    failures = [
        f"\n{entry.name} FAILED: {each}" for entry in result.entries for each in entry.failures
    ]
    if ground.transport == "udp":
        table = markdown(_DATAGRAM_HEAD, [_datagram_row(each, ours) for each in result.entries])
        table += f"\n{_SHARES}{_shares(result.entries)}"
    else:
        table = markdown(_HEAD, [_row(each, ours) for each in result.entries])
    job = ground.job[0].upper() + ground.job[1:]
    return _GROUND.format(name=ground.name, job=job, table=table, failures="\n".join(failures))


def _row(entry: Entry, ours: Entry) -> list[str]:
    runs = [run for run in entry.runs if run is not None]
    if not runs:
        return [entry.name, "failed", *[_UNKNOWN] * (len(_HEAD) - 2)]
    speed = spread(summarise(run.events_per_second for run in runs), ",.0f")
    return [entry.name, speed, *_costs(runs), *_ratios(entry, ours)]


def _datagram_row(entry: Entry, ours: Entry) -> list[str]:
    runs = [run for run in entry.runs if run is not None]
    if not runs:
        return [entry.name, "failed", *[_UNKNOWN] * (len(_DATAGRAM_HEAD) - 2)]
    return [
        entry.name,
        spread(summarise(run.lossless_rate for run in runs), ",.0f"),
        spread(summarise(run.events_per_second for run in runs), ",.0f"),
        *_costs(runs),
        *_ratios(entry, ours),
    ]


def _costs(runs: Sequence[PeerRun]) -> list[str]:
    resident = [run.peak_resident_bytes for run in runs if run.peak_resident_bytes is not None]
    return [
        spread(summarise(run.cpu_seconds_per_million for run in runs), ".2f"),
        spread(summarise(each / _MIB for each in resident), ",.0f") if resident else _UNKNOWN,
    ]


def _ratios(entry: Entry, ours: Entry) -> list[str]:
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(ours.runs, entry.runs, strict=True)
        if mine is not None and theirs is not None
    ]
    if entry is ours or not pairs:
        return [_UNKNOWN, _UNKNOWN]

    def figures(figure: Callable[[PeerRun], float]) -> tuple[list[float], list[float]]:
        return [figure(mine) for mine, _ in pairs], [figure(theirs) for _, theirs in pairs]

    mine, theirs = figures(lambda run: run.events_per_second)
    our_cost, its_cost = figures(lambda run: run.cpu_seconds_per_million)
    return [spread(ratio(mine, theirs), ".1f"), spread(ratio(its_cost, our_cost), ".1f")]


def _shares(entries: Sequence[Entry]) -> str:
    rows = []
    for entry in entries:
        runs = [run for run in entry.runs if run is not None]
        cells = [
            _share([step for run in runs for step in run.steps if step.rate == rate])
            for rate in RATES
        ]
        rows.append([entry.name, *cells])
    return markdown(["program", *(f"{rate:,.0f}/s" for rate in RATES)], rows)


def _share(steps: Sequence[Step]) -> str:
    if not steps:
        return _UNKNOWN
    share = f"{summarise(step.share for step in steps).median:.1%}"
    sent = summarise(step.sent_per_second for step in steps).median
    return share if sent > _REACHED * steps[0].rate else f"{share} of {sent:,.0f}"
