"""How a line is sent so that it arrives as one frame, byte for byte; native/src/frame/ reads it."""

from __future__ import annotations

import re

_COUNTABLE = re.compile(rb"\{|<[0-9]")
"""In front of such a beginning, a number counts octets."""
_COUNTED = re.compile(rb"([1-9][0-9]{0,8}) (?:\{|<[0-9])")
_LONGEST_COUNTED_BYTES = 999_999_999
_BLANKS = b" \t\r\n\0"
"""Before a frame, such bytes belong to none."""
_LARGEST_DATAGRAM_BYTES = 65_507


def frame_in_stream(line: bytes) -> bytes | None:
    """Return what a stream takes as exactly this frame, or None where nothing is.

    With a count, a frame may hold any bytes; without one, its first line break ends it.
    """
    if _COUNTABLE.match(line) and len(line) <= _LONGEST_COUNTED_BYTES:
        return b"%d " % len(line) + line
    # A zero byte may end what begins like syslog.
    ends_early = b"\n" in line or (line.startswith(b"<") and 0 in line)
    if ends_early or line[:1] in _BLANKS or _COUNTED.match(line):
        return None
    return line + b"\n"


def frame_in_datagram(line: bytes) -> bytes | None:
    """Return the datagram that is taken as exactly this frame, or None where none is.

    One that begins with a brace is lines; of any other, blanks before it, breaks behind it and a
    count of all its octets are no part.
    """
    ends_early = line.startswith(b"{") and b"\n" in line
    counted = _COUNTED.match(line)
    is_count_of_all = counted and int(counted[1]) == len(line) - len(counted[1]) - 1
    is_trimmed = line[:1] in _BLANKS or line[-1:] in b"\n\r\0"
    if ends_early or is_count_of_all or is_trimmed or len(line) > _LARGEST_DATAGRAM_BYTES:
        return None
    return line
