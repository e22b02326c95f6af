"""Judges a trial: what the oracle found against what was promised and what the ledger says."""

from __future__ import annotations

import msgspec

from bench.generator import Sent
from chaos.fault import Fault
from chaos.oracle import Findings
from chaos.tier import Life, Tier
from ingest.counters import LedgerStatus


class Verdict(msgspec.Struct, frozen=True):
    """What one trial came to."""

    fault: str
    rounds: int
    sent: int
    """Events that the kernel took whole."""
    stored: int
    lost: int
    """Events that the promise covers and that are nowhere."""
    undurable: int
    """Events that were received, not yet durable, and are nowhere, where that may happen."""
    undurable_at_most: int
    """The most of them at one time."""
    counted: int
    """Events that the server itself says were lost."""
    duplicated: int
    broken_connections: int
    unconfirmed: int
    """Events at the end of broken connections of which nobody can tell if they were received."""
    wrong: list[str]
    """What should not be, in words."""


def judge(
    fault: type[Fault],
    rounds: int,
    *,
    sent: Sent,
    tier: Tier,
    found: Findings,
    complaint: str | None,
) -> Verdict:
    """Hold everything against everything; `complaint` is of `ingest verify`."""
    promise, last = fault.promise, tier.lives[-1].after
    undurable = undurable_of(tier.lives)
    counted = _counted(tier.lives)
    missing = found.lost - tier.excused_events
    if promise.loses_undurable:
        lost = max(missing - sum(undurable), sum(map(missing_durable, tier.lives)))
    else:
        lost = max(missing, sum(undurable))
    broken = len(sent.broken)
    claims = [
        (lost, f"{lost} events lost"),
        (found.duplicated, f"{found.duplicated} events stored twice"),
        (found.altered, f"{found.altered} events altered"),
        (found.foreign, f"{found.foreign} events that nobody sent"),
        (found.reordered, f"{found.reordered} events out of order"),
        (found.missing_sequences, f"{found.missing_sequences} sequence numbers missing"),
        (found.repeated_sequences, f"{found.repeated_sequences} sequence numbers given twice"),
        (sent.unclosed, f"{sent.unclosed} connections that the server did not close at the end"),
        (not promise.loses_undurable and counted, f"{counted} events counted as lost: {last.lost}"),
        (not promise.breaks_connections and broken, f"{broken} connections broken"),
        (
            counted != sum(undurable),
            f"{counted} events counted as lost, of those received {sum(undurable)} are nowhere",
        ),
        (not last.closed or last.in_flight, f"the ledger is not closed: {last}"),
        (complaint, f"verify: {complaint}"),
    ]
    return Verdict(
        fault=fault.name,
        rounds=rounds,
        sent=sent.events,
        stored=found.events,
        lost=lost,
        undurable=sum(undurable),
        undurable_at_most=max(undurable),
        counted=counted,
        duplicated=found.duplicated,
        broken_connections=broken,
        unconfirmed=found.unconfirmed,
        wrong=[words for is_wrong, words in claims if is_wrong],
    )


def undurable_of(lives: list[Life]) -> list[int]:
    """Return, for each life, how many events were received in it and are not in the files."""
    found, stored_before = [], 0
    for life in lives:
        stored = sum(life.stored.values()) + life.dead_letters
        received = _to_be_stored(life.after) - _to_be_stored(life.before)
        found.append(received - (stored - stored_before))
        stored_before = stored
    return found


def missing_durable(life: Life) -> int:
    """Return how many events were called durable and are not in the files."""
    return sum(max(0, durable - life.stored[shard]) for shard, durable in life.durable.items())


def _to_be_stored(ledger: LedgerStatus) -> int:
    return ledger.received - ledger.filtered - sum(ledger.dropped.values())


def _counted(lives: list[Life]) -> int:
    return sum(sum(life.after.lost.values()) - sum(life.before.lost.values()) for life in lives)
