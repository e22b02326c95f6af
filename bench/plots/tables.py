"""Writes tables of results into pages that people wrote, between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import scaling
from bench.plots.pictures import Shown
from bench.profile import breakdown
from bench.profile.breakdown import Profile

_BEGIN, _END = "<!-- {name}: written by make plots -->\n", "<!-- {name}: end -->\n"


def write(shown: Shown, documents: Path) -> list[Path]:
    """Write the tables that there are results for; return the pages. Others stay as they are."""
    written = []
    for name, file, text in (
        ("breakdown", "performance.md", _breakdown(shown.profiles)),
        ("scaling", "scaling.md", scaling.table(shown.scaling) if shown.scaling else ""),
    ):
        page = documents / file
        if text and page.exists():
            page.write_text(_fill(page.read_text(), name, text))
            written.append(page)
    return written


def _breakdown(profiles: Sequence[Profile]) -> str:
    return "\n\n".join(
        f"`{each.case}`, {each.connections} connections, {each.workers} workers:\n\n"
        f"{breakdown.table(each)}"
        for each in profiles
    )


def _fill(page: str, name: str, text: str) -> str:
    """Return the page with the text between the marks of this name, which have to be there."""
    begin, end = _BEGIN.format(name=name), _END.format(name=name)
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"the page has no marks of {name}")
    return f"{before}{begin}\n{text}\n\n{end}{after}"
