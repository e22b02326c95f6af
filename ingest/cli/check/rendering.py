"""Show explanations to people, and to programs as JSON.

Importing this imports rich, which takes longer than most commands run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from msgspec import UNSET
from rich.console import Console
from rich.text import Text

from ingest.explain.report import Change, Decoding, Explanation, StageTrace

_LONGEST_VALUE = 200
_STYLES = {
    "passed": "dim",
    "changed": "yellow",
    "filtered": "magenta",
    "dropped": "magenta",
    "failed": "red",
    "skipped": "red",
    "dead_letter": "red",
    "stored": "green",
}


def to_json(explanations: Sequence[Explanation]) -> str:
    """Return the document that docs/pipeline.md describes."""
    return msgspec.json.format(msgspec.json.encode(explanations), indent=2).decode()


def print_explanations(explanations: Sequence[Explanation]) -> None:
    """Print a paragraph for each event, in colour on a terminal; NO_COLOR is respected."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    for at, explanation in enumerate(explanations):
        console.print(Text("\n" if at else "").append(f"event {at + 1}", "bold"))
        for line in _render(explanation):
            console.print(line)


def _render(explanation: Explanation) -> Iterator[Text]:
    shown = [stage for stage in explanation.stages if stage.outcome != "not_reached"]
    width = max((len(stage.name) for stage in shown), default=0)
    yield Text("  input      ").append(_shortened(explanation.input))
    yield from _render_decoding(explanation.decode)
    for stage in shown:
        yield _render_stage(stage, width)
        yield from map(_render_change, stage.changes)
    result = explanation.result
    yield Text("  ").append(result.describe(), f"bold {_STYLES[result.outcome]}")
    if result.text is not None:
        yield Text(f"  {result.text}")


def _render_decoding(decoding: Decoding) -> Iterator[Text]:
    if not decoding.accepted:
        yield Text("  decode     ").append(f"rejected: {decoding.reason}", _STYLES["failed"])
    elif decoding.unwrapped or decoding.edits:
        what = "taken out of its envelope" if decoding.unwrapped else "changed"
        yield Text("  decode     ").append(what, _STYLES["changed"])
        yield from map(_render_change, decoding.edits)


def _render_stage(stage: StageTrace, width: int) -> Text:
    line = Text(f"  {stage.kind:<9}  {stage.name:<{width}}  ")
    line.append(stage.outcome, _STYLES[stage.outcome])
    if stage.failure is not None:
        line.append(f": {stage.failure} (fail = {stage.policy})", _STYLES[stage.outcome])
    return line if stage.native else line.append("  in Python", "dim")


def _render_change(change: Change) -> Text:
    if change.before is UNSET:
        return Text(f"    + {change.path}: {_value(change.after)}", "green")
    if change.after is UNSET:
        return Text(f"    - {change.path}: {_value(change.before)}", "red")
    return Text(f"    ~ {change.path}: {_value(change.before)} -> {_value(change.after)}", "yellow")


def _value(value: object) -> str:
    return _shortened(bytes(value).decode()) if isinstance(value, msgspec.Raw) else ""


def _shortened(text: str) -> str:
    """Return a value as far as people read it; JSON has the whole."""
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{text[:_LONGEST_VALUE]}... ({len(text):,} characters)"
