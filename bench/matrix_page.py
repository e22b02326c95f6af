"""The cases on the page for people: a table for each group, the latency of all, what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.case_result import CaseResult
from bench.figures import ENOUGH_ROUNDS, markdown, spread, summarise
from bench.limits.measure import LimitCase, LimitsResult
from bench.limits.programs import CONNECTIONS
from bench.matrix import GROUPS, Group
from bench.parameters import Parameters
from bench.runs import Run

_MIB = 1024 * 1024
_UNKNOWN = "-"

_TITLE = """
## Cases

Medians of {rounds} rounds, least to most in brackets. In a round every case ran once, and ratios
are of figures of the same round. The generator is on the same machine. Rates and costs are of
events received. What the cases are, and how a figure is made, stands in `docs/bench.md`.
{few}
{verdict}
"""
_FEW = """
Fewer than {enough} rounds show whether something is wrong; they are too few to claim a speed.
"""
_CLEAN = """\
Every run ended with a closed ledger, and with exactly the events in the journal that had been sent
and not filtered."""
_FAILED = """\
**Runs failed**, see [below](#failures); the figures of these cases are of the others."""
_GROUP = """
### {title}

{table}
"""
_DROPPED = """
Of {sent:,} datagrams of `{name}` the kernel had no room for {dropped:,} ({share:.1%}), all of them
counted.
"""
_UNREAD = """
What `{name}` stored cannot be read back, for it stores nothing: its count is that of the ledger.
"""
_LATENCY = """
### Latency

Milliseconds from sending an event to having it durable, of every event that is stored. Behind each
run, at half of its rate; medians of the rounds, least to most in brackets.

{percentiles}
"""
_FAILURES = """
### Failures

{failures}
"""

_LIMIT = "parse-write-sync"
"""Of the limits, the one whose job is the most like ours."""
_OF_LIMIT = """
### Of what the machine can do

The limit is `{limit}` [below](#limits): a program by hand that receives, validates, copies, writes
and syncs the same events, and does nothing else with them, over {connections} connections. Rounds
of it were others than those of the cases, so these are ratios of medians: of its events/s, and its
CPU per event of ours. Cases with other events have no place here.

{table}
"""

_HEAD = (
    "case",
    "events/s until durable",
    "MB/s",
    "server CPU-s per million",
    "events/s to",
    "CPU to",
    "peak RSS, MiB",
    "of the largest worker",
    "generator CPU-s per million",
)

_LATENCY_HEAD = ("case", "events/s", "p50", "p99", "p99.9", "most")

_Figure = Callable[[Run], float]


def section(results: Sequence[CaseResult], limits: LimitsResult | None = None) -> str:
    """Return the part of the page for people; limits measured beside are what cases are part of."""
    rounds = max(len(result.runs) for result in results)
    failures = [f"- `{each.name}`, {text}" for each in results for text in each.failures]
    parts = [
        _TITLE.format(
            rounds=rounds,
            verdict=_FAILED if failures else _CLEAN,
            few=_FEW.format(enough=ENOUGH_ROUNDS) if rounds < ENOUGH_ROUNDS else "",
        )
    ]
    for group in GROUPS:
        own = [result for result in results if result.group == group]
        if own:
            parts.append(_GROUP.format(title=group.capitalize(), table=table(results, group)))
            parts += [note for result in own for note in _notes(result)]
    limit = _limit(limits)
    if limit is not None:
        parts.append(_of_limit(results, limit))
    latencies = [each for each in results if each.latencies]
    if latencies:
        table_of_all = markdown(_LATENCY_HEAD, map(_latency_row, latencies))
        parts.append(_LATENCY.format(percentiles=table_of_all))
    if failures:
        parts.append(_FAILURES.format(failures="\n".join(failures)))
    return "".join(parts)


def table(results: Sequence[CaseResult], group: Group) -> str:
    """Return the table of a group; what its cases are compared to comes first."""
    own = [result for result in results if result.group == group]
    others = {result.compared_to for result in own} - {result.name for result in own}
    compared = [result for result in results if result.name in others]
    by_name = {result.name: result for result in results}
    return markdown(_HEAD, [_row(result, by_name) for result in (*compared, *own)])


def _limit(limits: LimitsResult | None) -> LimitCase | None:
    found = [each for each in limits.limits if each.name == _LIMIT] if limits is not None else []
    return found[0] if found and found[0].completed else None


def _of_limit(results: Sequence[CaseResult], limit: LimitCase) -> str:
    rate = summarise(run.events_per_second for run in limit.completed).median
    cost = summarise(run.cpu_seconds_per_million for run in limit.completed).median
    rows = []
    for result in results:
        if result.completed and _events(result.parameters) == _events(Parameters()):
            ours = summarise(run.events_per_second for run in result.completed).median
            our_cost = summarise(map(_cost, result.completed)).median
            rows.append([f"`{result.name}`", f"{ours / rate:.1%}", f"{cost / our_cost:.1%}"])
    table = markdown(("case", "of the limit: events/s", "of the limit: CPU"), rows)
    return _OF_LIMIT.format(limit=_LIMIT, connections=CONNECTIONS, table=table)


def _events(parameters: Parameters) -> tuple[str, int]:
    return parameters.message_format, parameters.event_bytes


def _latency_row(result: CaseResult) -> list[str]:
    found = [each.milliseconds for each in result.latencies]
    figures = [
        spread(summarise(each.events_per_second for each in result.latencies), ",.0f"),
        *(
            spread(summarise(percentile), ".1f")
            for percentile in (
                (each.p50 for each in found),
                (each.p99 for each in found),
                (each.p999 for each in found),
                (each.maximum for each in found),
            )
        ),
    ]
    return [f"`{result.name}`", *figures]


def _row(result: CaseResult, by_name: dict[str, CaseResult]) -> list[str]:
    other = by_name.get(result.compared_to or "")
    return [
        f"`{result.name}`",
        _figure(result, lambda run: run.events_per_second, ",.0f"),
        _figure(result, _megabytes_per_second, ",.0f"),
        _figure(result, _cost, ".2f"),
        _ratio(result, other, lambda run: run.events_per_second),
        _ratio(result, other, _cost),
        _figure(result, lambda run: sum(run.peak_resident_bytes.values()) / _MIB, ",.0f"),
        _figure(result, lambda run: run.largest_worker_bytes / _MIB, ",.0f"),
        _figure(result, lambda run: run.generator_cpu_seconds_per_million, ".2f"),
    ]


def _figure(result: CaseResult, figure: _Figure, form: str) -> str:
    if not result.completed:
        return "failed"
    return spread(summarise(map(figure, result.completed)), form)


def _ratio(result: CaseResult, other: CaseResult | None, figure: _Figure) -> str:
    """Return the ratio to another case, of the rounds in which neither failed."""
    if other is None:
        return _UNKNOWN
    ratios = [
        figure(run) / figure(against)
        for run, against in zip(result.runs, other.runs, strict=True)
        if run is not None and against is not None
    ]
    return f"{spread(summarise(ratios), '.2f')} `{other.name}`" if ratios else _UNKNOWN


def _cost(run: Run) -> float:
    return run.cpu_seconds_per_million


def _megabytes_per_second(run: Run) -> float:
    return run.events_per_second * run.bytes / run.events / 1e6


def _notes(result: CaseResult) -> Iterable[str]:
    sent = sum(run.events for run in result.completed)
    dropped = sum(run.kernel_dropped for run in result.completed)
    if dropped:
        yield _DROPPED.format(name=result.name, sent=sent, dropped=dropped, share=dropped / sent)
    if any(run.stored_events is None for run in result.completed):
        yield _UNREAD.format(name=result.name)
