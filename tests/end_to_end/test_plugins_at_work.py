"""Plugins between native stages: nothing is lost, doubled or put in another order."""

from __future__ import annotations

import itertools
import json
import socket
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import ExitStatus
from tests import stored
from tests.end_to_end.load import Load, numbered_lines, numbers_by_connection
from tests.end_to_end.mischief import Gate
from tests.end_to_end.plugin_servers import PATIENT, all_kinds, line, plugin_server, stage, table
from tests.harness import PATIENCE_SECONDS, Server, wait_until

CONNECTIONS = 8
EVENTS_PER_CONNECTION = 2_000
BLOCKED_SECONDS = 0.5
"""A sender of whom the kernel has taken nothing for so long is held back."""
KERNEL_BYTES = 16 * 1024 * 1024
"""More than the kernel buffers of one connection, at both of its ends."""


def suspending_lines(connection: int) -> list[bytes]:
    """Return numbered events, at many of which a plugin of one kind or another suspends."""
    kinds = itertools.cycle(("filter", "nobody", "enricher", "nobody", "redactor", "processor"))
    return [
        event[:-1] + b',"data":{"at":"%b","do":"suspend"}}' % kind.encode()
        for event, kind in zip(
            numbered_lines(connection, 0, EVENTS_PER_CONNECTION), kinds, strict=False
        )
    ]


def test_plugins_that_suspend_mix_up_no_connections(tmp_path: Path) -> None:
    """Many connections at once, in small writes: every event once, each connection in order."""

    def send(connection: int) -> None:
        with server.connect() as opened:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            lines = suspending_lines(connection)
            for first in range(0, len(lines), 10):
                opened.sendall(b"\n".join([*lines[first : first + 10], b""]))

    policy = {"fail": "closed", "budget": "10s"}
    with plugin_server(tmp_path / "data", all_kinds(policy), workers=2) as server:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(send, range(CONNECTIONS)))
        ledger = server.settle(CONNECTIONS * EVENTS_PER_CONNECTION)
        assert ledger.journaled == ledger.received
        # A connection may have been with both workers, one after the other.
        of_shards = [numbers_by_connection(lines) for lines in stored.shards(server.data_dir)]
        for numbers in (of for shard in of_shards for of in shard.values()):
            assert numbers == sorted(numbers)
        wanted = list(range(EVENTS_PER_CONNECTION))
        for connection in range(CONNECTIONS):
            parts = (shard.get(connection, []) for shard in of_shards)
            assert sorted(chain.from_iterable(parts)) == wanted
        assert stage(server, "mischief:Enricher").events == ledger.received
        assert all(b'"seen":"pfer"' in event for event in stored.events(server.data_dir))


def test_a_drain_under_load_stores_what_was_received(tmp_path: Path) -> None:
    """Senders that do not stop, some of their lines no events, plugins of every kind."""
    policy = {"fail": "closed", "budget": "10s"}
    with plugin_server(tmp_path / "data", all_kinds(policy), workers=2) as server:
        with Load(server) as load:
            wait_until(lambda: server.status().ledger.journaled >= 2_000)
            assert server.stop() == ExitStatus.CLEAN
        ledger = server.status().ledger
        assert ledger.received == ledger.journaled + ledger.dead_lettered
        assert (ledger.in_flight, ledger.closed) == (0, True)
        found = numbers_by_connection(stored.events(server.data_dir))
        assert sum(map(len, found.values())) == ledger.journaled
        for connection, numbers in found.items():
            sent = [at for at in range(load.handed_over[connection]) if at % 10]
            assert numbers == sent[: len(numbers)]


def test_a_plugin_that_is_busy_holds_senders_back(tmp_path: Path) -> None:
    """The worker takes no more than it can hold; once the plugin goes on, all is stored."""
    gate = Gate(str(tmp_path / "gate"))
    policy = {"fail": "closed", "budget": PATIENT}
    with ExitStack() as stack:
        server = stack.enter_context(plugin_server(tmp_path / "data", all_kinds(policy)))
        connection = stack.enter_context(server.connect())
        connection.sendall(line(0, at="redactor", do="gate", gate=str(tmp_path / "gate")) + b"\n")
        wait_until(gate.is_entered)
        padding = b"x" * 1000
        sent = 0
        connection.settimeout(BLOCKED_SECONDS)
        rest = b""
        try:
            while sent < KERNEL_BYTES:
                rest = line(sent + 1)[:-1] + b',"padding":"%b"}\n' % padding
                while rest:
                    rest = rest[connection.send(rest) :]
                sent += 1
        except TimeoutError:
            pass
        assert rest, "the sender is held back"
        assert sent * len(padding) < KERNEL_BYTES
        assert server.status().ledger.received == 1, "nothing is read while a plugin is busy"
        gate.open()
        connection.settimeout(PATIENCE_SECONDS)
        connection.sendall(rest)
        ledger = server.settle(sent + 2)
        assert ledger.journaled == ledger.received
        found = numbers_by_connection(stored.events(server.data_dir))
        assert found == {0: list(range(sent + 2))}


