"""The short form of `make chaos`: a fault of each sort strikes once, and no promise is broken."""

from __future__ import annotations

import random
import time
from pathlib import Path
from random import Random

import pytest

from chaos import trial
from chaos.fault import Fault, Unavailable
from chaos.faults import BY_NAME
from chaos.faults.power import PowerCut
from chaos.judge import Verdict
from chaos.tier import Tier
from chaos.trial import Plan

KINDS = [
    "kill-worker",
    "kill-worker-udp",
    "kill-worker-plugin",
    "kill-recovering",
    "kill-replacing",
    "kill-worker-and-holder",
    "kill-tree",
    "kill-during-recovery",
    "stop-worker",
    "jump-clock",
    "exhaust-memory",
    "full-disk",
    "power-cut",
    "bit-flips",
]
"""One of each sort; `make chaos` has them all."""


@pytest.mark.timeout(150)
@pytest.mark.parametrize("fault", [BY_NAME[name] for name in KINDS], ids=KINDS)
def test_a_fault_breaks_no_promise(fault: type[Fault], tmp_path: Path) -> None:
    """What the oracle, `ingest verify` and the ledger say is what was promised, and agrees."""
    seed = random.randrange(2**32)
    verdict = struck(fault, tmp_path, seed)
    assert not verdict.wrong, f"with seed {seed}"
    assert verdict.rounds == 1
    assert verdict.stored > 0


def struck(fault: type[Fault], directory: Path, seed: int) -> Verdict:
    """Return the verdict on a trial in which a fault strikes once; skip where it cannot."""
    plan = Plan(
        rate=20_000,
        connections=8,
        workers=2,
        seed=seed,
        directory=directory,
        deadline=time.monotonic() + 120,
        keep=True,
    )
    try:
        return trial.run(plan, fault, rounds=1, number=0)
    except Unavailable as reason:
        pytest.skip(str(reason))


class PowerCutOnLyingDisk(PowerCut):
    """The disk says that it has synced, and has not."""

    name = "power-cut-on-lying-disk"

    def strike(self, tier: Tier, chance: Random) -> None:
        """Cut the power after group commits that were none."""
        with self.disk.without_syncs():
            tier.await_intake()
            tier.kill_tree(chance, aftermath=lambda: self.cut_power(tier.data_dir, chance))
        tier.start()


def test_chaos_finds_out_a_disk_that_lies(tmp_path: Path) -> None:
    """What is missing is called lost: a server that forgot to sync would not pass."""
    verdict = struck(PowerCutOnLyingDisk, tmp_path, seed=1)
    assert verdict.lost > 0
    assert f"{verdict.lost} events lost" in verdict.wrong
