"""Where results go: a directory for each run, which no other run writes into."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import chain, count
from pathlib import Path


def make(parent: Path, started: datetime, why: str) -> Path:
    """Make a directory named by the day and the reason, and by a number from the second on."""
    slug = re.sub(r"[^a-z0-9]+", "-", why.lower()).strip("-")
    name = f"{started:%Y-%m-%d}-{slug}"
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    directory = next(path for each in names if not (path := parent / each).exists())
    directory.mkdir(parents=True)
    return directory
