"""The cases of the benchmark: what they are, what they are sent, and how they stand in the page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench import arguments, matrix, matrix_page, report, rounds, runs, settings, switched_off
from bench.arguments import FULL, QUICK
from bench.case_result import CaseResult, Latency
from bench.distribution import Distribution
from bench.machine import Disk, Machine
from bench.matrix import CASES, Case
from bench.network import reload
from bench.parameters import Parameters
from bench.runs import Plan, Run
from chaos.faults.kills import KillWorkerWithPlugin
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
    latency = Latency(1e6, Distribution.of([5.0]))
    return CaseResult(
        case.name, case.group, case.compared_to, case.parameters, list(made), latency, []
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
