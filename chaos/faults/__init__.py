"""All faults, in the order of the table."""

from __future__ import annotations

from chaos.fault import Fault
from chaos.faults.kills import KillTree, KillWorker
from chaos.faults.points import (
    KillAfterSync,
    KillBeforeSync,
    KillDuringRecovery,
    KillDuringRetention,
    KillDuringRotation,
    KillWithinWrite,
)

FAULTS: list[type[Fault]] = [
    KillWorker,
    KillTree,
    KillBeforeSync,
    KillAfterSync,
    KillWithinWrite,
    KillDuringRotation,
    KillDuringRecovery,
    KillDuringRetention,
]

BY_NAME = {fault.name: fault for fault in FAULTS}
