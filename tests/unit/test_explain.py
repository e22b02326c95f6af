"""`ingest check --explain`: what each stage does to an event, which is what the server does."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from msgspec import UNSET, Raw

from ingest import _native
from ingest.config import load
from ingest.contract import PipelineSpec
from ingest.errors import ExitStatus
from ingest.explain import report
from ingest.explain.pipeline import ExplainedPipeline
from ingest.explain.report import Explanation, Request
from ingest.pipeline.segments import full_match, native_json, segments
from tests.explained import explained, stage
from tests.harness import PATIENCE_SECONDS, run_command

REFERENCE = """
[pipeline]
filters = ["level"]
enrichers = ["origin"]
redactors = ["field_mask", "regex_mask", "url_credentials"]
[pipeline.config.field_mask]
fields_to_mask = ["data.password"]
[pipeline.config.regex_mask]
patterns = ['(?i).*api.?key.*', '(?!x)data\\.token']
"""


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("INGEST_") or name == "NO_COLOR":
            monkeypatch.delenv(name)


def spec(file: Path, text: str) -> PipelineSpec:
    """Load a configuration; return its pipeline."""
    file.write_text(text)
    return load(file, {}).pipeline.spec()


async def explain(pipeline: PipelineSpec, *lines: bytes) -> list[Explanation]:
    """Send lines through one pipeline, in this process."""
    explained = ExplainedPipeline(Request(pipeline, 65536, 64, 1024, ()))
    await explained.start()
    try:
        return [await explained.explain(line) for line in lines]
    finally:
        await explained.stop()


def fused(pipeline: PipelineSpec) -> list[tuple[str, str]]:
    """Return what becomes of the lines in the one segment that the server runs."""
    (segment,) = segments(pipeline)
    server = _native.Segment(
        native_json(segment), depth=64, keys=1024, full_match=full_match(pipeline)
    )
    ran = server.run(LINES, received_ns=report.RECEIVED_NS, peer=report.PEER)
    return [(outcome, text.decode()) for outcome, text in ran]


LINES = [
    b'{"level":"INFO","message":"a","data":{"password":"p","api-key":[1,{"x":2}],"u":"https://a:b@h/"}}',
    b'{"level":"DEBUG","data":{"password":"p"}}',
    b'{"schema_version":"1.1","log":{"data":[1],"context":null,"diagnostics":{"ingest":1}}}',
    b'{"data":{"_fapilog_unsafe":true,"pass\\u0077ord":"p","token":"t"},"rate_limited":0,"n":1e3}',
    b'{"schema_version":1,"log":{"data":{"password":1}},"context":"c"}',
    b'{"data":"' + b"x" * 500 + b'","message":"long"}',
    b'{"a":1,"a":2}',
    b"no event",
]
EVERY_KIND = """
[pipeline]
filters = ["level", "rate_limit", "first_occurrence"]
enrichers = ["origin"]
redactors = ["field_mask", "url_credentials"]
processors = ["size_guard"]
[pipeline.config.field_mask]
fields_to_mask = ["data.password", "diagnostics.ingest.peer"]
[pipeline.config.rate_limit]
capacity = 1
refill_rate_per_sec = 0
overflow_action = "mark"
[pipeline.config.first_occurrence]
key_fields = ["data"]
[pipeline.config.size_guard]
max_bytes = 200
"""
# A group that is masked as a whole is no longer one, so it must not be decoded once more.
WHOLE_GROUPS = """
[pipeline]
redactors = ["field_mask", "url_credentials"]
[pipeline.config.field_mask]
fields_to_mask = ["data", "diagnostics", "schema_version"]
"""


@pytest.mark.parametrize("output", ["bare", "envelope"])
@pytest.mark.parametrize("text", [REFERENCE, EVERY_KIND, WHOLE_GROUPS])
async def test_the_last_text_is_that_of_the_server(
    file: Path, text: str, output: Literal["bare", "envelope"]
) -> None:
    """Byte for byte, though the stages ran one by one; and each filter saw each event once."""
    pipeline = msgspec.structs.replace(spec(file, text), output=output)
    found = await explain(pipeline, *LINES)
    ends = [(at.result.outcome, at.result.reason, at.result.text) for at in found]
    for (end, reason, stored), (outcome, kept) in zip(ends, fused(pipeline), strict=True):
        if outcome == "kept":
            assert (end, stored) == ("stored", kept)
        elif outcome == "filtered":
            assert (end, stored) == ("filtered", None)
        else:
            assert (end, reason) == ("dead_letter", outcome)


async def test_each_stage_says_what_it_changed(file: Path) -> None:
    """And nothing else."""
    (explanation,) = await explain(spec(file, REFERENCE), LINES[0])
    changes = {
        at.name: [(change.path, change.before, change.after) for change in at.changes]
        for at in explanation.stages
    }
    added = changes.pop("origin")
    assert [(path, before) for path, before, _ in added] == [("diagnostics", UNSET)]
    assert changes == {
        "level": [],
        "field_mask": [("data.password", Raw(b'"p"'), Raw(b'"***"'))],
        "regex_mask": [("data.api-key", Raw(b'[1,{"x":2}]'), Raw(b'"***"'))],
        "url_credentials": [("data.u", Raw(b'"https://a:b@h/"'), Raw(b'"https://h/"'))],
    }


async def test_what_made_the_event_canonical(file: Path) -> None:
    """Envelopes, groups that were no objects, and control fields."""
    found = await explain(spec(file, REFERENCE), LINES[2], LINES[3])
    assert found[0].decode.unwrapped
    assert [change.path for change in found[0].decode.edits] == ["data", "context"]
    assert [change.path for change in found[1].decode.edits] == ["data._fapilog_unsafe"]


async def test_a_line_that_is_too_long(file: Path) -> None:
    """Its beginning is a dead letter, without what redactors would have masked."""
    pipeline = ExplainedPipeline(Request(spec(file, REFERENCE), 40, 64, 1024, ()))
    found = await pipeline.explain(b'{"data":{"password":"hunter2"},"message":"' + b"x" * 99)
    letter = json.loads(found.result.text or "")
    assert (letter["reason"], letter["length"], letter["truncated"]) == ("line_too_long", 141, True)
    assert letter["raw"].startswith('{"data":{"password":"***"}')
    assert "hunter2" not in (found.result.text or "")


async def test_the_reference_executor_says_the_same(file: Path) -> None:
    """Of every stage, with fapilog's own classes; in the envelope also byte for byte."""
    text = REFERENCE.replace("[pipeline]", '[pipeline]\noutput = "envelope"', 1)
    native = await explain(spec(file, text), *LINES)
    text = text.replace("[pipeline]", '[pipeline]\nexecutor = "python"', 1)
    for one, other in zip(native, await explain(spec(file, text), *LINES), strict=True):
        assert one.result == other.result
        assert [(at.outcome, at.changes) for at in one.stages] == [
            (at.outcome, at.changes) for at in other.stages
        ]


