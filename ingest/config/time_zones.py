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
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        meant = nearest(name, zoneinfo.available_timezones())
        remedy = f'did you mean "{meant}"?' if meant else 'write it like "Europe/Berlin"'
        raise ValueError(
            f'{shown(name)} is not a time zone; {remedy} "UTC" and offsets like "+02:00" are others'
        ) from None
    return name


TimeZone = Annotated[str, AfterValidator(_check)]
"""A time zone by name or offset."""
