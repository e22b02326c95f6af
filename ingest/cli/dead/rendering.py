"""Dead letters as people read them: whatever was sent, no control character reaches a terminal."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from ingest.journal import DeadLetter, Identity, ReplayState, StoredLetter

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(line: bytes) -> str:
    r"""Return bytes as one line of visible characters, others as escapes like `\n` and `\x1b`."""
    text = line.decode("utf-8", "surrogateescape")
    return "".join(map(_visible, text))


def describe_state(letter: DeadLetter, state: ReplayState) -> str:
    """Return what can be said of sending a dead letter again, in a word."""
    match state:
        case ReplayState.TAKEN:
            return "replayed"
        case ReplayState.SENDING:
            return "unconfirmed"
        case _:
            return hindrance(letter) or "new"


def hindrance(letter: DeadLetter) -> str | None:
    """Return why a dead letter is not all that was sent, in a word; None where it is."""
    if letter.is_masked:
        return "masked"
    if letter.truncated:
        return "truncated"
    if letter.reason == "incomplete_frame":
        return "incomplete"
    return None


def as_object(stored: StoredLetter, state: ReplayState) -> dict[str, Any]:
    """Return a dead letter as a JSON object, with what it is called and how it stands with it."""
    return {
        "id": str(stored.identity),
        "state": describe_state(stored.letter, state),
        **msgspec.to_builtins(stored.letter),
    }


def as_json(value: object, *, indent: int | None = None) -> str:
    """Return JSON in which every control character is an escape."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


def page(identity: Identity, letter: DeadLetter, state: ReplayState) -> str:
    """Return all of a dead letter for people."""
    line = letter.line
    rows = [
        ("id", str(identity)),
        ("received", letter.received_at),
        ("reason", letter.reason),
        ("stage", letter.stage),
        ("listener", letter.listener),
        ("peer", letter.peer),
        ("length", f"{letter.length:,} bytes"),
        ("kept", f"{len(line):,} bytes"),
        ("state", describe_state(letter, state)),
    ]
    lines = [f"{name:9} {printable(value.encode())}" for name, value in rows if value is not None]
    return "\n".join([*lines, "", printable(line)])


def _visible(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
