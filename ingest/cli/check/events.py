"""Read the events that shall be explained."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from ingest.errors import IngestError


def read_events(file: str) -> list[bytes]:
    """Return the lines of a file, or of standard input for `-`; blank ones are left out.

    A file that is one JSON object is one event, over however many lines it is spread.
    """
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise IngestError(f"{file}: cannot be read: {error.strerror}") from None
    lines = [line for line in data.split(b"\n") if line.strip(b" \t\r")]
    if not lines:
        raise IngestError(f"{file}: holds no event; write one as a JSON object")
    if len(lines) > 1 and _is_object(data):
        return [data.strip()]
    return lines


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(data), dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
