"""Which dead letters are meant: the options that filter, and what they come to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated

import typer

from ingest._native import METRICS
from ingest.contract import DEAD_DIRECTORY
from ingest.errors import IngestError
from ingest.journal import DeadLetter, Identity, parse_identity

_REASONS = next(
    metric.label_values for metric in METRICS if metric.name == "ingest_events_rejected_total"
)

Reasons = Annotated[
    list[str] | None,
    typer.Option("--reason", metavar="REASON", help="Only of this reason. May be repeated."),
]
Listeners = Annotated[
    list[str] | None,
    typer.Option("--listener", metavar="NAME", help="Only of this listener. May be repeated."),
]
Peers = Annotated[
    list[str] | None,
    typer.Option(
        "--peer",
        metavar="NETWORK",
        help="Only of this address, or of a network like 10.0.0.0/8. May be repeated.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Only what was received from then on: a time like 2026-11-22T00:04:06Z, or an age"
        " like 2h. A time without an offset is UTC.",
    ),
]
Until = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only what was received before then.")
]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a dead letter has to be to be meant; what is empty asks for nothing."""

    reasons: frozenset[str]
    listeners: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]
    since: datetime | None
    until: datetime | None

    @property
    def since_ns(self) -> int:
        """The first moment that is meant, nanoseconds since the epoch."""
        return max(0, int(self.since.timestamp() * 1e9)) if self.since else 0

    def matches(self, letter: DeadLetter) -> bool:
        """Say whether a dead letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.listeners or letter.listener in self.listeners)
            and (not self.networks or self._is_from_networks(letter.peer))
            and self._is_in_time(letter.received_at)
        )

    def _is_from_networks(self, peer: str | None) -> bool:
        if peer is None:
            return False
        host = peer.rpartition(":")[0].strip("[]").partition("%")[0]
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self.networks)

    def _is_in_time(self, received_at: str) -> bool:
        if self.since is None and self.until is None:
            return True
        received = datetime.fromisoformat(received_at)
        return (self.since is None or self.since <= received) and (
            self.until is None or received < self.until
        )


def select(
    reasons: list[str] | None,
    listeners: list[str] | None,
    peers: list[str] | None,
    since: str | None,
    until: str | None,
) -> Selection:
    """Return what the options mean; raise BadParameter where one means nothing."""
    from ingest.config.networks import parse_network  # noqa: PLC0415 - pydantic is slow to import

    for reason in reasons or ():
        if reason not in _REASONS:
            raise typer.BadParameter(f"{reason} is no reason; there are {', '.join(_REASONS)}")
    try:
        networks = tuple(map(parse_network, peers or ()))
    except ValueError as error:
        raise typer.BadParameter(f"--peer {error}") from None
    now = datetime.now(UTC)
    return Selection(
        reasons=frozenset(reasons or ()),
        listeners=frozenset(listeners or ()),
        networks=networks,
        since=_parse_time("--since", since, now) if since else None,
        until=_parse_time("--until", until, now) if until else None,
    )


def parse_identities(texts: list[str] | None) -> list[Identity]:
    """Return the identities that arguments name, each once."""
    try:
        return list(dict.fromkeys(map(parse_identity, texts or ())))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def dead_directory(data_dir: Path) -> Path:
    """Return where a data directory has its dead letters; raise IngestError where it is none."""
    if not data_dir.is_dir():
        raise IngestError(f"{data_dir}: is not a data directory")
    return data_dir / DEAD_DIRECTORY


def warn(text: str) -> None:
    """Say on standard error what could not be read."""
    typer.echo(f"ingest: {text}", err=True)


def _parse_time(option: str, text: str, now: datetime) -> datetime:
    from ingest.config.quantities import parse_duration  # noqa: PLC0415 - as above

    try:
        if text[-1:].isalpha() and "T" not in text:
            return now - timedelta(seconds=parse_duration(text))
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{option} {text} is neither a time like 2026-11-22T00:04:06Z nor an age like 2h"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
