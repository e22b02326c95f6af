# ruff: noqa: INP001 - a program, not a package
"""Write docs/reference/ from the program: configuration, metrics and commands.

`python docs/generate.py` writes the pages, `--check` only says whether they are up to date.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_origin

import typer
from pydantic import BaseModel
from typer.main import get_command

from ingest._native import METRICS
from ingest.cli.application import application
from ingest.config import Settings
from ingest.config.catalogue import Key, keys_of, table_of
from ingest.errors import ExitStatus

DIRECTORY = Path(__file__).parent / "reference"
NOTICE = "<!-- Written by docs/generate.py from the program. Do not edit. -->\n"

CONFIGURATION = """\
Flags win over `INGEST_...` variables, these over the TOML file of `--config`, and the file over the
defaults. In a variable the levels are parted by two underscores: `journal.level` is
`INGEST_JOURNAL__LEVEL`. All listeners fit into one variable as JSON:
`INGEST_LISTENERS='[{"kind":"tcp","address":"0.0.0.0:5140"}]'`. Unknown keys are errors.
`ingest check --config FILE` says what is wrong, or prints what is in effect.

A *size* is a number of bytes or text like `"64KiB"`, `"32MiB"`, `"1GiB"`. A *duration* is a number
of seconds or text like `"25ms"`, `"10s"`, `"1h"`, `"7d"`. An *address* is `"HOST:PORT"`, for IPv6
`"[::1]:PORT"`.
"""

METRICS_INTRODUCTION = """\
`GET /metrics` of the admin server answers in the Prometheus text format, or in OpenMetrics where
the client asks for it. Counters belong to a worker's slot, not to its process: they go on when a
worker is replaced.
"""


def configuration() -> str:
    """Return the page of every key."""
    return "\n".join(
        (
            "# Configuration",
            "",
            NOTICE,
            CONFIGURATION.rstrip(),
            *_tables(Settings),
            "",
        )
    )


def metrics() -> str:
    """Return the page of every exported metric."""
    rows = [
        (
            f"`{metric.name}`",
            metric.kind,
            " ".join(f"`{label}`" for label in _labels(metric.scope, metric.label)),
            metric.help,
        )
        for metric in METRICS
        if metric.public
    ]
    values = [
        (f"`{metric.label}` of `{metric.name}`", " ".join(f"`{at}`" for at in metric.label_values))
        for metric in METRICS
        if metric.public and metric.label and metric.kind != "histogram"
    ]
    return "\n".join(
        (
            "# Metrics",
            "",
            NOTICE,
            METRICS_INTRODUCTION,
            *_render(("Metric", "Kind", "Labels", "Meaning"), rows),
            "",
            "`ingest_info` carries the `version` as a label.",
            "",
            "## Values of labels",
            "",
            *_render(("Label", "Values"), values),
            "",
        )
    )


def commands() -> str:
    """Return the page of every command."""
    lines = ["# Commands", "", NOTICE]
    for name, command in _commands(get_command(application), "ingest"):
        arguments = " ".join(
            f"[{parameter.metavar}]{'...' if parameter.nargs < 0 else ''}"
            for parameter in command.params
            if parameter.param_type_name == "argument"
        )
        lines += [
            f"## {name}",
            "",
            f"```\n{name} [OPTIONS] {arguments}".rstrip() + "\n```",
            "",
            str(command.help),
            "",
            *_render(("Option", "Meaning"), _options(command.params)),
            "",
        ]
    lines += [
        "## Exit status",
        "",
        *_render(("Status", "Name"), [(str(int(at)), at.name.lower()) for at in ExitStatus]),
        "",
    ]
    return "\n".join(lines)


def _commands(command: typer.core.TyperCommand, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the commands of a group, and of the groups within it, by their whole names."""
    if not isinstance(command, typer.core.TyperGroup):
        yield name, command
        return
    context = typer.Context(command, info_name=name)
    for below in command.list_commands(context):
        yield from _commands(command.get_command(context, below), f"{name} {below}")


def _options(parameters: Iterable[typer.core.TyperOption]) -> Iterator[tuple[str, str]]:
    for parameter in parameters:
        names = parameter.opts if parameter.param_type_name == "option" else []
        value = f" {parameter.metavar}" if parameter.metavar else ""
        yield (
            ", ".join(f"`{name}{value}`" for name in names) or f"`{parameter.metavar}`",
            " ".join(str(parameter.help).split()),
        )


def _tables(table: type[BaseModel], path: str = "") -> Iterator[str]:
    """Yield a section for a table and one for each table within it."""
    keys = list(keys_of(table))
    plain = [_key_row(key) for key in keys if table_of(key.field) is None]
    if plain:
        yield ""
        yield from _render(("Key", "Value", "Default", "Meaning"), plain)
    for key in keys:
        if nested := table_of(key.field):
            name = f"{path}.{key.name}".removeprefix(".")
            if get_origin(key.field.annotation) is dict:
                name += ".NAME"
            title = f"[[{name}]]" if _is_list(key) else f"[{name}]"
            yield from ("", f"## `{title}`", "", inspect.cleandoc(str(key.field.description)))
            yield from _tables(nested, name)


def _is_list(key: Key) -> bool:
    return get_origin(key.field.annotation) is tuple


def _key_row(key: Key) -> tuple[str, str, str, str]:
    return (
        f"`{key.name}`",
        f"{key.kind}, {key.bounds}" if key.bounds else key.kind,
        _default(key),
        str(key.field.description),
    )


def _default(key: Key) -> str:
    if key.field.is_required():
        return "required"
    if key.field.default_factory is not None:
        return "one per core"
    value = key.field.default
    if value is None:
        return ""
    if isinstance(value, str | bool | tuple | dict):
        return f"`{json.dumps(value)}`"
    written = key.write(value)
    return f"`{written}`" if written.replace(".", "").isdigit() else f'`"{written}"`'


def _labels(scope: str, label: str | None) -> list[str]:
    place = {"server": [], "worker": ["worker"]}.get(scope, [scope, "worker"])
    return [*place, label] if label else place


def _render(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"


PAGES = {"configuration.md": configuration, "metrics.md": metrics, "cli.md": commands}


def main() -> int:
    """Write or check every page; return 1 if one was not up to date."""
    only_check = sys.argv[1:] == ["--check"]
    stale = []
    for name, make in PAGES.items():
        file, text = DIRECTORY / name, make()
        if not file.exists() or file.read_text() != text:
            stale.append(name)
            if not only_check:
                file.parent.mkdir(exist_ok=True)
                file.write_text(text)
    if stale and only_check:
        sys.stderr.write(f"stale: {', '.join(stale)}; run: python docs/generate.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