def test_a_worker_shows_life_while_a_plugin_takes_its_time(tmp_path: Path) -> None:
    """A batch may take many times as long as a worker may stand still."""
    dawdling = [line(at, at="enricher", do="dawdle") for at in range(200)]
    impatient = {"INGEST_SUPERVISION__HEARTBEAT_TIMEOUT": "2s"}
    with plugin_server(tmp_path / "data", all_kinds({"budget": "500ms"}), impatient) as server:
        ledger = server.deliver(b"\n".join(dawdling), len(dawdling))
        assert ledger.journaled == ledger.received
        assert stage(server, "mischief:Enricher").seconds > 2, "the patience for a heartbeat"
        assert "no heartbeat" not in server.log()


def test_datagrams_pass_plugins(tmp_path: Path) -> None:
    """Each is an event of its own sender."""
    pipeline = table(enrichers=["origin", "mischief:Enricher"], policy={"fail": "closed"})
    with ExitStack() as stack:
        server = stack.enter_context(plugin_server(tmp_path / "data", pipeline))
        senders = {}
        for number in range(100):  # open all the time, so that no two have the same port
            sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sender.connect(server.address("udp"))
            sender.send(line(number, at="enricher", do="suspend"))
            senders[number] = "{}:{}".format(*sender.getsockname())
        server.settle(100)
        found = [json.loads(event) for event in stored.events(server.data_dir)]
        ingest = {event["number"]: event["diagnostics"]["ingest"] for event in found}
        assert {number: origin["peer"] for number, origin in ingest.items()} == senders
        assert {origin["listener"] for origin in ingest.values()} == {"udp-0"}
        assert [event["data"]["seen"] for event in found] == ["e"] * 100


def test_native_stages_and_plugins_take_turns(tmp_path: Path) -> None:
    """Two runs of plugins with native stages before, between and behind them."""
    pipeline = table(
        filters=["level", "mischief:Filter", "first_occurrence"],
        enrichers=["origin"],
        redactors=["field_mask", "mischief:Redactor", "url_credentials"],
        policy={"fail": "closed"},
        config={
            "level": {"min_level": "WARNING"},
            "first_occurrence": {"key_fields": ["number"]},
            "field_mask": {"fields_to_mask": ["data.token"]},
        },
    )
    sent = [
        {"number": 0, "level": "INFO"},
        {"number": 1, "level": "ERROR", "data": {"do": "drop"}},
        {"number": 2, "level": "ERROR", "data": {"token": "t", "secret": "s", "url": "http://u:p@h/"}},
        {"number": 2, "level": "ERROR", "data": {"again": True}},
        {"number": 3, "level": "ERROR", "data": {"at": "redactor", "do": "raise"}},
        {"number": 4, "level": "ERROR"},
    ]  # fmt: skip
    with plugin_server(tmp_path / "data", pipeline) as server:
        payload = b"\n".join([*(json.dumps(event).encode() for event in sent), b"no event", b""])
        ledger = server.deliver(payload, 7)
        assert (ledger.journaled, ledger.filtered, ledger.dead_lettered) == (2, 3, 1)
        assert ledger.dropped["stage_error"] == 1
        found = [json.loads(event) for event in stored.events(server.data_dir)]
        assert [event["data"] for event in found] == [
            {"token": "***", "secret": "***", "url": "http://h/", "seen": "fr"},
            {"seen": "fr"},
        ]
        assert all(event["diagnostics"]["ingest"]["listener"] == "tcp-0" for event in found)
        filtered = {found.name: found.filtered for found in server.status().stages}
        assert filtered == {
            **dict.fromkeys(("field_mask", "mischief:Redactor", "url_credentials", "origin"), 0),
            **dict.fromkeys(("level", "mischief:Filter", "first_occurrence"), 1),
        }
        changed = {found.name: found.changed for found in server.status().stages}
        assert (changed["field_mask"], changed["url_credentials"]) == (1, 1)


