"""The zone of timestamps that name none: `UTC`, a name of the IANA database, or an offset."""

from __future__ import annotations

import re
import zoneinfo
from typing import Annotated

from pydantic import AfterValidator

from ingest.config.quantities import shown
from ingest.config.suggestions import nearest

_OFFSET = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")


def _check(name: str) -> str:
    if name == "UTC" or _OFFSET.fullmatch(name):
        return name
    # A machine without the database cannot say; the workers bring their own.
    known = zoneinfo.available_timezones()
    if known and name not in known:
        meant = nearest(name, known)
        question = f'did you mean "{meant}"? ' if meant else ""
        raise ValueError(
            f"{shown(name)} is not a time zone; {question}"
            'give a name like "Europe/Berlin", "UTC", or an offset like "+02:00"'
        )
    return name


TimeZone = Annotated[str, AfterValidator(_check)]
"""A time zone by name or offset."""