class TestCommand:
    """What the command reads and prints."""

    def test_people_see_what_changed_and_the_end(self, file: Path, tmp_path: Path) -> None:
        """From a file; a terminal alone is given colours."""
        events = tmp_path / "events.json"
        events.write_bytes(b"\n".join([LINES[0], b"", LINES[1]]))
        file.write_text(REFERENCE)
        shown = run_command("check", "--config", file, "--explain", events).stdout.decode()
        assert '\n    ~ data.password: "p" -> "***"\n' in shown
        assert "\n    + diagnostics: {" in shown
        assert shown.endswith("  filter     level  filtered\n  filtered by level\n")
        assert "\x1b" not in shown

    @pytest.mark.parametrize("colours", [True, False])
    def test_colours(
        self, file: Path, tmp_path: Path, colours: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a terminal, unless NO_COLOR is set."""
        (tmp_path / "event.json").write_bytes(LINES[0])
        file.write_text(REFERENCE)
        monkeypatch.setenv("TERM", "xterm")
        if not colours:
            monkeypatch.setenv("NO_COLOR", "1")
        arguments = ("--config", str(file), "--explain", str(tmp_path / "event.json"))
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            running = subprocess.Popen(
                [sys.executable, "-m", "ingest", "check", *arguments],
                stdout=theirs,
            )
            os.close(theirs)
            shown = b""
            with contextlib.suppress(OSError):  # the end of a terminal
                while part := terminal.read(65536):
                    shown += part
            assert running.wait(PATIENCE_SECONDS) == ExitStatus.CLEAN
        assert (b"\x1b[33m" in shown) == colours

    def test_one_event_over_several_lines(self, file: Path) -> None:
        """As an editor writes it."""
        event = json.dumps(json.loads(LINES[0]), indent=2)
        (found,) = explained(file, REFERENCE, event.encode())
        assert found["result"]["outcome"] == "stored"

    def test_the_document_has_the_promised_keys(self, file: Path) -> None:
        """docs/pipeline.md describes them."""
        stored, _, rejected = explained(file, REFERENCE, LINES[0], LINES[1], LINES[6])
        assert list(stored) == ["input", "decode", "stages", "result"]
        assert rejected["decode"] == {
            "accepted": False,
            "reason": "duplicate_key",
            "unwrapped": False,
            "edits": [],
        }
        assert {at["outcome"] for at in rejected["stages"]} == {"not_reached"}
        assert stage(stored, "field_mask") == {
            "name": "field_mask",
            "kind": "redactor",
            "native": True,
            "outcome": "changed",
            "changes": [{"path": "data.password", "before": "p", "after": "***"}],
            "failure": None,
            "policy": None,
        }

    @pytest.mark.parametrize(
        ("arguments", "status", "words"),
        [
            (
                ("--explain", "/nowhere"),
                ExitStatus.UNEXPECTED,
                b"/nowhere: cannot be read: No such",
            ),
            (("--explain", "-"), ExitStatus.UNEXPECTED, b"-: holds no event; write one as a JSON"),
            (("--json",), ExitStatus.USAGE, b"--json prints what --explain shows"),
        ],
    )
    def test_mistakes(self, arguments: tuple[str, ...], status: ExitStatus, words: bytes) -> None:
        """Say what is wrong."""
        done = run_command("check", *arguments)
        assert done.returncode == status
        assert words in done.stderr
