"""The cases of the benchmark: what they are, what they are sent, and how they stand in the page."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from bench import (
    arguments,
    half_load,
    matrix,
    matrix_page,
    processes,
    report,
    results_directory,
    rounds,
    runs,
    settings,
    switched_off,
)
from bench.arguments import FULL, QUICK
from bench.case_result import CaseResult, Latency
from bench.distribution import Distribution
from bench.limits.measure import LimitCase, LimitsResult
from bench.limits.programs import LimitRun
from bench.machine import Disk, Machine
from bench.matrix import CASES, Case
from bench.network import reload
from bench.parameters import Parameters
from bench.parts import Parts
from bench.peers.grounds import GROUNDS
from bench.runs import Plan, Run
from bench.server import FailedRunError, read_journaled, read_settled
from chaos.faults.kills import KillWorkerWithPlugin
from ingest._native import Region
from tests.measured import RUN

MACHINE = Machine(
    cpu="a processor",
    cores=2,
    memory_gib=8.0,
    kernel="6",
    governor=None,
    python="3",
    rustc="1",
    commit="c0ffee",
    disk=Disk(filesystem="ext4", source="disk", sequential_mb_per_second=1.0, sync_p50_ms=1.0),
)


def plan(events: int) -> Plan:
    return Plan(events=events, runs=2, latency_seconds=1.0, workers=None, data_dir=Path())


def run(events_per_second: float, cost: float) -> Run:
    return msgspec.structs.replace(
        RUN, events_per_second=events_per_second, cpu_seconds_per_million=cost
    )


def result(name: str, *made: Run | None) -> CaseResult:
    case = matrix.BY_NAME[name]
    latency = [Latency(1e6, Distribution.of([number * 5.0])) for number in (1, 2)]
    return CaseResult(
        case.name, case.group, case.compared_to, case.parameters, list(made), [*latency, None], []
    )


def measured() -> list[CaseResult]:
    """Return two rounds: in the second one the machine was half as fast."""
    return [
        result("reference", run(2e6, 0.6), run(1e6, 1.2)),
        result("raw", run(4e6, 0.3), run(2e6, 0.6)),
        result("tls", run(1e6, 0.9), run(5e5, 1.8)),
    ]


def cells(table: str, name: str) -> list[str]:
    (row,) = (row for row in table.splitlines() if row.startswith(f"| `{name}` |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def differences(case: Case) -> set[str]:
    """Return the parameters in which a case is not what it is compared to."""
    other = matrix.BY_NAME[case.compared_to or case.name].parameters
    names = Parameters.__struct_fields__
    return {name for name in names if getattr(case.parameters, name) != getattr(other, name)}


@pytest.mark.parametrize("case", CASES[1:], ids=lambda case: case.name)
def test_a_case_differs_in_one_thing_from_what_it_is_compared_to(case: Case) -> None:
    """But for what belongs together: syslog has another length, nothing written is not synced."""
    together = {
        "syslog-5424": {"message_format", "event_bytes"},
        "syslog-3164": {"message_format", "event_bytes"},
        "udp-50": {"transport", "connections"},
        "journal-off": {"journal", "sync"},
    }
    found = differences(case)
    assert found == together.get(case.name, found)
    assert case.name in together or len(found) == 1


def test_what_a_quick_case_is_compared_to_is_quick_as_well() -> None:
    for name in matrix.QUICK:
        assert matrix.BY_NAME[name].compared_to in {None, *matrix.QUICK}


@pytest.mark.parametrize("events", [1, 1_000, 5_000_000])
def test_every_connection_sends_whole_cycles_of_levels(events: int) -> None:
    """Only then is a fifth of what is sent DEBUG, to the event."""
    for case in CASES:
        sent = rounds.load(plan(events), case)
        for number in (sent.events, sent.warm_up_events):
            assert number > 0
            assert number % (sent.connections * runs.DEBUG_ONE_IN) == 0
        assert sent.filtered(sent.events) == (sent.events // 5 if case.name != "raw" else 0)


def test_every_case_has_a_configuration() -> None:
    files = {file.stem for file in settings.configuration("none").parent.iterdir()}
    used = {case.parameters.pipeline for case in CASES}
    used |= {ground.pipeline for ground in GROUNDS.values()}
    assert files == {*used, reload.PIPELINE, KillWorkerWithPlugin.pipeline}


def test_ratios_are_of_one_round_so_that_the_machine_does_not_show() -> None:
    row = cells(matrix_page.table(measured(), "pipelines"), "raw")
    assert row[1:7] == [
        "3,000,000 (2,000,000 to 4,000,000)",
        "960 (640 to 1,280)",
        "0.45 (0.30 to 0.60)",
        "2.00 (2.00 to 2.00) `reference`",
        "0.50 (0.50 to 0.50) `reference`",
        "190 (190 to 190)",
    ]


def limits(*rates: float) -> LimitsResult:
    """Return a limit of so many events/s, at a fifth of the CPU of our reference."""
    limit = LimitCase("parse-write-sync", "job", [LimitRun(100, rate, 0.18) for rate in rates])
    return LimitsResult([limit], [], {})


def test_a_case_is_a_fraction_of_what_the_machine_can_do() -> None:
    """Of the limit on the same events: others are no part of it."""
    other = result("bytes-8192", run(1e5, 9.0), run(1e5, 9.0))
    page = matrix_page.section([*measured(), other], limits(2e6, 3e6, 4e6))
    _, _, after = page.partition("### Of what the machine can do")
    part = after.partition("###")[0]
    assert cells(part, "reference")[1:] == ["50.0%", "20.0%"]
    assert "bytes-8192" not in part
    assert "### Of what" not in matrix_page.section(measured(), limits())


def test_percentiles_are_medians_of_the_rounds() -> None:
    _, _, page = matrix_page.section(measured()).partition("### Latency")
    assert cells(page, "tls")[2:5] == ["7.5 (5.0 to 10.0)"] * 3


def test_latency_is_that_of_the_events_that_are_stored() -> None:
    """What the filter drops is gone at once, and says nothing of the others."""
    load = runs.Load(events=100, warm_up_events=20)
    sent = [(0, 50), (1_000_000, 100)]
    durable = [(-1, 16), (50_000_000, 96)]
    found = half_load.of_stored(load, sent, durable)
    assert found == Distribution.of([50.0] * 40 + [49.0] * 40)


def test_nothing_is_durable_before_it_is_journaled() -> None:
    """Whatever of it was filtered already."""
    region = Region.create(2, ["in", "other"], [], b"")
    region.set(1, "ingest_events_filtered_total", 5, listener=1)
    assert (read_journaled(region), read_settled(region)) == (0, 5)
    region.set(0, "ingest_events_journaled_total", 7, listener=1)
    assert (read_journaled(region), read_settled(region)) == (7, 12)


def test_a_part_that_fails_leaves_what_others_measured() -> None:
    def fail() -> int:
        raise FailedRunError("lost")

    def interrupt() -> int:
        raise KeyboardInterrupt

    parts = Parts(lambda line: None)
    assert parts.measure("one", True, lambda: 1) == 1
    assert parts.measure("two", True, fail) is None
    assert parts.measure("three", [], fail) is None
    assert parts.measure("four", True, lambda: 4) == 4
    assert parts.measure("five", True, interrupt) is None
    assert parts.measure("six", True, lambda: 6) is None
    assert list(parts.failures) == ["two", "five", "six"]
    assert parts.failures["two"] == "lost"


def test_results_of_the_same_day_and_reason_stand_beside_each_other(tmp_path: Path) -> None:
    day = datetime(2026, 11, 26, tzinfo=UTC)
    made = [results_directory.make(tmp_path, day, "Why, not?").name for _ in range(3)]
    assert made == [f"2026-11-26-why-not{number}" for number in ("", "-2", "-3")]


def test_cpu_is_read_when_the_processes_are_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never rests fails the run."""
    monkeypatch.setattr(runs, "_REST_SECONDS", 1.6)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            with pytest.raises(FailedRunError, match="still at work"):
                runs.cpu_at_rest([busy.pid])
            busy.send_signal(signal.SIGSTOP)
            assert runs.cpu_at_rest([busy.pid]) == processes.cpu_seconds([busy.pid]) > 0
        finally:
            busy.kill()


