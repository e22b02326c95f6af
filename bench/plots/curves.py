"""Curves over a logarithmic axis: how a figure changes with a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log10

import msgspec

from bench.plots.svg import Canvas

_WIDTH, _HEIGHT = 760, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 170, 40, 48
_TICKS, _LABEL = 5, 45


class Curve(msgspec.Struct, frozen=True):
    """Points of one thing, by growing numbers above zero."""

    name: str
    points: list[tuple[float, float]]
    spreads: list[tuple[float, float]] = []
    """For each point the least and the most, where they are known."""


def curves(
    title: str, across: str, form: str, shown: Sequence[Curve], top: float | None = None
) -> str:
    """Return a picture; `across` names the horizontal axis, `form` is a format of figures.

    The vertical axis begins at zero and ends at `top`, or above the largest figure.
    """
    canvas = Canvas(_WIDTH, _HEIGHT, title)
    numbers = sorted({number for curve in shown for number, _ in curve.points})
    highest = top or _round_up(
        max(most for curve in shown for _, most in (*curve.points, *curve.spreads))
    )
    first, last = log10(numbers[0]), log10(numbers[-1])

    def x(number: float) -> float:
        share = (log10(number) - first) / (last - first) if last > first else 0.5
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(figure: float) -> float:
        return _HEIGHT - _BOTTOM - figure / highest * (_HEIGHT - _TOP - _BOTTOM)

    for at in range(_TICKS + 1):
        figure = highest * at / _TICKS
        canvas.line([(_LEFT, y(figure)), (_WIDTH - _RIGHT, y(figure))], "grid")
        label = format(figure, form)
        canvas.text(_LEFT - 8, y(figure) + 4, label, anchor="end", kind="faint")
    for number in _labelled(numbers, x):
        canvas.text(
            x(number), _HEIGHT - _BOTTOM + 20, f"{number:,g}", anchor="middle", kind="faint"
        )
    canvas.text(_WIDTH - _RIGHT, _HEIGHT - 8, across, anchor="end", kind="faint")
    for series, curve in enumerate(shown):
        for (number, _), (least, most) in zip(curve.points, curve.spreads, strict=False):
            canvas.line([(x(number), y(least)), (x(number), y(most))], "spread")
        canvas.line([(x(number), y(figure)) for number, figure in curve.points], "line", series)
        for number, figure in curve.points:
            hint = f"{curve.name}, {number:,g}: {format(figure, form)}"
            canvas.dot(x(number), y(figure), series, hint)
        canvas.bar(_WIDTH - _RIGHT + 14, _TOP + 20 * series, 12, 12, series=series, hint=curve.name)
        canvas.text(_WIDTH - _RIGHT + 32, _TOP + 20 * series + 11, curve.name)
    return canvas.render()


def _round_up(figure: float) -> float:
    """Return the next of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten."""
    power = 10.0 ** int(log10(figure)) if figure >= 1 else 10.0 ** (int(log10(figure)) - 1)
    steps = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return next(step * power for step in steps if step * power >= figure)


def _labelled(numbers: Sequence[float], x: Callable[[float], float]) -> list[float]:
    """Return the numbers that there is room to write below the axis."""
    labelled: list[float] = []
    for number in numbers:
        if not labelled or x(number) - x(labelled[-1]) >= _LABEL:
            labelled.append(number)
    return labelled
