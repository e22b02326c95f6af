"""The tables [[tests]]: what passes, how a failure reads, and what cannot be meant."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.config import load
from ingest.errors import ConfigurationError, ExitStatus
from ingest.pipeline import paths
from tests.harness import run_command

pytestmark = pytest.mark.usefixtures("plain_environment")

PIPELINE = """
[pipeline]
filters = ["level", "first_occurrence"]
redactors = ["field_mask"]
[pipeline.config.field_mask]
fields_to_mask = ["data.password"]
"""
INGEST = """{received_at = "1970-01-01T00:00:00.000Z", peer = "192.0.2.1:49152", listener = "test",\
 shard = 0}"""
PASSING = f"""
[[tests]]
name = "passwords are masked"
input = {{message = "m", data = {{password = "hunter2", user = "ann"}}}}
[tests.expected]
message = "m"
data = {{password = "***", user = "ann"}}
diagnostics = {{ingest = {INGEST}}}

[[tests]]
name = "the same event, for each test has a pipeline of its own"
input = '{{"message": "m", "data": {{"password": "hunter2", "roles": [{{"id": 1, "n": null}}]}}}}'
contains = '{{"data": {{"password": "***", "roles": [{{"n": null}}]}}}}'
absent = ["data.token", "data.roles[*].name", 'data["a.b"]']
secrets = ["hunter2"]

[[tests]]
name = "noise is dropped"
input = {{level = "DEBUG"}}
drop = true
by = "level"

