"""However plugins fail, their policy says what becomes of the event, and nothing else happens."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from ingest.counters import LedgerStatus
from ingest.errors import ExitStatus
from tests import stored
from tests.end_to_end.plugin_servers import (
    ENVIRONMENT,
    KINDS,
    all_kinds,
    line,
    plugin_server,
    stage,
    table,
)
from tests.harness import Server, run_command, wait_until

ERRORS = ("raise", "exit", "interrupt", "junk", "unwritable")
TIMEOUTS = ("loop", "wait", "stubborn")
MISDEEDS = list(itertools.product(KINDS, (*ERRORS, *TIMEOUTS)))
LETTERS = {"filter": "f", "enricher": "e", "redactor": "r", "processor": "p"}
SECRET = "hunter2"  # noqa: S105


def events() -> list[bytes]:
    """Return an event for each misdeed, and a good one before and after each; all have a secret."""
    lines = [line(0, secret=SECRET)]
    for kind, misdeed in MISDEEDS:
        lines.append(line(len(lines), at=kind, do=misdeed, secret=SECRET))
        lines.append(line(len(lines), secret=SECRET))
    return lines


def run(tmp_path: Path, fail: str) -> tuple[Server, LedgerStatus]:
    """Send all events to a server with that policy; return it, and its ledger, when it is done."""
    policy = {"fail": fail, "budget": "400ms", "breaker_failures": 1000}
    with plugin_server(tmp_path / "data", all_kinds(policy)) as server:
        sent = events()
        ledger = server.deliver(b"\n".join(sent), len(sent))
        for name in KINDS.values():
            counts = stage(server, name)
            assert (counts.errors, counts.timeouts) == (len(ERRORS), len(TIMEOUTS))
            assert (counts.skipped, counts.breakers_open) == (0, 0)
            assert counts.events >= len(sent) - len(MISDEEDS)
            assert counts.seconds > 0
        assert server.stop() == ExitStatus.CLEAN
    assert "an exception that quotes" not in server.log(), "its text is that of an event"
    assert "ValueError raised at" in server.log()
    return server, ledger


def seen(server: Server) -> dict[int, str]:
    """Return by the number of each stored event which stages have done their work."""
    found = map(json.loads, stored.events(server.data_dir))
    return {event["number"]: event["data"]["seen"] for event in found}


def everything_written(server: Server) -> bytes:
    """Return all bytes that a server has left behind."""
    files = [file for file in server.data_dir.rglob("*") if file.is_file()]
    return b"".join(file.read_bytes() for file in [*files, server.log_file])


def test_open_lets_events_go_on_as_if_the_stage_were_not_there(tmp_path: Path) -> None:
    """Each is stored once, in order, with the work of all stages but the one that failed."""
    server, ledger = run(tmp_path, "open")
    assert ledger.journaled == ledger.received
    expected = {
        2 * at + 1: "pfer".replace(LETTERS[kind], "") for at, (kind, _) in enumerate(MISDEEDS)
    }
    expected |= {2 * at: "pfer" for at in range(len(MISDEEDS) + 1)}
    assert seen(server) == expected
    assert list(seen(server)) == sorted(expected)


def test_closed_drops_events_and_says_why(tmp_path: Path) -> None:
    """The others are stored; of the dropped ones no byte is anywhere."""
    server, ledger = run(tmp_path, "closed")
    assert ledger.dropped == {
        "stage_error": len(KINDS) * len(ERRORS),
        "stage_timeout": len(KINDS) * len(TIMEOUTS),
        "stage_breaker_open": 0,
        "denied": 0,
        "rate_limited": 0,
        "unacknowledged": 0,
    }
    assert seen(server) == {2 * at: "pfer" for at in range(len(MISDEEDS) + 1)}
    assert ledger.journaled == len(MISDEEDS) + 1
    assert SECRET.encode() not in everything_written(server)


def test_dead_letter_keeps_events_with_the_name_of_the_stage(tmp_path: Path) -> None:
    """Their structure at least: what a foreign redactor would have masked is not to be seen."""
    server, ledger = run(tmp_path, "dead_letter")
    letters = stored.dead_letters(server.data_dir)
    assert ledger.dead_lettered == len(letters) == len(MISDEEDS)
    assert {letter.reason for letter in letters} == {"stage_failed"}
    assert Counter(letter.stage for letter in letters) == dict.fromkeys(
        KINDS.values(), len(ERRORS) + len(TIMEOUTS)
    )
    assert seen(server) == {2 * at: "pfer" for at in range(len(MISDEEDS) + 1)}
    assert SECRET.encode() not in everything_written(server)
    for letter in letters:
        # The rules of foreign redactors are not known to the server, so it shows no value at all.
        data = json.loads(letter.line)["data"]
        assert {"at", "do", "secret"} <= set(data)
        assert set(data.values()) == {"***"}


def test_redactors_are_closed_and_others_open_without_a_policy(tmp_path: Path) -> None:
    """What could not be redacted is not stored; what could not be enriched is."""
    with plugin_server(tmp_path / "data", all_kinds()) as server:
        lines = [line(at, at=kind, do="raise") for at, kind in enumerate(KINDS)]
        ledger = server.deliver(b"\n".join(lines), len(KINDS))
        assert ledger.dropped["stage_error"] == 1
        assert seen(server) == {0: "per", 1: "pfr", 3: "fer"}


@pytest.mark.parametrize(
    ("fail", "place"), [("open", "journaled"), ("closed", "dropped"), ("dead_letter", "dead")]
)
def test_a_breaker_opens_and_closes_and_both_are_seen(
    fail: str, place: str, tmp_path: Path
) -> None:
    """After three failures in a row events pass the plugin by; a probe takes it back."""
    name = KINDS["enricher"]
    policy = {"fail": fail, "breaker_failures": 3, "breaker_pause": "1s"}
    pipeline = table(enrichers=[name], policy=policy)
    with plugin_server(tmp_path / "data", pipeline) as server:
        bad = [line(at, at="enricher", do="raise") for at in range(3)]
        passing = [line(at) for at in range(3, 10)]
        ledger = server.deliver(b"\n".join([*bad, *passing]), 10)
        counts = stage(server, name)
        assert (counts.errors, counts.skipped, counts.breakers_open) == (3, 7, 1)
        shown = json.loads(run_command("status", "--json", "--data-dir", server.data_dir).stdout)
        assert shown["stages"][0]["breakers_open"] == 1
        assert {
            "journaled": ledger.journaled,
            "dropped": ledger.dropped["stage_breaker_open"] + ledger.dropped["stage_error"],
            "dead": ledger.dead_lettered,
        } == {"journaled": 0, "dropped": 0, "dead": 0, place: 10}
        wait_until(lambda: "is left out" in server.log())

        def takes_back() -> bool:
            server.deliver(line(10) + b"\n", 1)
            return not stage(server, name).breakers_open

        wait_until(takes_back)
        assert "A plugin works again." in server.log()
        before = len(stored.events(server.data_dir))
        server.deliver(line(11) + b"\n", 1)
        assert json.loads(stored.events(server.data_dir)[before])["data"] == {"seen": "e"}


def test_what_plugins_leave_behind_ends_no_worker(tmp_path: Path) -> None:
    """Tasks and callbacks that fail or want to exit, threads that stay, a stop that fails."""
    pipeline = table(filters=["mischief:Careless"])
    with plugin_server(tmp_path / "data", pipeline) as server:
        for what in ("task", "callback", "exit", "interrupt", "nothing"):
            server.deliver(line(0, leave=what) + b"\n", 1)
        server.deliver(b"\n".join([line(1)] * 100), 100)
        wait_until(lambda: server.log().count("left to the event loop failed") == 3)
        assert server.stop() == ExitStatus.CLEAN
        assert server.status().ledger.journaled == 105
    assert "A plugin did not stop." in server.log()
    assert "an exception that quotes" not in server.log()


@pytest.mark.parametrize("name", ["mischief:Unstartable", "mischief:Leaving"])
def test_a_plugin_that_does_not_start_ends_the_start(name: str, tmp_path: Path) -> None:
    """In one line that names it, with the status of a failed start, unless it may be missing."""
    config = {"mischief:Unstartable": {"password": SECRET}} if "Unstartable" in name else {}
    pipeline = table(filters=[name], policy={"fail": "closed"}, config=config)
    server = Server(tmp_path / "data", workers=1, pipeline=pipeline, environment=ENVIRONMENT)
    assert server.launch().wait() == ExitStatus.BOOT
    assert f"a plugin did not start, {name}: " in server.log()
    assert "Traceback" not in server.log()
    assert SECRET not in server.log()

    pipeline = table(filters=[name], policy={"fail": "open"}, config=config)
    with plugin_server(tmp_path / "other", pipeline) as without:
        assert "A plugin did not start and is left out." in without.log()
        assert stage(without, name).breakers_open == 1
        assert without.deliver(line(0) + b"\n", 1).journaled == 1
        assert stored.events(without.data_dir) == [line(0)]


def test_a_plugin_that_is_not_well_is_named(tmp_path: Path) -> None:
    """It works for all that: whether it may is what its policy says when it fails."""
    with plugin_server(tmp_path / "data", table(filters=["mischief:Ailing"])) as server:
        assert '"stage":"mischief:Ailing"' in server.log()
        assert server.deliver(line(0) + b"\n", 1).journaled == 1
