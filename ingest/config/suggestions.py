"""Say which name was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like another, if any is like it."""
    spelling = {at.lower(): at for at in known}
    found = difflib.get_close_matches(name.lower(), spelling, n=1)
    return spelling[found[0]] if found else None


def choice(name: str, known: Iterable[str]) -> str:
    """Return `did you mean ...?` where one is near, and the names there are."""
    names = list(known)
    meant = nearest(name, names)
    question = f'did you mean "{meant}"? ' if meant else ""
    return f"{question}known are {', '.join(names)}"
