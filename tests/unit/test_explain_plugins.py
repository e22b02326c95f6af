"""Stages in Python, explained by the program as a worker would run them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from ingest.errors import ExitStatus
from ingest.explain.report import LISTENER, PEER
from tests import stored
from tests.explained import explained, stage
from tests.harness import Server, run_command

pytestmark = pytest.mark.usefixtures("plain_environment")

PLUGINS = '''
class Counter:
    """Remembers how many events it has seen."""
    name = "counter"

    def __init__(self):
        self.seen = 0
    async def enrich(self, event):
        self.seen += 1
        return {"data": {"seen": self.seen, "tagged": "tag" in event.get("data", {})}}

class Tagger:
    name = "tagger"

    async def enrich(self, event):
        return {"data": {"tag": "t"}}

class Broken:
    name = "broken"

    def __init__(self, when="broken"):
        self.when = when
    async def redact(self, event):
        if event.get("message") == self.when:
            raise RuntimeError("the event says " + str(event))
        return {**event, "data": {**event.get("data", {}), "secret": "gone"}}
    async def filter(self, event):
        return None if event.get("message") == self.when else event
    enrich = process = redact

class Dies:
    name = "dies"

    async def enrich(self, event):
        import os
        os._exit(3)

class NoStart:
    name = "nostart"

    async def start(self):
        raise RuntimeError
    async def redact(self, event):
        return event
    enrich = redact
'''
BROKEN = b'{"message":"broken","data":{"password":"p"}}'


@pytest.fixture(autouse=True)
def _plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the plugins of this module found."""
    (tmp_path / "explained_plugins.py").write_text(PLUGINS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_enrichers_see_the_same_event_and_each_says_what_it_added(file: Path) -> None:
    """And remember the events before."""
    text = 'enrichers = ["explained_plugins:Tagger", "explained_plugins:Counter", "origin"]'
    found = explained(file, f"[pipeline]\n{text}", b'{"message":"a"}', b'{"message":"b"}')
    for number, explanation in enumerate(found, 1):
        assert stage(explanation, "explained_plugins:Tagger")["changes"] == [
            {"path": "data", "after": {"tag": "t"}}
        ]
        counter = stage(explanation, "explained_plugins:Counter")
        assert counter["changes"] == [
            {"path": "data.seen", "after": number},
            {"path": "data.tagged", "after": False},
        ]
        assert (counter["native"], counter["outcome"]) == (False, "changed")
        event = json.loads(explanation["result"]["text"])
        assert event["data"] == {"tag": "t", "seen": number, "tagged": False}


@pytest.mark.parametrize(
    ("kind", "fail", "result"),
    [
        ("filters", None, ("filtered", "explained_plugins:Broken", None)),
        ("enrichers", "closed", ("dropped", "explained_plugins:Broken", "stage_error")),
        ("redactors", None, ("dropped", "explained_plugins:Broken", "stage_error")),
        (
            "redactors",
            "dead_letter",
            ("dead_letter", "explained_plugins:Broken", "stage_failed"),
        ),
        ("redactors", "open", ("stored", None, None)),
    ],
)
def test_a_plugin_that_fails(
    file: Path,
    kind: str,
    fail: str | None,
    result: tuple[str, str | None, str | None],
) -> None:
    """Its policy decides; how it failed is said without a word of the event."""
    policy = f'[pipeline.policy."explained_plugins:Broken"]\nfail = "{fail}"' if fail else ""
    name = "explained_plugins:Broken"
    others = "" if kind == "redactors" else "redactors = []\n"
    (found,) = explained(file, f'[pipeline]\n{kind} = ["{name}"]\n{others}{policy}', BROKEN)
    told = stage(found, name)
    if kind == "filters":
        assert told["outcome"] == "filtered"
    else:
        assert told["outcome"] == "failed"
        assert told["failure"].startswith("RuntimeError raised at ")
        assert "the event says" not in json.dumps(found["stages"])
    end = found["result"]
    assert (end["outcome"], end["stage"], end["reason"]) == result


def test_a_processor_in_python_sees_the_envelope(file: Path) -> None:
    """Which is a step of its own, before the processors."""
    text = 'output = "envelope"\nprocessors = ["explained_plugins:Broken"]'
    (found,) = explained(file, f"[pipeline]\n{text}", b'{"message":"a"}')
    assert [at["name"] for at in found["stages"]][-2:] == [
        "envelope",
        "explained_plugins:Broken",
    ]
    # It returns no line, so it fails, and what it got is stored.
    assert stage(found, "explained_plugins:Broken")["outcome"] == "failed"
    assert json.loads(found["result"]["text"])["schema_version"] == "1.1"


def test_one_that_did_not_start(file: Path) -> None:
    """Is left out where its policy is open; otherwise the server would not start."""
    name = "explained_plugins:NoStart"
    (found,) = explained(file, f'[pipeline]\nenrichers = ["{name}"]', b'{"message":"a"}')
    assert stage(found, name)["outcome"] == "skipped"
    file.write_text(f'[pipeline]\nredactors = ["{name}"]')
    done = run_command("check", "--config", file, "--explain", "-", stdin=b"{}")
    assert done.returncode == ExitStatus.BOOT
    assert b"ingest: a plugin did not start, " in done.stderr


def test_one_that_ends_the_process(file: Path) -> None:
    """It ends that of the plugins, not the command."""
    file.write_text('[pipeline]\nenrichers = ["explained_plugins:Dies"]')
    done = run_command("check", "--config", file, "--explain", "-", stdin=b"{}")
    assert done.returncode == ExitStatus.UNEXPECTED
    assert done.stderr.endswith(
        b"ingest: the process that ran the pipeline ended with exit status 3\n"
    )


SERVED = """
[pipeline]
filters = ["level"]
enrichers = ["explained_plugins:Counter"]
redactors = ["field_mask", "explained_plugins:Broken"]
[pipeline.config.field_mask]
fields_to_mask = ["data.password"]
[pipeline.policy."explained_plugins:Broken"]
fail = "dead_letter"
"""


def test_a_server_stores_the_same(file: Path, tmp_path: Path) -> None:
    """Bytes, dead letters and all."""
    lines = [
        BROKEN,
        b'{"message":"a", "data":{"password":"p"}}',
        b'{"level":"DEBUG"}',
        b'{"a":1,"a":2}',
    ]
    results = [found["result"] for found in explained(file, SERVED, *lines)]
    arguments = ("--config", str(file), "--tcp", "127.0.0.1:0")
    with Server(tmp_path / "data", workers=1, pipeline=None, arguments=arguments) as server:
        server.deliver(b"\n".join([*lines, b""]), events=4)
        assert server.stop() == ExitStatus.CLEAN
    texts = [at["text"].encode() for at in results if at["outcome"] == "stored"]
    assert stored.events(server.data_dir) == texts
    letters = stored.parse_dead_letters(
        at["text"].encode() for at in results if at["outcome"] == "dead_letter"
    )
    # Where it came from and when is always the same in an explanation.
    kept = [
        msgspec.structs.replace(
            at, received_at=letters[0].received_at, listener=LISTENER, peer=PEER
        )
        for at in stored.dead_letters(server.data_dir)
    ]
    # One that has been to Python comes later than one that has not.
    assert sorted(kept, key=str) == sorted(letters, key=str)