def test_the_largest_worker_is_told_apart_from_the_sum() -> None:
    assert cells(matrix_page.table(measured(), "pipelines"), "raw")[7] == "90 (90 to 90)"


def test_what_a_group_is_compared_to_stands_in_its_table() -> None:
    table = matrix_page.table(measured(), "transports")
    assert [row.split("`")[1] for row in table.splitlines()[2:]] == ["reference", "tls"]
    alone = matrix_page.table(measured()[1:], "transports")
    assert cells(alone, "tls")[4:6] == ["-", "-"]


def test_a_failed_run_is_left_out_of_medians_and_of_ratios() -> None:
    first, raw, _ = measured()
    broken = msgspec.structs.replace(raw, runs=[None, raw.runs[1]], failures=["round 1: lost"])
    table = matrix_page.table([first, broken], "pipelines")
    assert cells(table, "raw")[1] == "2,000,000 (2,000,000 to 2,000,000)"
    assert cells(table, "raw")[4] == "2.00 (2.00 to 2.00) `reference`"
    assert "- `raw`, round 1: lost" in matrix_page.section([first, broken])


def test_the_page_says_what_was_dropped_and_what_could_not_be_read_back() -> None:
    page = matrix_page.section(
        [
            result("udp", msgspec.structs.replace(RUN, kernel_dropped=20)),
            result("journal-off", msgspec.structs.replace(RUN, stored_events=None)),
        ]
    )
    assert "Of 100 datagrams of `udp` the kernel had no room for 20 (20.0%)" in page
    assert "What `journal-off` stored cannot be read back" in page
    assert "Fewer than 5 rounds" in page


