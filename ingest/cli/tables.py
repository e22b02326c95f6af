"""Lay text out in columns that nothing truncates, on a terminal or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_NOTHING = "-"


def render_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return lines of aligned columns; numbers are grouped and stand to the right."""
    body = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *body, strict=True)]
    numeric = [
        any(_is_number(row[at]) for row in body)
        and all(_is_number(row[at]) or row[at] == _NOTHING for row in body)
        for at in range(len(headings))
    ]
    lines = []
    for row in (headings, *body):
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _is_number(cell: str) -> bool:
    return cell.replace(",", "").isdigit()


def _cell(value: object) -> str:
    if value is None:
        return _NOTHING
    return f"{value:,}" if isinstance(value, int) else str(value)
