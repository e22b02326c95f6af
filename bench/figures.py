"""Figures of several runs: the middle and the spread, ratios round by round, a table of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

ENOUGH_ROUNDS = 5
"""With fewer, the least and the most say little about how far figures vary."""


class Summary(msgspec.Struct, frozen=True):
    """A figure over all runs of a case."""

    median: float
    minimum: float
    maximum: float


def summarise(values: Iterable[float]) -> Summary:
    """Return the middle of some figures and how far they lie apart."""
    figures = list(values)
    return Summary(median=median(figures), minimum=min(figures), maximum=max(figures))


def ratio(figures: Sequence[float], to: Sequence[float]) -> Summary:
    """Return the ratios of figures that belong together, round by round."""
    return summarise(figure / other for figure, other in zip(figures, to, strict=True))


def spread(summary: Summary, form: str) -> str:
    """Return the median, and the least and the most in brackets."""
    middle, least, most = (
        format(value, form) for value in (summary.median, summary.minimum, summary.maximum)
    )
    return f"{middle} ({least} to {most})"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; all columns but the first are numbers."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