def test_the_page_shows_what_was_measured_and_no_more() -> None:
    results = report.Results(
        why="why",
        started_at="now",
        command="python -m bench",
        environment={},
        machine=MACHINE,
        matrix=measured(),
        network=[],
        group_commit=None,
        acknowledging=None,
        soak=None,
    )
    page = report.page(results)
    assert matrix_page.table(measured(), "pipelines") in page
    assert "### Transports" in page
    assert "### Sizes" not in page
    assert "Every run ended with a closed ledger" in page
    failed = msgspec.structs.replace(results, failures={"soak": "it leaked"})
    assert "- soak: it leaked" in report.page(failed)
    assert "## Failed" not in page
    assert "## Cases" not in report.page(msgspec.structs.replace(results, matrix=[]))
    decoded = msgspec.json.decode(msgspec.json.encode(results), type=report.Results)
    assert decoded.matrix == measured()


def test_what_is_asked_for_is_measured_and_no_more() -> None:
    quick, full = arguments.parse(None, []), arguments.parse(None, ["--full", "--runs=7"])
    assert (quick.cases, quick.events, quick.runs) == ([*matrix.QUICK], QUICK.events, QUICK.runs)
    assert (full.cases, full.events, full.runs) == ([*matrix.BY_NAME], FULL.events, 7)
    some = arguments.parse(None, ["--cases", "raw", "tls"])
    assert (some.cases, some.runs) == (["raw", "tls"], FULL.runs)
    assert arguments.parse(None, ["--ack"]).cases == []
    assert arguments.parse(None, ["--ack", "--quick"]).cases == [*matrix.QUICK]


def test_a_server_whose_journal_is_off_writes_everything_but_segments(tmp_path: Path) -> None:
    """It believes that it has written them, as one call or as several parts."""
    program = """
import os, sys
for name in ("0.ndjson.zst", "other"):
    file = os.open(name, os.O_WRONLY | os.O_CREAT)
    print(os.write(file, b"one"), os.writev(file, [b"three", b"parts"]))
"""
    environment = {**os.environ, **switched_off.environment(Parameters(journal="off"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "3 10\n3 10\n"
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir()}
    assert sizes == {"0.ndjson.zst": 0, "other": 13}
    assert switched_off.environment(Parameters()) == {}
