"""A plugin package that was written for fapilog works there and here, and does the same."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fapilog import Settings, get_logger
from fapilog.core.serialization import SerializedView
from fapilog.core.worker import LoggerWorker
from fapilog.plugins import load_plugin
from fapilog.testing import MockSink

from ingest.errors import ExitStatus
from ingest.pipeline.catalogue import GROUPS
from tests import stored
from tests.harness import Server, run_command

TEAMS = {"teams": {"shop": "storefront", "shop.cart": "checkout"}}
STAGES: dict[str, list[str]] = {
    "filters": ["health_checks"],
    "enrichers": ["owner"],
    "redactors": ["email_mask"],
    "processors": ["checksum"],
}
EVENTS = [
    {"logger": "shop.cart.api", "message": "added", "data": {"items": [1, 2]}},
    {"logger": "shop.search", "message": "from ann@example.org", "data": {"cc": ["b.c@x.io, d@y"]}},
    {"logger": "root", "message": "nobody's", "data": {"owner": "of the sender", "left": "alone"}},
    {"logger": "shop", "message": "GET", "data": {"path": "/healthz", "status": 200}},
    {"logger": "shop", "message": "GET", "data": {"path": "/healthz", "status": 503}},
    {"logger": "shop", "message": "žluťoučký kůň 🐎", "data": {"nested": {"to": "a@b.cz"}}},
]  # fmt: skip
WHOLE = [
    {
        "timestamp": f"2026-01-01T00:00:00.00{number}Z",
        "level": "INFO",
        "context": {"message_id": f"{number}", "correlation_id": None},
        "diagnostics": {"origin": "native"},
        **event,
    }
    for number, event in enumerate(EVENTS)
]
"""Events that fapilog accepts as they are."""


def pipeline(**more: object) -> str:
    """Return `[pipeline]` with the plugins of the package, configured as in fapilog."""
    return json.dumps({**STAGES, "config": {"owner": TEAMS}, **more})


def lines(events: list[dict[str, Any]]) -> list[bytes]:
    """Return events as a sender writes them."""
    return [json.dumps(event, ensure_ascii=False).encode() for event in events]


async def run_in_fapilog(events: list[dict[str, Any]]) -> list[bytes]:
    """Return what fapilog's own worker gives a sink, with plugins that its own loader found."""
    plugins: dict[str, list[Any]] = {}
    for kind, group in GROUPS.items():
        (name,) = STAGES[f"{kind}s"]
        plugins[kind] = [load_plugin(group, name, TEAMS if name == "owner" else {})]
    for (plugin,) in plugins.values():
        if hasattr(plugin, "start"):
            await plugin.start()
    written: list[bytes] = []

    async def write(_event: dict[str, Any]) -> None:
        pytest.fail("fapilog could not serialize an event")

    async def write_serialized(view: object) -> None:
        assert isinstance(view, SerializedView)
        written.append(bytes(view.data))

    worker = LoggerWorker(
        queue=None,  # type: ignore[arg-type]
        batch_max_size=len(events),
        batch_timeout_seconds=1.0,
        sink_write=write,
        sink_write_serialized=write_serialized,
        filters_getter=lambda: plugins["filter"],
        enrichers_getter=lambda: plugins["enricher"],
        redactors_getter=lambda: plugins["redactor"],
        processors_getter=lambda: plugins["processor"],
        metrics=None,
        serialize_in_flush=True,
        strict_envelope_mode_provider=lambda: True,
        stop_flag=lambda: False,
        drained_event=None,
        flush_event=None,
        flush_done_event=None,
        emit_enricher_diagnostics=True,
        emit_redactor_diagnostics=True,
        emit_processor_diagnostics=True,
        counters={"processed": 0, "dropped": 0},
    )
    await worker.flush_batch(events)
    for (plugin,) in plugins.values():
        if hasattr(plugin, "stop"):
            await plugin.stop()
    return written


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data_dir = tmp_path_factory.mktemp("third-party") / "data"
    with Server(data_dir, pipeline=pipeline(output="envelope")) as running:
        yield running


