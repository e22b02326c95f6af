"""What a picture is, and how figures are written in it."""

from __future__ import annotations

import msgspec

RATE, COST = ",.0f", ".2f"
"""Formats of events per second, and of CPU-seconds per million events."""


class Picture(msgspec.Struct, frozen=True):
    """One picture."""

    name: str
    """Of the file, without its suffix."""
    caption: str
    text: str
    """The file."""
