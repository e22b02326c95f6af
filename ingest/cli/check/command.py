"""The command itself: what is in effect, what it does to some events, whether its tests pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ingest.cli.options import ConfigFile
from ingest.errors import ConfigurationError

if TYPE_CHECKING:
    from ingest.config import Settings


def check(
    *,
    config: ConfigFile = None,
    explain: Annotated[
        str | None,
        typer.Option(
            metavar="EVENTS",
            help="Show what each stage does to the events of this file; - is standard input.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the explanations as JSON, for programs.")
    ] = False,
) -> None:
    """Check the configuration, run its tests and print it as TOML.

    What is in effect comes from the file, the INGEST_... variables and the defaults. Presets are
    written out, and comments at the end say what runs in Python and why. A mistake is one line that
    names its place, and the exit status is 4; so it is where one of the [[tests]] fails.

    With --explain, it shows instead what the pipeline does to events: what each stage changes,
    which one drops an event, and what is stored in the end. EVENTS holds one event or a line for
    each.
    """
    # pydantic takes longer to import than `ingest status` takes to run.
    from ingest.config import load_with_notes, render_toml  # noqa: PLC0415

    if json and explain is None:
        raise typer.BadParameter("--json prints what --explain shows; give both")
    settings, notes = load_with_notes(config, {})
    if explain is not None:
        _explain(settings, explain, json=json)
        return
    if settings.tests:
        notes = (*notes, _run_tests(settings, str(config or "INGEST_TESTS")))
    typer.echo(render_toml(settings), nl=False)
    if notes:
        typer.echo("\n" + "\n".join(f"# {note}" for note in notes))


def _explain(settings: Settings, file: str, *, json: bool) -> None:
    # rich takes longer to import than most commands take to run.
    from ingest.cli.check.events import read_events  # noqa: PLC0415
    from ingest.cli.check.explaining import explain_events  # noqa: PLC0415
    from ingest.cli.check.rendering import print_explanations, to_json  # noqa: PLC0415

    (explanations,) = explain_events(settings, [read_events(file)])
    if json:
        typer.echo(to_json(explanations))
    else:
        print_explanations(explanations)


def _run_tests(settings: Settings, source: str) -> str:
    """Return how many tests there are; raise ConfigurationError where one fails."""
    from ingest.cli.check.expectations import mismatches  # noqa: PLC0415
    from ingest.cli.check.explaining import explain_events  # noqa: PLC0415

    tests = settings.tests
    runs = explain_events(settings, [[test.line()] for test in tests])
    failed = 0
    for at, (test, (found,)) in enumerate(zip(tests, runs, strict=True)):
        if differences := mismatches(test, found):
            failed += 1
            typer.echo(f'{source}: tests[{at}] "{test.name}" fails', err=True)
            for difference in differences:
                typer.echo(f"  {difference}", err=True)
    if failed:
        raise ConfigurationError(f"{source}: {failed} of {_count(len(tests))} failed")
    return f"{_count(len(tests))} passed"


def _count(tests: int) -> str:
    return f"{tests} test{'' if tests == 1 else 's'}"
