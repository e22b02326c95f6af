"""How the benchmark sets pipelines against each other and against fapilog."""

from __future__ import annotations

import os
import tomllib
from typing import Any

import msgspec
import pytest

from bench import beside, fapilog_process, pipeline_table, pipelines, report, runs, settings
from bench.beside import FapilogRun, Flushed
from bench.machine import Disk, Machine
from bench.network import reload
from bench.pipelines import NAMES, PIPELINES, FapilogCase, PipelineCase, Rounds
from bench.region import Region
from bench.runs import Plan, Run
from bench.server import FailedRunError
from chaos.faults.kills import KillWorkerWithPlugin
from ingest.config import load

REGION = "bench.region:Region"
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
    return Plan(
        events=events,
        runs=2,
        latency_seconds=1.0,
        workers=None,
        data_dir=settings.configuration("none").parent,
    )


def run(events_per_second: float, worker_cost: float) -> Run:
    return Run(
        events_per_second=events_per_second,
        cpu_seconds_per_million=worker_cost + 0.1,
        worker_cpu_seconds_per_million=worker_cost,
        generator_cpu_seconds_per_million=0.1,
        peak_resident_bytes={},
    )


def rounds() -> Rounds:
    """Return two rounds: in the second one the machine was half as fast."""
    return Rounds(
        [
            PipelineCase("none", 100, [run(4e6, 0.5), run(2e6, 1.0)]),
            PipelineCase("reference", 100, [run(2e6, 0.6), run(1e6, 1.2)]),
        ],
        [
            FapilogCase("fapilog", ("e",), 10, [FapilogRun(4e3, 200.0), FapilogRun(2e3, 400.0)]),
            FapilogCase("other", (), 10, [FapilogRun(8e3, 100.0), FapilogRun(4e3, 200.0)]),
        ],
    )


def cells(name: str) -> list[str]:
    rows = pipeline_table.table(rounds()).splitlines()
    (row,) = (row for row in rows if row.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


def written(name: str) -> dict[str, Any]:
    """Return the table of a case as it stands in its file."""
    table: dict[str, Any] = tomllib.loads(settings.configuration(name).read_text())["pipeline"]
    return table


def test_ratios_are_of_one_round_so_that_the_machine_does_not_show() -> None:
    assert cells("`reference`")[4:] == [
        "1.20 (1.20 to 1.20)",
        "1.00 (1.00 to 1.00)",
        "500.0 (500.0 to 500.0)",
        "333.3 (333.3 to 333.3)",
    ]


def test_fapilog_stands_in_the_table_and_is_compared_with_itself() -> None:
    assert cells("other")[1:] == [
        "6,000 (4,000 to 8,000)",
        "150.00 (100.00 to 200.00)",
        "7,500 (5,000 to 10,000)",
        "-",
        "-",
        "2.0 (2.0 to 2.0)",
        "2.0 (2.0 to 2.0)",
    ]


def test_a_case_without_the_one_it_is_compared_with_says_so() -> None:
    alone = msgspec.structs.replace(rounds(), pipelines=rounds().pipelines[1:])
    row = pipeline_table.table(alone).splitlines()[2]
    assert row.split("|")[5].strip() == "-"


def test_the_page_shows_what_was_measured_and_no_more() -> None:
    results = report.Results(
        why="why",
        started_at="now",
        command="python -m bench",
        environment={},
        machine=MACHINE,
        cases=[],
        rounds=rounds(),
        network=[],
        group_commit=None,
        acknowledging=None,
        soak=None,
    )
    page = report.page(results)
    assert "medians of 2 rounds" in page
    assert pipeline_table.table(rounds()) in page
    assert "## Connections" not in page
    assert "## Pipelines" not in report.page(msgspec.structs.replace(results, rounds=None))


@pytest.mark.parametrize("events", [1, 1_000, 5_000_000])
def test_every_connection_sends_whole_cycles_of_levels(events: int) -> None:
    """Only then is a fifth of what is sent DEBUG, to the event."""
    for case in PIPELINES:
        sent = pipelines.load(plan(events), case)
        for number in (sent.events, sent.warm_up_events):
            assert number > 0
            assert number % (sent.connections * runs.DEBUG_ONE_IN) == 0
        expected = sent.events // 5 if case.name != "none" else 0
        assert sent.filtered(sent.events) == expected


def test_fapilog_has_to_drop_debug_and_to_mask() -> None:
    done = Flushed(events=10, written=8, last='{"password":"***"}', seconds=1.0, cpu_seconds=1.0)
    beside.check(done)
    for wrong in ({"written": 10}, {"written": 7}, {"last": '{"password":"horse"}'}):
        with pytest.raises(FailedRunError, match="fapilog"):
            beside.check(msgspec.structs.replace(done, **wrong))


def test_the_cases_differ_from_the_reference_only_in_what_they_are_named_for() -> None:
    reference = written("reference")
    assert written("envelope") == {**reference, "output": "envelope"}
    assert written("python") == {**reference, "executor": "python"}
    plugin = written("plugin")
    assert plugin["config"].pop(REGION)
    assert plugin == {**reference, "enrichers": ["origin", REGION]}
    credentials = written("credentials")
    assert credentials.pop("redaction_presets") == ["CREDENTIALS"]
    config = {"level": reference["config"]["level"]}
    assert credentials == {**reference, "config": config}
    assert not any(written("none").values())


def test_the_case_with_credentials_has_all_of_the_preset() -> None:
    spec = load(settings.configuration("credentials"), {}).pipeline.spec()
    field_mask, regex_mask = (stage.config for stage in spec.stages if "mask" in stage.name)
    assert len(field_mask["fields_to_mask"]) == 33
    assert len(regex_mask["patterns"]) == 8


def test_every_case_has_a_configuration() -> None:
    files = {file.stem for file in settings.configuration("none").parent.iterdir()}
    assert files == {*NAMES, reload.PIPELINE, KillWorkerWithPlugin.pipeline}


async def test_fapilog_beside_us_does_the_work_of_the_reference() -> None:
    """Level, masks and URLs, set as the configuration says; a fifth of the events is DEBUG."""
    lines = [
        msgspec.json.encode(
            {
                "timestamp": "2026-01-01T00:00:00.000Z",
                "level": level,
                "message": "m",
                "data": {"password": "horse", "api_key": "k", "url": "https://u:p@host/"},
            }
        )
        for level in ("DEBUG", "INFO", "INFO", "WARNING", "ERROR")
    ]
    plugins = fapilog_process.stages(settings.configuration(beside.PIPELINE), ["runtime_info"])
    flushed = await fapilog_process.measure(lines, 20, plugins)
    beside.check(flushed)
    event = msgspec.json.decode(flushed.last)["log"]
    assert event["data"] == {"password": "***", "api_key": "***", "url": "https://host/"}
    assert event["diagnostics"]["pid"] == os.getpid()


async def test_the_plugin_is_one_that_fapilog_runs() -> None:
    plugin = Region({"203.0.113": "eu"})
    assert await plugin.enrich({"data": {"ip": "203.0.113.9"}}) == {"diagnostics": {"region": "eu"}}
    assert await plugin.enrich({}) == {"diagnostics": {"region": "unknown"}}
