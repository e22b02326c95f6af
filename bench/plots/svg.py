"""The few elements of SVG that our pictures are made of; the same input gives the same bytes.

Colours are those of the reader's scheme, light or dark; the picture needs nothing else to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

SERIES = 12
"""How many colours there are; more series share them."""

Anchor = Literal["start", "middle", "end"]

_LIGHT = (
    *("#0b62c4", "#c2410c", "#15803d", "#9333ea", "#b08800", "#0e7490", "#be185d", "#6b7280"),
    *("#7dafea", "#f0a27a", "#7cc48f", "#c9a3f2"),
)
_DARK = (
    *("#5aa9ff", "#ff9a5c", "#4ade80", "#c79bff", "#f2cc3d", "#41d3e8", "#ff7ab8", "#a3aab5"),
    *("#2a5d99", "#a35327", "#23803f", "#7a4fb3"),
)
_STYLE = """\
<style>
text{{font-family:system-ui,sans-serif;font-size:13px;fill:#1f2328}}
.title{{font-size:15px;font-weight:600}}
.faint{{fill:#59636e}}
.grid{{stroke:#d1d9e0;fill:none}}
.spread{{stroke:#1f2328;fill:none}}
.line{{fill:none;stroke-width:2}}
{light}
@media (prefers-color-scheme:dark){{
text{{fill:#e6edf3}}
.faint{{fill:#9da7b1}}
.grid{{stroke:#3d444d}}
.spread{{stroke:#e6edf3}}
{dark}
}}
</style>"""


class Canvas:
    """Takes elements and gives the picture. Coordinates are pixels from the upper left corner."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._width, self._height, self._title = width, height, title
        self._elements: list[str] = []
        self.text(0, 18, title, kind="title")

    def text(
        self, x: float, y: float, words: str, *, anchor: Anchor = "start", kind: str = ""
    ) -> None:
        """Add words whose baseline is at `y`."""
        attributes = f' class="{kind}"' if kind else ""
        if anchor != "start":
            attributes += f' text-anchor="{anchor}"'
        self._elements.append(f'<text x="{x:.1f}" y="{y:.1f}"{attributes}>{escape(words)}</text>')

    def bar(
        self, x: float, y: float, width: float, height: float, *, series: int, hint: str
    ) -> None:
        """Add a filled rectangle; the hint is shown where the pointer rests."""
        self._elements.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
            f' class="f{series % SERIES}"><title>{escape(hint)}</title></rect>'
        )

    def line(
        self, points: Sequence[tuple[float, float]], kind: str, series: int | None = None
    ) -> None:
        """Add a line through points."""
        colour = "" if series is None else f" s{series % SERIES}"
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._elements.append(f'<polyline points="{path}" class="{kind}{colour}"/>')

    def dot(self, x: float, y: float, series: int, hint: str) -> None:
        """Add a point of a line."""
        self._elements.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="f{series % SERIES}">'
            f"<title>{escape(hint)}</title></circle>"
        )

    def render(self) -> str:
        """Return the text of the file."""
        style = _STYLE.format(light=_colours(_LIGHT), dark=_colours(_DARK))
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width} {self._height}"'
            f' width="{self._width}" height="{self._height}" role="img"'
            f" aria-label={quoteattr(self._title)}>"
        )
        return "\n".join([head, style, *self._elements, "</svg>", ""])


def _colours(colours: Sequence[str]) -> str:
    return "\n".join(
        f".f{at}{{fill:{colour}}}.s{at}{{stroke:{colour}}}" for at, colour in enumerate(colours)
    )
