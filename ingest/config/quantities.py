"""Sizes, durations and addresses: how people write them and what the program computes with.

A size is an int of bytes, a duration a float of seconds, an address the text `HOST:PORT`. All are
written back in the form in which people write them.
"""

from __future__ import annotations

import re
from math import isclose
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
_BYTES_PER_UNIT = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": 1 << 40}
_SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_LARGEST_PORT = 65535
_LARGEST_SIZE = 1 << 62


def parse_size(value: object) -> int:
    """Return the bytes meant by 65536, "65536" or "64KiB"."""
    number, unit = _split(value)
    factor = 1 if unit == "" else _BYTES_PER_UNIT.get(unit)
    size = number * factor if number is not None and factor is not None else -1.0
    if not (0 <= size <= _LARGEST_SIZE and size == int(size)):
        raise ValueError(
            f"{shown(value)} is not a size; write it like "
            '"64KiB", "32MiB", "1GiB" or a whole number of bytes'
        )
    return int(size)


def format_size(size: int) -> str:
    """Return a size in the largest unit that leaves a whole number."""
    for unit, factor in reversed(_BYTES_PER_UNIT.items()):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def parse_duration(value: object) -> float:
    """Return the seconds meant by 0.025, "0.025" or "25ms"."""
    number, unit = _split(value)
    factor = 1.0 if unit == "" else _SECONDS_PER_UNIT.get(unit)
    if number is None or factor is None:
        raise ValueError(
            f"{shown(value)} is not a duration; write it like "
            '"25ms", "10s", "1h", "7d" or a number of seconds'
        )
    return number * factor


def format_duration(seconds: float) -> str:
    """Return a duration in the largest unit that leaves a whole number."""
    for unit, factor in reversed(_SECONDS_PER_UNIT.items()):
        count = round(seconds / factor)
        if count and isclose(count * factor, seconds):
            return f"{count}{unit}"
    return f"{seconds}s"


def split_address(address: str) -> tuple[str, int]:
    """Return the host and the port of "HOST:PORT"; a host with colons stands in brackets."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= _LARGEST_PORT):
        raise ValueError(
            f"{shown(address)} is not an address; write it like "
            '"127.0.0.1:5140" or "[::1]:5140", with a port up to 65535'
        )
    return host, int(port)


def _split(value: object) -> tuple[float | None, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value if 0 <= value < float("inf") else None), ""
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    return (float(match[1]), match[2]) if match else (None, "")


def _check_address(value: object) -> str:
    address = value if isinstance(value, str) else repr(value)
    split_address(address)
    return address


def shown(value: object) -> str:
    """Return a wrong value as an error repeats it."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, when_used="json"),
    WithJsonSchema({"type": "string", "format": "size"}),
]
"""Bytes."""

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, when_used="json"),
    WithJsonSchema({"type": "string", "format": "duration"}),
]
"""Seconds."""

Address = Annotated[
    str,
    BeforeValidator(_check_address),
    WithJsonSchema({"type": "string", "format": "address"}),
]
"""`HOST:PORT`."""
