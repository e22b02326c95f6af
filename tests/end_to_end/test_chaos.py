"""The short form of `make chaos`: every fault strikes twice, and its promise is kept."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from chaos import trial
from chaos.fault import Fault, Unavailable
from chaos.faults import FAULTS
from chaos.trial import Plan

ROUNDS = 2


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
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
        verdict = trial.run(plan, fault, ROUNDS, 0)
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert not verdict.wrong, f"with seed {seed}"
    assert verdict.rounds == ROUNDS
    assert verdict.stored > 0