def test_envelopes_are_those_of_fapilog_byte_for_byte(server: Server) -> None:
    """All four kinds of plugins on the same events: filter, enricher, redactor, processor."""
    expected = asyncio.run(run_in_fapilog([dict(event) for event in WHOLE]))
    journal = stored.Follower(server.data_dir, "journal")
    server.deliver(b"\n".join(lines(WHOLE)), len(WHOLE))
    found = journal.new()
    assert found == expected
    assert len(found) == len(WHOLE) - 1, "one of them is a health check"
    for line in found:
        before, _, member = line.rpartition(b',"crc32":')
        assert (
            json.loads(b"{" + b'"crc32":' + member)["crc32"] == f"{zlib.crc32(before + b'}'):08x}"
        )
        assert set(json.loads(line)) == {"schema_version", "log", "crc32"}, "it is wrapped once"


def test_every_plugin_has_a_line_in_the_status(server: Server) -> None:
    """In the order in which they run, whatever they have to do."""
    shown = run_command("status", "--json", "--data-dir", server.data_dir)
    names = [stage["name"] for stage in json.loads(shown.stdout)["stages"]]
    assert names == ["health_checks", "owner", "email_mask", "checksum"]


def test_an_application_and_the_server_do_the_same(tmp_path: Path) -> None:
    """What a real logger with the plugins emits is what the server makes of a plain logger's."""
    with_plugins, plain = MockSink(), MockSink()
    settings = Settings(
        core={
            "filters": STAGES["filters"],
            "enrichers": STAGES["enrichers"],
            "redactors": STAGES["redactors"],
        },
        enricher_config={"extra": {"owner": TEAMS}},
        plugins={"allow_external": True},
    )
    without = Settings(core={"filters": [], "enrichers": [], "redactors": []})
    for sink, of_logger in ((with_plugins, settings), (plain, without)):
        for event in EVENTS:
            logger = get_logger(str(event["logger"]), settings=of_logger, sinks=[sink], reuse=False)
            logger.info(str(event["message"]), data=event["data"])
            asyncio.run(logger.stop_and_drain())
    assert len(with_plugins.events) == len(EVENTS) - 1

    with Server(tmp_path / "data", workers=1, pipeline=pipeline(processors=[])) as server:
        server.deliver(b"\n".join(lines(plain.events)), len(EVENTS))
        found = [json.loads(line) for line in stored.events(server.data_dir)]
        assert [comparable(event) for event in found] == [
            comparable(event) for event in with_plugins.events
        ]
        assert found[0]["data"]["owner"] == "checkout"
        assert found[1]["message"] == "from <e-mail>"


def comparable(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event without what no two calls of a logger have in common."""
    context = {**event["context"], "message_id": "of the call"}
    return {**event, "timestamp": "of the call", "context": context}


@pytest.mark.parametrize(
    ("settings", "place", "key"),
    [
        ("", "pipeline.enrichers[0]", "teams"),
        ('teams = {}\ncolour = "red"\n', "pipeline.config.owner.colour", "not a known key"),
    ],
    ids=["missing", "unknown"],
)
def test_settings_that_the_plugin_refuses_are_found_before_a_start(
    settings: str, place: str, key: str, tmp_path: Path
) -> None:
    """Its constructor is asked, and the answer stands beside the key."""
    file = tmp_path / "ingest.toml"
    file.write_text(f'[pipeline]\nenrichers = ["owner"]\n[pipeline.config.owner]\n{settings}')
    checked = run_command("check", "--config", file)
    assert checked.returncode == ExitStatus.CONFIGURATION
    assert f"{file}: {place}: " in checked.stderr.decode()
    assert key in checked.stderr.decode()


def test_the_installed_plugins_are_listed_with_their_metadata() -> None:
    """`ingest plugins` knows version and schema from PLUGIN_METADATA, and who needs settings."""
    listed = {one["name"]: one for one in json.loads(run_command("plugins", "--json").stdout)}
    for kind in ("filter", "enricher", "redactor", "processor"):
        (name,) = STAGES[f"{kind}s"]
        assert (listed[name]["kind"], listed[name]["runs"]) == (kind, "python")
        if kind == "enricher":
            assert (listed[name]["health"], "teams" in listed[name]["reason"]) == ("unusable", True)
        else:
            assert listed[name]["version"] == "2.1.0"
    assert listed["health_checks"]["config_schema"]["properties"]["paths"]["type"] == "array"
