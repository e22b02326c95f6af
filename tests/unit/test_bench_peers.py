"""Other programs and limits beside the server: the job is done right, and nothing else counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from bench import settings
from bench.generator import Sending, Sent
from bench.limits import build, programs
from bench.limits.build import Unavailable
from bench.peers import fapilog, fapilog_process, page, run
from bench.peers.fapilog import Flushed
from bench.peers.grounds import GROUNDS, Name
from bench.peers.output import Output
from bench.peers.peer import CONFIGURATIONS
from bench.peers.programs import PEERS
from bench.peers.results import OURS, Entry, GroundResult, PeersResult
from bench.peers.run import PeerRun, Step
from bench.peers.running import RunningPeer, peer_at_work, server_at_work
from bench.runs import Plan
from bench.server import FailedRunError

EVENTS, WARM_UP = 400, 40
UNPACKED = ["rsyslog", "syslog-ng"]


def plan(directory: Path) -> Plan:
    return Plan(events=EVENTS, runs=1, latency_seconds=1.0, workers=1, data_dir=directory)


@contextmanager
def at_work(name: str, ground: Name, directory: Path) -> Iterator[RunningPeer]:
    """Give a peer that listens, or skip the test."""
    peer = PEERS[name]
    program = peer.find([])
    if program is None:
        pytest.skip(f"{name} is not here: {peer.origin} unpacks it from Debian's packages")
    with peer_at_work(plan(directory), peer, program, GROUNDS[ground]) as running:
        yield running


@pytest.mark.parametrize("ground", ["json", "syslog", "passthrough"])
@pytest.mark.parametrize("name", UNPACKED)
def test_a_peer_does_the_job_on_every_event(name: str, ground: Name, tmp_path: Path) -> None:
    """A run counts only if each event is in the output once, without the secret if it has one."""
    with at_work(name, ground, tmp_path) as running:
        done = run.measure_stream(running, GROUNDS[ground], EVENTS, WARM_UP)
        (file,) = running.output.files()
        lines = file.read_bytes().splitlines()
    assert done.events == EVENTS
    assert done.peak_resident_bytes
    assert len(lines) == EVENTS + WARM_UP
    if ground == "passthrough":
        assert all(line.startswith(b"<1") for line in lines)
        return
    events = [json.loads(line) for line in lines]
    texts = {event.get("message") or event["MESSAGE"] for event in events}
    assert "payment authorised" in {text.strip() for text in texts}
    if ground == "json":
        assert {event["added"] for event in events} == {"bench"}
        assert all("path" in event["data"] and "password" not in event["data"] for event in events)


@pytest.mark.parametrize("name", UNPACKED)
def test_datagrams_are_counted_at_every_rate(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RATES", (1000.0, 2000.0))
    monkeypatch.setattr(run, "QUIET_SECONDS", 30.0)  # on a busy machine it may have to wait
    with at_work(name, "udp", tmp_path) as running:
        done = run.measure_datagrams(running, GROUNDS["udp"], 0.1)
    assert [(step.sent, step.written) for step in done.steps] == [(100, 100), (200, 200)]
    assert done.events == 300


def test_our_server_does_the_same_job(tmp_path: Path) -> None:
    ground = GROUNDS["json"]
    with server_at_work(plan(tmp_path), ground) as running:
        done = run.measure_stream(running, ground, EVENTS, WARM_UP)
    assert done.events == EVENTS


def test_every_event_of_ours_has_to_be_masked(tmp_path: Path) -> None:
    """Without the stages of the ground the events are all there, and the run fails."""
    ground = msgspec.structs.replace(GROUNDS["json"], pipeline="none")
    with (
        server_at_work(plan(tmp_path), ground) as running,
        pytest.raises(FailedRunError, match="0 have what was to be added"),
    ):
        run.measure_stream(running, ground, EVENTS, WARM_UP)


def test_our_server_is_asked_for_its_datagrams_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "RATES", (1000.0, 2000.0))
    with server_at_work(plan(tmp_path), GROUNDS["udp"]) as running:
        done = run.measure_datagrams(running, GROUNDS["udp"], 0.1)
    assert [(step.sent, step.written) for step in done.steps] == [(100, 100), (200, 200)]


def test_every_ground_has_a_configuration_of_ours_and_of_each_peer() -> None:
    """Tenzir alone cannot write datagrams apart; an unknown placeholder would reach the peer."""
    for ground in GROUNDS.values():
        assert settings.configuration(ground.pipeline).exists()
        without = {name for name, peer in PEERS.items() if peer.template(ground) is None}
        assert without == ({"tenzir"} if ground.name == "udp" else set())
    files = [file for name in PEERS for file in (CONFIGURATIONS / name).iterdir()]
    for file in files:
        text = file.read_text()
        assert "@PORT@" in text
        assert "@DIRECTORY@" in text


def sent(events: int) -> Sent:
    """Return what the generator would say of one connection."""
    counts = dict.fromkeys(Sent.__struct_fields__, 0)
    return msgspec.convert(
        {**counts, "run": 1, "events": events, "per_connection": [events], "broken": []}, Sent
    )


def line(sequence: int, data: dict[str, str] | None = None) -> str:
    """Return an event as a peer might have written it."""
    event = {"request_id": f"01-00000-{sequence:010}", "data": data or {}, "added": "bench"}
    return json.dumps(event, separators=(",", ":"))


def test_output_that_is_not_the_job_is_no_result(tmp_path: Path) -> None:
    good = [line(0), line(1), line(2)]
    wrong = {
        "lost=1": good[:2],
        "duplicated=1": [*good, good[0]],
        "foreign=1": [*good, '{"added":"bench"}'],
        "1 have the field": [*good[:2], line(2, {"password": "horse-1"})],
        "2 the one that was to be added": [*good[:2], good[2].replace("added", "other")],
    }
    for number, (complaint, lines) in enumerate({"": good, **wrong}.items()):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "out").write_text("".join(f"{each}\n" for each in lines))
        output = Output(directory)
        assert output.look() == len(lines)
        if not complaint:
            output.check(GROUNDS["json"], sent(3), may_lose=False)
            continue
        with pytest.raises(FailedRunError, match=complaint):
            output.check(GROUNDS["json"], sent(3), may_lose=False)


def test_output_is_counted_while_it_grows(tmp_path: Path) -> None:
    output = Output(tmp_path)
    assert output.look() == 0
    with (tmp_path / "out-1").open("w") as file:
        print("a\nb", file=file, flush=True)
        assert output.look() == 2
        print("c", file=file, end="", flush=True)
        assert output.look() == 2
        print(file=file, flush=True)
        (tmp_path / "out-2").write_text("d\n")
        assert output.look() == 4


def test_the_lossless_rate_is_below_the_first_loss() -> None:
    steps = [Step(1e5, 10, 9e4, 10), Step(2e5, 20, 1.9e5, 19), Step(3e5, 30, 2.8e5, 30)]
    assert peer_run(1.0, 1.0, steps).lossless_rate == 9e4


def test_the_cost_of_datagrams_is_that_at_the_highest_rate_that_both_took() -> None:
    """What a program needs for those that it lost is not held against it."""
    mine = [Step(1e5, 10, 1e5, 10, 1.0), Step(2e5, 20, 2e5, 20, 2.0), Step(3e5, 30, 3e5, 30, 9.0)]
    theirs = [Step(1e5, 10, 1e5, 10, 3.0), Step(2e5, 20, 2e5, 20, 8.0), Step(3e5, 30, 3e5, 9, 9.0)]
    entries = [
        Entry(OURS, [peer_run(1.0, 1.0, mine)], []),
        Entry("other", [peer_run(1.0, 50.0, theirs)], []),
    ]
    text = page.section(PeersResult({}, {}, [GroundResult("udp", entries)]))
    assert "| 4.0 (4.0 to 4.0) |" in text
    assert "Fewer than 5 rounds" in text


def peer_run(speed: float, cost: float, steps: list[Step] | None = None) -> PeerRun:
    return PeerRun(10, speed, cost, 1 << 20, 0.1, steps or [])


def test_ratios_are_of_the_same_round_and_failures_are_shown() -> None:
    """A round in which one of the two failed has no ratio."""
    ours = Entry(OURS, [peer_run(100.0, 1.0), peer_run(50.0, 2.0)], [])
    half = Entry("half", [peer_run(10.0, 4.0), None], ["round 2: it lost one"])
    failed = Entry("failed", [None, None], ["round 1: no", "round 2: no"])
    result = PeersResult(
        {"half": "half 1.0"}, {"vector": "there"}, [GroundResult("json", [ours, half, failed])]
    )
    assert result.failed == ["half (json)", "failed (json)"]
    text = page.section(result)
    assert "| half | 10 (10 to 10) | 4.00 (4.00 to 4.00) | 1 (1 to 1) | 10.0 (" in text
    assert "| 4.0 (4.0 to 4.0) |" in text
    assert "| failed | failed | - |" in text
    assert "half FAILED: round 2: it lost one" in text
    assert "vector: not on this machine" in text


def test_fapilog_has_to_write_all_and_to_mask() -> None:
    done = Flushed(events=10, written=10, last='{"password":"***"}', seconds=1.0, cpu_seconds=1.0)
    fapilog.check(done)
    for wrong in ({"written": 11}, {"written": 9}, {"last": '{"password":"horse"}'}):
        with pytest.raises(FailedRunError, match="fapilog"):
            fapilog.check(msgspec.structs.replace(done, **wrong))


async def test_fapilog_does_the_job_of_our_server() -> None:
    events = [
        {
            "timestamp": "2026-01-01T00:00:00.000Z",
            "level": "DEBUG",
            "message": "m",
            "data": {"password": "horse", "status": 200},
        }
    ]
    plugins = fapilog_process.stages(fapilog.CONFIGURATION, fapilog.ENRICHERS)
    flushed = await fapilog_process.measure([*map(msgspec.json.encode, events)], 20, plugins)
    fapilog.check(flushed)
    event = msgspec.json.decode(flushed.last)["log"]
    assert event["data"] == {"password": "***", "status": 200}
    assert event["diagnostics"]["pid"] == os.getpid()


@pytest.mark.parametrize("name", programs.LIMITS)
def test_a_limit_counts_every_event(name: str, tmp_path: Path) -> None:
    try:
        build.copy() if name.startswith("copy") else build.limit()
    except Unavailable as why:
        pytest.skip(str(why))
    if name in programs.PARSING and not build.can_parse():
        pytest.skip("simdjson is not here: `make clients` unpacks it from Debian's packages")
    done = programs.LIMITS[name].measure(plan(tmp_path))
    assert done.events == EVENTS
    assert done.events_per_second > 0


def test_a_limit_that_validates_refuses_what_is_no_json(tmp_path: Path) -> None:
    """Lines of syslog are counted as invalid, every one of them."""
    try:
        program = build.limit()
    except Unavailable as why:
        pytest.skip(str(why))
    if not build.can_parse():
        pytest.skip("simdjson is not here: `make clients` unpacks it from Debian's packages")
    with programs.at_work(program, "parse", tmp_path) as (process, address):
        sending = Sending(
            "tcp",
            address,
            connections=programs.CONNECTIONS,
            events=EVENTS,
            message_format="rfc5424",
        )
        with sending:
            sending.finish()
        output, _ = process.communicate(timeout=10)
    received = json.loads(output)
    assert (received["lines"], received["invalid"]) == (EVENTS, EVENTS)
