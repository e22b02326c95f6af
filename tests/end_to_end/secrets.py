"""Everything that a server leaves behind, and lines with secrets where rules forbid them."""

from __future__ import annotations

import base64
import itertools
import json
import re
import urllib.request
from collections.abc import Iterator
from typing import NamedTuple

from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY
from tests import stored
from tests.harness import Server, run_command

CONFIGURATION = """
[pipeline]
redactors = ["field_mask", "regex_mask", "url_credentials", "field_blocker", "string_truncate"]

[pipeline.config.field_mask]
fields_to_mask = ["data.password", "data.users[*].email", "data.deep.*.pin", "context.value",
    "data.list.code", "rate"]

[pipeline.config.regex_mask]
patterns = ['(?i).*api.?key.*', '(?i).*token', '(?i).*ſecret(?!x).*']

[pipeline.config.string_truncate]
max_string_length = 200

[limits]
depth = 16
keys = 100
line_bytes = 65536
"""
_number = itertools.count(10**7)


class Planted(NamedTuple):
    """A line in which a secret stands at a masked place and a neighbour at another."""

    line: bytes
    secret: bytes
    neighbour: bytes
    """Nothing where the structure is too broken for anybody to know what it belongs to."""


def secret() -> str:
    """Return a text that has never been there, and that is a number as well."""
    return f"53{next(_number)}"


def neighbour() -> str:
    """Return the same for what has to stay."""
    return f"86{next(_number)}"


def everything(server: Server) -> bytes:
    """Return all that the running server has written and answers, in every form it may have."""
    data_dir = server.data_dir
    lines = [
        line
        for journal in (JOURNAL_DIRECTORY, DEAD_DIRECTORY)
        for shard in stored.shards(data_dir, journal)
        for line in shard
    ]
    files = [path.read_bytes() for path in sorted(data_dir.rglob("*")) if path.is_file()]
    raw = [base64.b64decode(found) for line in lines for found in _BASE64.findall(line)]
    host = server.running().admin
    answers = [
        urllib.request.urlopen(f"http://{host}{path}", timeout=20).read()  # noqa: S310 - http
        for path in ("/metrics", "/status", "/healthz", "/readyz")
    ]
    commands = [
        run_command(*command, "--data-dir", data_dir)
        for command in (("status",), ("status", "--json"), ("verify",))
    ]
    said = [part for command in commands for part in (command.stdout, command.stderr)]
    unescaped = [text.encode() for line in lines for text in _texts(json.loads(line))]
    log = server.log_file.read_bytes()
    return b"\n".join([*lines, *files, *raw, *answers, *said, *unescaped, log])


_BASE64 = re.compile(rb'"raw_base64":"([^"]*)"')


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
