"""What the listeners have to be beside each other, and which option belongs to which kind."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.config.listeners import Listener
from ingest.config.tables import ConflictError
from ingest.contract import ListenerKind

Kinds = tuple[ListenerKind, ...]

_INTERNET: Kinds = ("tcp", "udp", "tls")
_CONNECTIONS: Kinds = ("tcp", "tls", "unix_stream")
_UNIX: Kinds = ("unix_stream", "unix_datagram")
_KINDS_OF_OPTION: dict[str, Kinds] = {
    "allow": _INTERNET,
    "deny": _INTERNET,
    "proxies": ("tcp", "tls"),
    "gro": ("udp",),
    "socket": _UNIX,
    "mode": _UNIX,
    "tls": ("tls",),
}
_KINDS_OF_LIMIT: dict[str, Kinds] = {
    "connections": _CONNECTIONS,
    "source_connections": ("tcp", "tls"),
    "idle_timeout": _CONNECTIONS,
    "frame_timeout": _CONNECTIONS,
    "opening_timeout": ("tcp", "tls"),
    "source_events_per_second": _INTERNET,
    "source_bytes_per_second": _INTERNET,
}
_OF_SYSLOG = {"unparsed": "dead_letter", "time_zone": "UTC"}
"""What JSON lines do not depend on, and what stands there unless it is given."""
_WORDS: dict[ListenerKind, str] = {
    "tcp": "tcp",
    "udp": "udp",
    "tls": "tls",
    "unix_stream": "unix stream",
    "unix_datagram": "unix datagram",
}


def check_listeners(listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
    """Return the listeners, each with a name; raise ConflictError at the first mistake."""
    if not listeners:
        raise ValueError("is empty; give at least one [[listeners]] table with kind and address")
    for at, listener in enumerate(listeners):
        for path, text in (*_misplaced_options(listener), *_tls_mistakes(listener)):
            raise ConflictError(("listeners", at, *path), text)
    _check_addresses(listeners)
    return _name_listeners(listeners)


def _misplaced_options(listener: Listener) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what is given and would have no effect."""
    kind = listener.transport
    for table, path, kinds_of in (
        (listener, (), _KINDS_OF_OPTION),
        (listener.limits, ("limits",), _KINDS_OF_LIMIT),
    ):
        for key, kinds in kinds_of.items():
            # An empty list says as little as none.
            if getattr(table, key) and kind not in kinds:
                where = f"for a {_WORDS[kind]} listener, only for {_any_of(kinds)}"
                yield (*path, key), f"has no meaning {where}; leave it out"
    for key, default in _OF_SYSLOG.items():
        if listener.format == "json" and getattr(listener, key) != default:
            yield (key,), 'has no meaning while format is "json"; leave it out'
    if listener.mode and listener.address.startswith("@"):
        yield ("mode",), f'has no meaning for "{listener.address}", which is no file; leave it out'


def _tls_mistakes(listener: Listener) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield what is missing for TLS, and a CA that checks nobody."""
    tls = listener.tls
    if tls is None:
        if listener.kind == "tls":
            yield ("tls",), "is missing; give a table with certificate and key"
        return
    path = ("tls", "client_ca")
    if tls.client_auth != "none" and tls.client_ca is None:
        whose = "the certificates that sign those of clients"
        yield path, f'is missing; client_auth = "{tls.client_auth}" needs {whose}'
    if tls.client_auth == "none" and tls.client_ca is not None:
        remedy = 'give client_auth = "required" or "optional", or leave it out'
        yield path, f'has no effect while client_auth is "none"; {remedy}'


def _any_of(kinds: Kinds) -> str:
    *others, last = dict.fromkeys("unix" if kinds == _UNIX else _WORDS[kind] for kind in kinds)
    return f"{', '.join(others)} and {last}" if others else last


def _check_addresses(listeners: tuple[Listener, ...]) -> None:
    kind_at: dict[tuple[str, str], str] = {}
    for at, listener in enumerate(listeners):
        taken = kind_at.get(listener.place)
        if taken and not listener.is_shared_address:
            raise ConflictError(
                ("listeners", at, "address"),
                f"{listener.address} is already the address of a {taken} listener;"
                " choose a different one",
            )
        kind_at[listener.place] = listener.kind


def _name_listeners(listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
    """Give every listener a name of its own, so that a counter belongs to exactly one."""
    taken: set[str] = set()
    for at, listener in enumerate(listeners):
        if listener.name in taken:
            raise ConflictError(
                ("listeners", at, "name"),
                f'"{listener.name}" is the name of another listener; choose a different one',
            )
        if listener.name is not None:
            taken.add(listener.name)
    named = []
    for listener in listeners:
        name = listener.name
        if name is None:
            name, number = listener.default_name, 1
            while name in taken:
                number += 1
                name = f"{listener.default_name}-{number}"
            taken.add(name)
        named.append(listener.model_copy(update={"name": name}))
    return tuple(named)
