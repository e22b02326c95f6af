"""`python -m bench.plots DIRECTORY...`: draws what is in directories of results.

Writes SVG into docs/pictures and the page docs/pictures.md, which shows them, and the tables in
docs/performance.md and docs/scaling.md. A picture whose part of the results is missing is taken
away.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.plots import pictures, tables
from bench.plots.picture import Picture

_DOCUMENTS = Path(__file__).parents[2] / "docs"
_PICTURES = "pictures"

_HEAD = """\
# In pictures

<!-- Written by `make plots`. Do not edit. -->

Drawn from {sources}.
How the figures were measured stands in [Measuring](bench.md). Bars and points are medians; a thin
line reaches from the least to the most.
"""


def main() -> int:
    """Draw; return 1 if there was nothing to draw."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.plots",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="DIRECTORY")
    parser.add_argument("--documents", type=Path, default=_DOCUMENTS, help="default: docs")
    options = parser.parse_args()
    shown = pictures.read(options.results)
    drawn = list(pictures.pictures(shown))
    if not drawn:
        print("there is nothing to draw in these directories", file=sys.stderr)
        return 1
    write(drawn, options.results, options.documents)
    print(f"{len(drawn)} pictures in {options.documents / _PICTURES}")
    for page in tables.write(shown, options.documents):
        print(f"a table in {page}")
    return 0


def write(drawn: Sequence[Picture], results: Sequence[Path], documents: Path) -> None:
    """Write the pictures and their page in place of those that are there."""
    directory = documents / _PICTURES
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.svg"):
        old.unlink()
    for picture in drawn:
        (directory / f"{picture.name}.svg").write_text(picture.text)
    sources = " and ".join(f"`bench/results/{each.resolve().name}`" for each in results)
    parts = [
        f"\n![{picture.caption.split(':')[0].rstrip('.')}]({_PICTURES}/{picture.name}.svg)\n\n"
        f"{picture.caption}\n"
        for picture in drawn
    ]
    (documents / f"{_PICTURES}.md").write_text(_HEAD.format(sources=sources) + "".join(parts))


if __name__ == "__main__":
    sys.exit(main())
