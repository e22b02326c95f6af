"""The short form of `python -m bench --soak`: facts only, nothing about speed or memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import soak
from bench.runs import Plan
from bench.soak import SoakPlan

SECONDS = 20.0


@pytest.mark.timeout(120)
def test_a_run_under_faults_leaves_no_descriptor_behind_and_loses_nothing(tmp_path: Path) -> None:
    """Connections come and go, workers are killed and replaced, and journals are deleted.

    Whatever of it went wrong with an event, or with the ledger, has ended the run.
    """
    plan = Plan(events=0, runs=0, latency_seconds=0.0, workers=None, data_dir=tmp_path)
    found = soak.measure(
        plan,
        SoakPlan(
            seconds=SECONDS,
            rate=20_000.0,
            leg_seconds=4.0,
            sample_seconds=0.2,
            faults=soak.DEFAULT_FAULTS,
            seed=1,
            workers=soak.WORKERS,
        ),
        print,
    )
    assert all(found.faults.values())
    assert sum(leg.events for leg in found.legs) == found.ledger.received - found.warm_up_events
    assert {leg.at_rest.descriptors for leg in found.legs} == {found.began.descriptors}
    assert {leg.at_rest.processes for leg in found.legs} == {found.began.processes}
