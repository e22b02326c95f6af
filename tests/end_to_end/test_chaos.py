"""The short form of `make chaos`: every fault strikes once, and its promise is kept."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from chaos import trial
from chaos.fault import Fault, Unavailable
from chaos.faults import FAULTS
from chaos.faults.kills import KillAny
from chaos.trial import Plan

KINDS = [fault for fault in FAULTS if fault is not KillAny]
"""That one does what others do."""


@pytest.mark.parametrize("fault", KINDS, ids=lambda fault: fault.name)
def test_a_fault_breaks_no_promise(fault: type[Fault], tmp_path: Path) -> None:
    """What the oracle, `ingest verify` and the ledger say is what was promised, and agrees."""
    seed = random.randrange(2**32)
    plan = Plan(
        rate=20_000,
        connections=8,
        workers=2,
        seed=seed,
        directory=tmp_path,
        deadline=time.monotonic() + 60,
        keep=True,
    )
    try:
        verdict = trial.run(plan, fault, rounds=1, number=0)
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert not verdict.wrong, f"with seed {seed}"
    assert verdict.rounds == 1
    assert verdict.stored > 0
