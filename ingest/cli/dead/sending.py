"""Send dead letters in portions: note them, send them, wait, and note what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.cli.dead.delivery import Outcome, deliver
from ingest.cli.dead.destinations import Destination, Destinations
from ingest.cli.dead.rendering import hindrance
from ingest.cli.dead.watching import Watch
from ingest.counters import LedgerStatus
from ingest.errors import SendError
from ingest.journal import Identity, ReplayLog, Replays, ReplayState, StoredLetter

_PORTION_LETTERS = 1000
_PORTION_BYTES = 1 << 20
_PORTION_DATAGRAMS = 16
_PORTION_DATAGRAM_BYTES = 1 << 15
"""So few that they fit the receive buffer of any UDP socket."""

_REPLAYED, _UNCONFIRMED = "replayed before", "unconfirmed"
_EXPLANATIONS = {
    _REPLAYED: "--again sends them once more",
    _UNCONFIRMED: "sent before, and nobody knows whether they arrived; --unconfirmed sends them",
    "masked": "what a redactor has masked is stored nowhere",
    "truncated": "only the beginning was kept",
    "incomplete": "the rest was never received",
    "listener gone": "name another with --to",
    "listener speaks TLS": "name another with --to",
    "not as one frame": "its listener would take these bytes for something else; try another with"
    " --to",
}
_FOR_GOOD = frozenset({_REPLAYED, "masked", "truncated", "incomplete"})
"""Reasons not to send a letter that leave nothing to do."""


class Mode(NamedTuple):
    """What is sent beside what was never sent before."""

    again: bool
    unconfirmed: bool


@dataclass
class _Portion:
    """What is sent over one connection."""

    identities: list[Identity] = field(default_factory=list)
    new: list[Identity] = field(default_factory=list)
    """Those of them that were never sent before."""
    frames: list[bytes] = field(default_factory=list)
    bytes: int = 0

    def is_full(self, destination: Destination) -> bool:
        if destination.is_stream:
            return len(self.frames) >= _PORTION_LETTERS or self.bytes >= _PORTION_BYTES
        return len(self.frames) >= _PORTION_DATAGRAMS or self.bytes >= _PORTION_DATAGRAM_BYTES


@dataclass
class _Result:
    """What became of the letters for one destination."""

    watch: Watch | None
    before: LedgerStatus | None
    portion: _Portion = field(default_factory=_Portion)
    taken: int = 0
    unconfirmed: int = 0
    unsent: int = 0
    failure: str | None = None


class Sending:
    """One replay; without a log it only counts what would be sent."""

    def __init__(
        self, destinations: Destinations, replays: Replays, log: ReplayLog | None, mode: Mode
    ) -> None:
        self._destinations = destinations
        self._replays = replays
        self._log = log
        self._mode = mode
        self._results: dict[Destination, _Result] = {}
        self._skipped: Counter[str] = Counter()

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left that could be sent, or of which nobody knows."""
        return not (
            self._skipped.keys() - _FOR_GOOD
            or any(at.unconfirmed or at.unsent for at in self._results.values())
        )

    def add(self, stored: StoredLetter) -> None:
        """Send a letter, or say why not; it may wait for others."""
        place = self._hindrance(stored) or self._destinations.of(stored.letter.listener)
        if isinstance(place, str):
            self._skipped[place] += 1
            return
        frame = place.frame(stored.letter.line)
        if frame is None:
            self._skipped["not as one frame"] += 1
            return
        result = self._result(place)
        portion = result.portion
        portion.identities.append(stored.identity)
        if self._replays.state(stored.identity) is ReplayState.NEW:
            portion.new.append(stored.identity)
        portion.frames.append(frame)
        portion.bytes += len(frame)
        if portion.is_full(place):
            self._send(place, result)

    def finish(self) -> None:
        """Send what has waited for more."""
        for destination, result in self._results.items():
            if result.portion.frames:
                self._send(destination, result)

    def report(self) -> Iterator[str]:
        """Yield what was done, in lines for people."""
        for destination, result in self._results.items():
            yield from _describe(destination, result, is_dry=self._log is None)
        for why, count in sorted(self._skipped.items()):
            yield f"Not sent, {why}: {count:,} ({_EXPLANATIONS[why]})."
        if not self._results and not self._skipped:
            yield "There are no such dead letters."

    def _hindrance(self, stored: StoredLetter) -> str | None:
        state = self._replays.state(stored.identity)
        if state is ReplayState.TAKEN and not self._mode.again:
            return _REPLAYED
        if state is ReplayState.SENDING and not self._mode.unconfirmed:
            return _UNCONFIRMED
        return hindrance(stored.letter)

    def _result(self, destination: Destination) -> _Result:
        if destination not in self._results:
            watch = self._destinations.watch(destination)
            self._results[destination] = _Result(watch, None if watch is None else watch.ledger())
        return self._results[destination]

    def _send(self, destination: Destination, result: _Result) -> None:
        portion, result.portion = result.portion, _Portion()
        count = len(portion.frames)
        if self._log is None:
            result.taken += count
            return
        if result.failure is not None:
            result.unsent += count
            return
        self._log.note(ReplayState.SENDING, portion.identities)
        try:
            outcome = deliver(portion.frames, destination, result.watch)
        except SendError as error:
            outcome, result.failure = Outcome.REFUSED, str(error)
        match outcome:
            case Outcome.TAKEN:
                self._log.note(ReplayState.TAKEN, portion.identities)
                result.taken += count
            case Outcome.REFUSED:
                self._log.note(ReplayState.NEW, portion.new)
                result.unsent += count
                result.failure = result.failure or (
                    f"{destination} takes nothing from this address (allow, deny, proxies);"
                    " name another with --to"
                )
            case Outcome.UNKNOWN:
                result.unconfirmed += count
                result.failure = f"{destination} did not take all that was sent to it"


def _describe(destination: Destination, result: _Result, *, is_dry: bool) -> Iterator[str]:
    if is_dry:
        yield f"Would send to {destination}: {result.taken:,}."
        return
    if result.taken:
        yield f"Sent to {destination}: {result.taken:,}."
    if result.unconfirmed:
        yield f"Unconfirmed: {result.unconfirmed:,} ({_EXPLANATIONS[_UNCONFIRMED]})."
    if result.failure is not None:
        yield f"Ended there, with {result.unsent:,} not sent: {result.failure}."
    if result.watch is None:
        yield "  It belongs to no server on this data directory, so what it stored is not known."
    elif result.before is not None and (result.taken or result.unconfirmed):
        yield f"  There, {_describe_change(result.before, result.watch.ledger())} (of all senders)."


def _describe_change(before: LedgerStatus, after: LedgerStatus) -> str:
    counts = {
        "journaled": after.journaled - before.journaled,
        "filtered": after.filtered - before.filtered,
        "dead lettered": after.dead_lettered - before.dead_lettered,
        "dropped": sum(after.dropped.values()) - sum(before.dropped.values()),
        "lost": sum(after.lost.values()) - sum(before.lost.values()),
    }
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing"
