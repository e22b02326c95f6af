"""The comparison as a part of the page for people."""

from __future__ import annotations

from collections.abc import Sequence

from bench.figures import ENOUGH_ROUNDS, markdown, spread, summarise
from bench.peers.grounds import GROUNDS
from bench.peers.results import OURS, Entry, GroundResult, PeersResult
from bench.peers.run import RATES, PeerRun, Step

_MIB = 1024 * 1024
_UNKNOWN = "-"

_TITLE = """
## Peers

The same job by others on the same machine, with the same generator, each set as well as we know
(`bench/peers/configurations/`): medians of the rounds, least to most in brackets. Ratios are of
figures of the same round. Over TCP every event was found in the output, once, and the job done on
all of them; of datagrams those that were written, each once. Ours is durable, theirs is handed to
the kernel. What is compared, and how fair that is, stands in `docs/peers.md`.
{few}
{versions}
{grounds}"""
_FEW = """
Fewer than {enough} rounds show which is faster by far; they claim no ratio close to one.
"""
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
_DATAGRAM_HEAD = (
    "program",
    "lossless up to, /s",
    "most written, /s",
    "CPU-s per million, all rates",
    *_HEAD[3:5],
    "its CPU to ours, where neither lost any",
)
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
    rounds = max(len(entry.runs) for each in result.grounds for entry in each.entries)
    few = _FEW.format(enough=ENOUGH_ROUNDS) if rounds < ENOUGH_ROUNDS else ""
    return _TITLE.format(versions="\n".join(versions), grounds=grounds, few=few)


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

    speeds = summarise(mine.events_per_second / theirs.events_per_second for mine, theirs in pairs)
    return [spread(speeds, ".1f"), _cost_ratio(pairs)]


def _cost_ratio(pairs: Sequence[tuple[PeerRun, PeerRun]]) -> str:
    """Of datagrams at the highest rate of a round that both took without loss."""
    ratios = []
    for mine, theirs in pairs:
        if not mine.steps:
            ratios.append(theirs.cpu_seconds_per_million / mine.cpu_seconds_per_million)
        elif both := list(zip(theirs.lossless, mine.lossless, strict=False)):
            their_step, my_step = both[-1]
            if my_step.cpu_seconds:
                ratios.append(their_step.cpu_seconds / my_step.cpu_seconds)
    return spread(summarise(ratios), ".1f") if ratios else _UNKNOWN


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
