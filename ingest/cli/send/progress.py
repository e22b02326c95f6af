"""Show on a terminal how far sending has come.

Importing this imports rich, which takes longer than a short `ingest send` runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TimeElapsedColumn,
)
from rich.text import Text


class _Rate(ProgressColumn):
    """Events per second; rich has one for bytes only."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} events/s")


@contextmanager
def show_progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield what to call with each number of events sent; `total` is None if nobody knows it."""
    columns = (BarColumn(), MofNCompleteColumn(), _Rate(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("send", total=total)
        yield lambda events: progress.advance(task, events)