[[tests]]
name = "dead letters hold no passwords"
input = '{{"data": {{"password": "hunter2", "password": "hunter3"}}}}'
rejected = "duplicate_key"
secrets = ["hunter2", "hunter3"]
"""


def test_passing_tests_are_counted(file: Path) -> None:
    """In a comment; what is printed is still the configuration, tests and all."""
    file.write_text(PIPELINE + PASSING)
    done = run_command("check", "--config", file)
    assert (done.returncode, done.stderr) == (ExitStatus.CLEAN, b"")
    assert done.stdout.endswith(b"\n# 4 tests passed\n")
    printed = file.with_name("printed.toml")
    printed.write_bytes(done.stdout)
    assert load(printed, {}) == load(file, {})
    assert len(tomllib.loads(done.stdout.decode())["tests"]) == 4


FAILING = [
    (
        "expected = {data = {password = 'hunter2', x = 1}, diagnostics = {}}",
        [
            'data.password: expected "hunter2", is "***"',
            "data.x: expected 1, is missing",
            'data.list: [1,{"a":2}] is not expected',
        ],
    ),
    (
        'contains = {level = "INFO", data = {list = [1]}}',
        ['level: expected "INFO", is missing', 'data.list[1]: {"a":2} is not expected'],
    ),
    ('absent = ["data.password"]', ['data.password: expected to be absent, is "***"']),
    ('absent = ["data.list[*].a"]', ["data.list[*].a: expected to be absent, is 2"]),
    ('secrets = ["*"]', ['"*" is a secret, and stands in what is stored']),
    ("drop = true", ["expected to be dropped, was stored"]),
    ('rejected = "too_deep"', ["expected to be a dead letter: too_deep, was stored"]),
    ("contains = {}\ninput = {level = 'DEBUG'}", ["expected to be stored, was filtered by level"]),
    (
        "drop = true\nby = 'first-occurrence'\ninput = {level = 'DEBUG'}",
        ["expected to be dropped by first-occurrence, was filtered by level"],
    ),
    ("expected = {}\ninput = 'x'", ["expected to be stored, was a dead letter: not_an_object"]),
]


def test_failing_tests_say_what_is_different(file: Path) -> None:
    """A line for each test and for each difference; nothing is printed as configuration."""
    written = [PIPELINE.replace("redactors", "enrichers = []\nredactors")]
    expected = []
    for at, (text, lines) in enumerate(FAILING):
        given_input = (
            "" if "input" in text else "input = {data = {password = 1, list = [1, {a = 2}]}}"
        )
        written.append(f'[[tests]]\nname = "test {at}"\n{text}\n{given_input}')
        expected.append(f'{file}: tests[{at}] "test {at}" fails')
        expected += [f"  {line}" for line in lines]
    file.write_text("\n".join([*written, PASSING.replace("diagnostics", "x")]))
    done = run_command("check", "--config", file)
    assert (done.returncode, done.stdout) == (ExitStatus.CONFIGURATION, b"")
    shown = [line for line in done.stderr.decode().splitlines() if "diagnostics" not in line]
    count = len(FAILING)
    assert shown[: len(expected)] == expected
    assert shown[-1] == f"ingest: {file}: {count + 1} of {count + 4} tests failed"


MISTAKES = [
    ("input = {}\ndrop = true", "name: is missing; give a text"),
    ('name = "n"\ndrop = true', "input: is missing; give a table or JSON text"),
    ('name = "n"\ninput = 5\ndrop = true', "input: 5 is not an event; give a table or JSON text"),
    (
        'name = "n"\ninput = " "\ndrop = true',
        "input: is empty; give an event as a table or as JSON",
    ),
    (
        'name = "n"\ninput = {t = 2026-01-01}\ndrop = true',
        "input: holds 2026-01-01, which JSON has no form for; use text, numbers, booleans, lists",
    ),
    (
        'name = "n"\ninput = {}',
        "expects nothing; give expected, contains, absent, secrets, drop or",
    ),
    (
        'name = "n"\ninput = {}\ndrop = true\nexpected = {}',
        "expects more than one thing; give expected, or contains and absent, or drop, or rejected",
    ),
    (
        'name = "n"\ninput = {}\nexpected = "[1]"',
        "expected: is not a JSON object: Expected `object`",
    ),
    (
        'name = "n"\ninput = {}\nabsent = ["data..x"]',
        'absent[0]: "data..x" is not a path; write it like "data.users[0].email"',
    ),
    (
        'name = "n"\ninput = {}\nrejected = "duplicate_keys"',
        'rejected: "duplicate_keys" is no reason; did you mean "duplicate_key"? known are ',
    ),
    (
        'name = "n"\ninput = {}\ndrop = true\nby = "levl"',
        'by: "levl" is no stage; did you mean "level"? known are level, first_occurrence, ',
    ),
    (
        'name = "n"\ninput = {}\nby = "level"\nsecrets = ["x"]',
        "gives by without drop = true or rej",
    ),
    ('name = "n"\ninput = {}\ndorp = true', 'dorp: is not a known key; did you mean "drop"?'),
]


@pytest.mark.parametrize(("text", "words"), MISTAKES, ids=[words[:20] for _, words in MISTAKES])
def test_mistakes(file: Path, text: str, words: str) -> None:
    """One line with the place, as for every other table; `serve` refuses them too."""
    file.write_text(f"{PIPELINE}[[tests]]\n{text}")
    with pytest.raises(ConfigurationError) as refused:
        load(file, {})
    line = str(refused.value)
    separator = (
        ": " if words[:5] in {"expec", "gives"} and not words.startswith("expected:") else "."
    )
    assert line.startswith(f"{file}: tests[0]{separator}{words}")
    assert "\n" not in line


def test_serve_does_not_run_them(file: Path, tmp_path: Path) -> None:
    """A server starts, or does not, for other reasons."""
    file.write_text(f'{PIPELINE}[[tests]]\nname = "n"\ninput = {{}}\ndrop = true\n')
    (tmp_path / "data").write_text("a file, so that it does not start")
    done = run_command("serve", "--config", file, "--data-dir", tmp_path / "data")
    assert done.returncode == ExitStatus.BOOT


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data", ("data",)),
        ("data.users[0].e-mail", ("data", "users", 0, "e-mail")),
        ('data["a.b"][12]', ("data", "a.b", 12)),
        ('[""].x', ("", "x")),
        ("a[*]", ("a", paths.ANY_POSITION)),
    ],
)
def test_how_a_path_is_written(text: str, path: paths.Path) -> None:
    """The same way by `--explain` and in `absent`."""
    assert paths.parse(text) == path
    assert paths.written(path) == text


@pytest.mark.parametrize(
    "text", ["", ".a", "a.", "a..b", "a b", "a[x]", "a[", 'a["x]', "a[0]b", " "]
)
def test_what_is_no_path(text: str) -> None:
    """Is refused."""
    with pytest.raises(ValueError, match="is not a path"):
        paths.parse(text)


@given(st.lists(st.text() | st.integers(min_value=0), min_size=1).map(tuple))
def test_every_path_can_be_written(path: paths.Path) -> None:
    """And read again."""
    assert paths.parse(paths.written(path)) == path
