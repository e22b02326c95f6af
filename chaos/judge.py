"""Judges a trial: what the oracle found against what was promised and what the ledger says."""

from __future__ import annotations

import msgspec

from bench.generator import Sent
from chaos.fault import Fault
from chaos.history import History
from chaos.oracle import Findings


class Verdict(msgspec.Struct, frozen=True):
    """What one trial came to."""

    fault: str
    promise: str
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
    oldest_undurable_seconds: float
    """How old the oldest of them was, where all processes were killed."""
    counted: int
    """Events that the server itself says were lost."""
    duplicated: int
    broken_connections: int
    unconfirmed: int
    """Events at the end of broken connections of which nobody can tell if they were received."""
    seconds: float
    """How long events were sent."""
    wrong: list[str]
    """What should not be, in words."""


def judge(
    fault: type[Fault],
    rounds: int,
    *,
    sent: Sent,
    history: History,
    found: Findings,
    complaint: str | None,
) -> Verdict:
    """Hold everything against everything; `complaint` is of `ingest verify`."""
    promise, last = fault.promise, history.lives[-1].ledger
    undurable, counted = history.undurable, history.counted
    dropped = sum(life.ledger.kernel_dropped for life in history.lives)
    missing = found.lost - history.excused_events - dropped
    if promise.loses_undurable:
        missing_durable = sum(life.missing_durable for life in history.lives)
        lost = max(missing - sum(undurable), missing_durable)
    else:
        lost = max(missing, sum(undurable))
    broken = len(sent.broken)
    claims = [
        (lost, f"{lost} events lost"),
        (found.duplicated, f"{found.duplicated} events stored twice"),
        (found.altered and not promise.changes_events, f"{found.altered} events altered"),
        (missing < 0, f"{-missing} more datagrams counted as dropped than are missing"),
        (found.foreign, f"{found.foreign} events that nobody sent"),
        (found.reordered, f"{found.reordered} events out of order"),
        (found.missing_sequences, f"{found.missing_sequences} sequence numbers missing"),
        (found.damages, f"{found.damages} places in the segments that are no batch"),
        (found.repeated_sequences, f"{found.repeated_sequences} sequence numbers given twice"),
        (sent.unclosed, f"{sent.unclosed} connections that the server did not close at the end"),
        (not promise.breaks_connections and broken, f"{broken} connections broken"),
        (counted != undurable, f"counted as lost: {counted}, received and nowhere: {undurable}"),
        (not last.closed or last.in_flight, f"the ledger is not closed: {last}"),
        (complaint, f"verify: {complaint}"),
    ]
    return Verdict(
        fault=fault.name,
        promise=fault.promise.words,
        rounds=rounds,
        sent=sent.events,
        stored=found.events,
        lost=lost,
        undurable=sum(undurable),
        undurable_at_most=max(undurable),
        oldest_undurable_seconds=history.oldest_undurable_seconds,
        counted=sum(counted),
        duplicated=found.duplicated,
        broken_connections=broken,
        unconfirmed=found.unconfirmed,
        seconds=sent.seconds,
        wrong=[words for is_wrong, words in claims if is_wrong],
    )


def failed(fault: type[Fault], rounds: int, why: str) -> Verdict:
    """Return the verdict on a trial in which the server did not come back."""
    return Verdict(
        fault=fault.name,
        promise=fault.promise.words,
        rounds=rounds,
        sent=0,
        stored=0,
        lost=0,
        undurable=0,
        undurable_at_most=0,
        oldest_undurable_seconds=0.0,
        counted=0,
        duplicated=0,
        broken_connections=0,
        unconfirmed=0,
        seconds=0.0,
        wrong=[f"did not recover: {why}"],
    )
