"""Horizontal bars: a figure of each of several things, or what it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bench.figures import Summary
from bench.plots.svg import Canvas

_WIDTH, _LABELS, _VALUES = 760, 190, 120
_TOP, _ROW, _BAR = 34, 28, 18
_LEGEND_COLUMN, _LEGEND_ROW = 190, 20
_OURS, _THEIRS = 0, 7


class Bar(msgspec.Struct, frozen=True):
    """One figure."""

    name: str
    value: Summary
    is_ours: bool = True
    """Ours and those of others have different colours."""


class Stack(msgspec.Struct, frozen=True):
    """What a figure is made of."""

    name: str
    parts: dict[str, float]


def bars(title: str, rows: Sequence[Bar], form: str) -> str:
    """Return a picture: the median as a bar and as a number, and the least and the most as a line.

    `form` is a format of figures.
    """
    canvas = Canvas(_WIDTH, _TOP + _ROW * len(rows) + 4, title)
    largest = max(row.value.maximum for row in rows)
    scale = (_WIDTH - _LABELS - _VALUES) / largest
    for at, row in enumerate(rows):
        top = _TOP + _ROW * at
        middle = top + _BAR / 2
        least, most = (_LABELS + each * scale for each in (row.value.minimum, row.value.maximum))
        value = format(row.value.median, form)
        canvas.text(_LABELS - 8, middle + 4, row.name, anchor="end")
        canvas.bar(
            _LABELS,
            top,
            row.value.median * scale,
            _BAR,
            series=_OURS if row.is_ours else _THEIRS,
            hint=f"{row.name}: {value}",
        )
        canvas.line([(least, middle), (most, middle)], "spread")
        canvas.text(max(most, _LABELS + row.value.median * scale) + 8, middle + 4, value)
    return canvas.render()


def stacks(title: str, rows: Sequence[Stack], form: str) -> str:
    """Return a picture of what figures are made of, with a legend."""
    names = list(dict.fromkeys(name for row in rows for name in row.parts))
    columns = _WIDTH // _LEGEND_COLUMN
    legend = -(-len(names) // columns) * _LEGEND_ROW
    canvas = Canvas(_WIDTH, _TOP + _ROW * len(rows) + legend + 14, title)
    scale = (_WIDTH - _LABELS - _VALUES) / max(sum(row.parts.values()) for row in rows)
    for at, row in enumerate(rows):
        x, top = float(_LABELS), _TOP + _ROW * at
        canvas.text(_LABELS - 8, top + _BAR / 2 + 4, row.name, anchor="end")
        for name, value in row.parts.items():
            hint = f"{row.name}, {name}: {format(value, form)}"
            canvas.bar(x, top, value * scale, _BAR, series=names.index(name), hint=hint)
            x += value * scale
        canvas.text(x + 8, top + _BAR / 2 + 4, format(sum(row.parts.values()), form))
    for at, name in enumerate(names):
        x = _LEGEND_COLUMN * (at % columns)
        y = _TOP + _ROW * len(rows) + 10 + _LEGEND_ROW * (at // columns)
        canvas.bar(x, y, 12, 12, series=at, hint=name)
        canvas.text(x + 18, y + 11, name, kind="faint")
    return canvas.render()
