"""`python -m bench` on real servers at a tiny size: what it reports, and that it sees a loss."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.case_result import CaseResult
from bench.report import Results

EVENTS = 2_000
CASES = ("reference", "udp", "bytes-8192")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Give what the program said, and where it left its results.

    The server is told to refuse long lines, so that of the last case it cannot store one.
    """
    directory = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "bench", "--cases", *CASES, "--runs=1", "--workers=1"]
    command += [f"--events={EVENTS}", "--latency-seconds=0.1", "--why=a test"]
    command += [f"--data-dir={directory}", f"--results={directory}"]
    environment = {**os.environ, "INGEST_LIMITS__LINE_BYTES": "4096"}
    ended = subprocess.run(
        command, env=environment, check=False, capture_output=True, text=True, timeout=240
    )
    assert "written to " in ended.stdout, f"{ended.returncode}: {ended.stderr}"
    (results,) = directory.glob("*-a-test")
    return ended, results


def results(directory: Path) -> dict[str, CaseResult]:
    read = msgspec.json.decode((directory / "results.json").read_bytes(), type=Results)
    return {case.name: case for case in read.matrix}


@pytest.mark.timeout(270)
def test_a_case_reports_all_its_figures_and_what_it_stored(
    done: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    """Four fifths are stored: the reference drops DEBUG."""
    case = results(done[1])["reference"]
    (run,) = case.runs
    assert run is not None
    assert (run.events, run.stored_events) == (EVENTS, EVENTS * 4 // 5)
    assert min(run.events_per_second, run.bytes, run.largest_worker_bytes) > 0
    assert {each.split()[0] for each in run.peak_resident_bytes} >= {"supervisor", "worker"}
    assert not case.failures
    (latency,) = case.latencies
    assert 0 < latency.milliseconds.p50 <= latency.milliseconds.maximum
    assert latency.milliseconds.samples % 4 == 0  # of five, one is dropped


@pytest.mark.timeout(270)
def test_every_datagram_is_stored_or_counted_as_dropped_by_the_kernel(
    done: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    (run,) = results(done[1])["udp"].runs
    assert run is not None
    assert run.stored_events is not None
    assert 0 <= EVENTS * 4 // 5 - run.stored_events <= run.kernel_dropped


@pytest.mark.timeout(270)
def test_a_run_that_lost_something_fails_and_the_others_are_reported(
    done: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    ended, directory = done
    assert ended.returncode == 1
    assert "FAILED: bytes-8192;" in ended.stderr
    failed = results(directory)["bytes-8192"]
    assert (failed.runs, failed.latency) == ([None], [None])
    assert "the server does not take these events" in failed.failures[0]
    page = (directory / "README.md").read_text()
    assert "**Runs failed**" in page
    assert "| `bytes-8192` | failed |" in page
    assert "\n- `bytes-8192`, round 1: " in page
    assert not any(results(directory)[name].failures for name in CASES if name != "bytes-8192")
