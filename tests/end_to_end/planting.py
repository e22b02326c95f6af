"""Lines with secrets where the rules forbid them, and everything that a server leaves behind."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY
from tests import stored
from tests.harness import Server, run_command

LINE_LIMIT = 16 * 1024
MARK = b"530000"
"""What secrets begin with."""
CONFIGURATION = f"""
[pipeline]
redactors = ["field_mask", "regex_mask", "url_credentials", "field_blocker", "string_truncate"]

[pipeline.config.field_mask]
fields_to_mask = ["data.password", "data.users[*].email", "data.deep.*.pin", "context.value",
    "data.list.code", "rate"]

[pipeline.config.regex_mask]
patterns = ['(?i).*api.?key.*', '(?i).*token', '(?i).*\u017fecret(?!x).*']

[pipeline.config.string_truncate]
max_string_length = 200

[journal]
compression = "none"

[limits]
depth = 16
keys = 100
line_bytes = "{LINE_LIMIT}"
"""
TEMPLATES = (
    '{"data":{"password":"S"},"message":"N"}',
    '{"message":"N","data":{"pass\\u0077ord":"S"}}',
    '{"d\\u0061ta":{"password":"xSx"},"message":"N"}',
    '{"data":{"password":S},"message":N}',
    '{"data":{"password":SS},"message":"x"}',
    '{"data":{"password":-1.S,"p":"N"}}',
    '{"message":["N"],"data":{"password":["x",{"y":["S"]}]}}',
    '{"data":{"users":[{"email":"S","name":"N"},[{"email":["S"]}],3,{"email":S}]}}',
    '{"data":{"users":{"email":"S"}},"message":"N"}',
    '{"data":{"deep":{"a":{"pin":S,"n":"N"}}}}',
    '{"data":{"deep":[{"pin":"S"},{"n":N}]}}',
    '{"data":{"list":[[{"code":"S"}],{"n":"N"}]}}',
    '{"context":"S","message":"N"}',
    '{"message":"N","context":["S",{"a":"S"}]}',
    '{"context":S,"message":"N"}',
    '{"rate":Se3,"message":"N"}',
    '{"message":"N","x":{"API-Key":"S"}}',
    '{"x":[{"my_APIKEY":{"a":"S"},"n":"N"}]}',
    '{"ACCESS_TOKEN":"S","n":"N"}',
    '{"a":{"to\\u006Ben":"S"},"n":"N"}',
    '{"a":{"to\\u212Aen":"S"},"n":"N"}',
    '{"\u017fecret":"S","n":"N"}',
    '{"a.\\u017fECRET":[["S"]],"n":"N"}',
    '{"data":{"body":"S","n":"N"}}',
    '{"x":{"RAW_Body":["S"]},"n":"N"}',
    '{"u":"https://u:S@h/N"}',
    '{"u":["\\u0068ttps:\\/\\/S:p@h\\/N"]}',
    '{"u":"//S@h","n":"N"}',
    '{"u":"redis://:S@[::1]:1/N"}',
    '{"u":"http://u:S@h:99999/N"}',
    '{"message":"https://u:S@h:x/N"}',
    '{"schema_version":"1.1","log":{"data":{"password":"S"},"message":"N"}}',
    '{"log":{"context":["S"],"message":"N"},"schema_version":"1.1"}',
    '{"data":{"_fapilog_unsafe":true,"password":"S"},"message":"N"}',
    '{"data":{"password":"S","_fapilog_unsafe":true,"_fapilog_internal":1},"message":"N"}',
    '{"data":{"password":"\\ud83d\\ude00S\\"","n":"N"}}',
)
"""`S` is the secret and `N` what has to stay."""


class Planted(NamedTuple):
    """A line in which a secret stands at a masked place."""

    line: bytes
    secret: bytes
    neighbour: bytes
    """What stands at a place that no rule forbids, and has to be found again."""


_number = count()


def plant(template: str) -> Planted:
    """Return a line with texts that have never been there, and are numbers as well."""
    number = next(_number)
    secret, neighbour = f"{MARK.decode()}{number:06}", f"860000{number:06}"
    line = re.sub("[SN]", lambda at: secret if at[0] == "S" else neighbour, _shielded(template))
    return Planted(_unshielded(line).encode(), secret.encode(), neighbour.encode())


def _shielded(template: str) -> str:
    """Hide the capitals of keys."""
    words = r"API|ACCESS_TOKEN|APIKEY|RAW|ECRET"
    return re.sub(words, lambda at: "".join(chr(0xE000 + ord(one)) for one in at[0]), template)


def _unshielded(line: str) -> str:
    return re.sub("[\ue000-\ue07f]", lambda at: chr(ord(at[0]) - 0xE000), line)


def stored_text(lines: list[bytes]) -> bytes:
    """Return stored lines with what is spelt or encoded in them."""
    parts = list(lines)
    for line in lines:
        parts += (text.encode() for text in _texts(json.loads(line)))
        parts += map(base64.b64decode, re.findall(rb'"raw_base64":"([^"]*)"', line))
    return b"\n".join(parts)


def everything(server: Server) -> bytes:
    """Return all that the running server has written and answers."""
    lines = [
        line
        for journal in (JOURNAL_DIRECTORY, DEAD_DIRECTORY)
        for shard in stored.shards(server.data_dir, journal)
        for line in shard
    ]
    answers = [
        urllib.request.urlopen(f"http://{server.running().admin}{page}", timeout=20).read()
        for page in ("/metrics", "/status", "/healthz", "/readyz")
    ]
    commands = [
        run_command(*command, "--data-dir", server.data_dir)
        for command in (("status", "--json"), ("verify",), ("tail", "-n", "100"))
    ]
    said = [part for command in commands for part in (command.stdout, command.stderr)]
    return b"\n".join(
        [
            stored_text(lines),
            *_files(server.data_dir),
            server.log_file.read_bytes(),
            *answers,
            *said,
        ]
    )


def _files(directory: Path) -> Iterator[bytes]:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield path.read_bytes()


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for key, item in value.items() for text in (key, *_texts(item)))
    elif isinstance(value, list):
        yield from (text for item in value for text in _texts(item))
