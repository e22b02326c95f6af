"""Where dead letters are sent to: the listener that they came from, or one that is named."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import typer

from ingest import contract
from ingest._native import Region
from ingest.cli.dead.framing import frame_in_datagram, frame_in_stream
from ingest.cli.dead.watching import Watch
from ingest.cli.running import find
from ingest.contract import ListenerDescription, ServerDescription
from ingest.errors import NotRunningError, SendError

_CONNECT_SECONDS = 10.0


class Destination(NamedTuple):
    """A place that takes frames."""

    name: str
    kind: contract.ListenerKind
    address: str
    listener: int | None
    """Its index in the region, whose counters say what was taken; None: it is of another server."""

    def __str__(self) -> str:
        return f"{self.name} ({self.address})" if self.name != self.address else self.address

    @property
    def is_stream(self) -> bool:
        """Whether it takes connections, and not datagrams."""
        return self.kind in {"tcp", "unix_stream"}

    @property
    def frame(self) -> Callable[[bytes], bytes | None]:
        """Make of a line what arrives as exactly this line, or None."""
        return frame_in_stream if self.is_stream else frame_in_datagram

    def connect(self) -> socket.socket:
        """Return a connected socket; raise SendError with the reason in a line."""
        kind = socket.SOCK_STREAM if self.is_stream else socket.SOCK_DGRAM
        try:
            if self.kind.startswith("unix"):
                return _connect(socket.AF_UNIX, kind, _unix_address(self.address))
            host, _, port = self.address.rpartition(":")
            family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=kind)[0]
            return _connect(family, kind, address)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is no address"
            raise SendError(f"cannot connect to {self}: {reason}") from None


class Destinations:
    """The listeners of the running server, or the one place that was named."""

    def __init__(self, data_dir: Path, to: str | None) -> None:
        """Take what `--to` says; raise NotRunningError where a listener is meant and none is."""
        self.region: Region | None = None
        self._listeners: dict[str, tuple[int, ListenerDescription]] = {}
        try:
            self.region = find(data_dir).region
        except NotRunningError:
            if to is None or ":" not in to:
                raise
        if self.region is not None:
            described = contract.decode(self.region.descriptor, ServerDescription).listeners
            self._listeners = {
                one.name: (index, one) for index, one in enumerate(described) if one.bound
            }
        self._only = None if to is None else self._named(to)

    def of(self, listener: str) -> Destination | str:
        """Return where the letters of a listener go, or why there is nowhere, in a word."""
        return self._only or self._own(listener)

    def watch(self, destination: Destination) -> Watch | None:
        """Return what reads the counters of a destination; None where they are another server's."""
        if self.region is None or destination.listener is None:
            return None
        return Watch(self.region, destination.listener)

    def _own(self, listener: str) -> Destination | str:
        if listener not in self._listeners:
            return "listener gone"
        index, described = self._listeners[listener]
        if described.kind == "tls":
            return "listener speaks TLS"
        return Destination(listener, described.kind, described.address, index)

    def _named(self, to: str) -> Destination:
        if ":" in to:
            return self._at(to)
        found = self._own(to)
        if isinstance(found, str):
            raise typer.BadParameter(f"--to {to}: {found}; name another listener, or HOST:PORT")
        return found

    def _at(self, address: str) -> Destination:
        from ingest.config.quantities import split_address  # noqa: PLC0415 - imports pydantic

        try:
            split_address(address)
        except ValueError as error:
            raise typer.BadParameter(f"--to {error}") from None
        for name, (index, described) in self._listeners.items():
            if described.kind == "tcp" and described.address == address:
                return Destination(name, "tcp", address, index)
        return Destination(address, "tcp", address, None)


def _connect(
    family: socket.AddressFamily, kind: socket.SocketKind, address: tuple[Any, ...] | str
) -> socket.socket:
    opened = socket.socket(family, kind)
    try:
        opened.settimeout(_CONNECT_SECONDS)
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened


def _unix_address(address: str) -> str:
    return "\0" + address.removeprefix("@") if address.startswith("@") else address
