"""All faults, in the order of the table."""

from __future__ import annotations

from chaos.fault import Fault
from chaos.faults.disk import FullDisk, ReadOnly, SlowSyncs, SyncErrors, WriteErrors
from chaos.faults.kills import KillTree, KillWorker
from chaos.faults.points import (
    KillAfterSync,
    KillBeforeSync,
    KillDuringRecovery,
    KillDuringRetention,
    KillDuringRotation,
    KillWithinWrite,
)
from chaos.faults.power import PowerCut, PowerCutExt4, ReadOnlyExt4

FAULTS: list[type[Fault]] = [
    KillWorker,
    KillTree,
    KillBeforeSync,
    KillAfterSync,
    KillWithinWrite,
    KillDuringRotation,
    KillDuringRecovery,
    KillDuringRetention,
    FullDisk,
    WriteErrors,
    SyncErrors,
    SlowSyncs,
    ReadOnly,
    ReadOnlyExt4,
    PowerCut,
    PowerCutExt4,
]

BY_NAME = {fault.name: fault for fault in FAULTS}