@pytest.mark.parametrize("more", [{}, {"redactors": ["url_credentials"], "enrichers": ["origin"]}])
def test_what_a_processor_returns_is_what_is_stored(more: dict[str, Any], tmp_path: Path) -> None:
    """An envelope that was processed is neither taken off nor put on again."""
    pipeline = table(processors=["mischief:Processor"], output="envelope", **more)
    whole = {
        "timestamp": "2026-01-01T00:00:00.000Z",
        "level": "INFO",
        "message": "m",
        "data": {"seen": "", "url": "http://u:p@h/"},
    }
    with plugin_server(tmp_path / "data", pipeline) as server:
        bare = json.dumps(whole).encode()
        enveloped = json.dumps({"schema_version": "1.1", "log": whole}).encode()
        server.deliver(bare + b"\n" + enveloped + b"\n", 2)
        for event in map(json.loads, stored.events(server.data_dir)):
            assert list(event) == ["log", "schema_version"]
            assert event["log"]["data"]["seen"] == "p"
            assert event["log"]["data"]["url"] == ("http://h/" if more else "http://u:p@h/")
            assert ("ingest" in event["log"]["diagnostics"]) is bool(more)


def test_both_executors_store_the_same(tmp_path: Path) -> None:
    """`executor = "python"` has every stage done by fapilog's own classes."""
    stages = {
        "filters": ["level", "mischief:Filter"],
        "enrichers": ["origin", "mischief:Enricher"],
        "redactors": ["field_mask", "regex_mask", "url_credentials", "mischief:Redactor"],
        "processors": ["zero_copy", "mischief:Processor"],
        "config": {
            "field_mask": {"fields_to_mask": ["data.users[*].email"]},
            "regex_mask": {"patterns": ["(?i).*token.*"]},
        },
    }
    events: list[dict[str, object]] = [
        {"level": "DEBUG", "message": "too little"},
        {"level": "INFO", "message": "masked", "data": {"users": [{"email": "a"}, {"x": 1}]}},
        {"level": "INFO", "message": "token", "data": {"a": {"accessToken": [1, {"b": 2}]}}},
        {"level": "INFO", "message": "url", "data": {"to": ["redis://:pw@h:6379/0"]}},
        {"level": "ERROR", "message": "plain"},
    ]
    for number, event in enumerate(events):
        event["timestamp"] = f"2026-01-01T00:00:00.00{number}Z"
    payload = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    results = []
    for executor in ("auto", "python"):
        pipeline = table(**stages, executor=executor, output="envelope")  # type: ignore[arg-type]
        with plugin_server(tmp_path / executor, pipeline) as server:
            ledger = server.deliver(payload, len(events))
            results.append((ledger, [stable(event) for event in stored.events(server.data_dir)]))
    assert results[0] == results[1]
    assert results[0][0].filtered == 1
    assert len(results[0][1]) == len(events) - 1


def stable(line: bytes) -> dict[str, Any]:
    """Return an event without when it was received, and from which port."""
    event: dict[str, Any] = json.loads(line)
    ingest = event["log"].get("diagnostics", {}).get("ingest", {})
    for member in ("received_at", "peer"):
        ingest.pop(member, None)
    return event


def test_events_of_a_plugin_show_in_the_metrics(tmp_path: Path) -> None:
    """Seconds, events, errors and timeouts for each plugin, over the life of the server."""
    with plugin_server(tmp_path / "data", all_kinds({"budget": "300ms"})) as server:
        server.deliver(
            b"\n".join(
                [
                    *(line(at) for at in range(50)),
                    line(50, at="enricher", do="raise"),
                    line(51, at="enricher", do="wait"),
                ]
            ),
            52,
        )
        samples = scrape(server)
        labels = '{stage="mischief:Enricher",worker="0"}'
        assert samples[f"ingest_stage_events_total{labels}"] == 52
        assert samples[f"ingest_stage_errors_total{labels}"] == 1
        assert samples[f"ingest_stage_timeouts_total{labels}"] == 1
        assert samples[f"ingest_stage_skipped_total{labels}"] == 0
        assert samples[f"ingest_stage_breaker_open{labels}"] == 0
        assert samples[f"ingest_stage_seconds_total{labels}"] > 0.1


def scrape(server: Server) -> dict[str, float]:
    """Return the samples of `/metrics` by their names and labels, as they are written."""
    with urllib.request.urlopen(f"http://{server.running().admin}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    split = (text.rsplit(" ", 1) for text in lines if not text.startswith("#"))
    return {name: float(value) for name, value in split}
