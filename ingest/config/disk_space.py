"""Parts of a file system: how people write them, and what they come to on a given one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BeforeValidator, WithJsonSchema

from ingest.config.quantities import parse_size, shown

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_LARGEST_PERCENT = 50.0


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """A part of a file system; of both bounds, the smaller one."""

    percent: float
    bytes: int | None
    """None: no such bound."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what is meant by "10%" or by a size; raise ValueError where it is neither."""
        match = _PERCENT.fullmatch(text.strip())
        if match is None:
            try:
                return cls(_LARGEST_PERCENT, parse_size(text))
            except ValueError:
                raise ValueError(
                    f"{shown(text)} is no part of a disk; write it like "
                    '"10%", "512MiB", "10GiB" or a whole number of bytes'
                ) from None
        percent = float(match[1])
        if percent > _LARGEST_PERCENT:
            raise ValueError(f"{shown(text)} is more than half of a disk; give at most 50%")
        return cls(percent, None)

    def of(self, size_bytes: int) -> int:
        """Return how many bytes that are of a file system."""
        share = int(size_bytes * self.percent / 100)
        return share if self.bytes is None else min(share, self.bytes)


def _check(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    DiskSpace.parse(text)
    return text


DiskSpaceText = Annotated[
    str, BeforeValidator(_check), WithJsonSchema({"type": "string", "format": "size or percentage"})
]
"""The text of a `DiskSpace`."""
