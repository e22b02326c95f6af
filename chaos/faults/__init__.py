"""All faults, in the order of the table."""

from __future__ import annotations

from chaos.fault import Fault
from chaos.faults.bits import FlipBits
from chaos.faults.clocks import JumpClock
from chaos.faults.disk import FullDisk, ReadOnly, SlowSyncs, SyncErrors, WriteErrors
from chaos.faults.kills import (
    KillAdmin,
    KillAllWorkers,
    KillAny,
    KillHolder,
    KillRecovering,
    KillReplacing,
    KillSupervisor,
    KillTree,
    KillWorker,
    KillWorkerAndHolder,
    KillWorkerOfDatagrams,
    KillWorkerWithPlugin,
    KillWorkerWithTls,
)
from chaos.faults.limits import ExhaustDescriptors, ExhaustMemory
from chaos.faults.points import (
    KillAfterSync,
    KillBeforeSync,
    KillDuringRecompression,
    KillDuringRecovery,
    KillDuringRetention,
    KillDuringRotation,
    KillDuringSealing,
    KillWithinWrite,
)
from chaos.faults.power import KillAfterSyncError, PowerCut, PowerCutExt4, ReadOnlyExt4
from chaos.faults.stops import PauseWorker, StopSupervisor, StopWorker

FAULTS: list[type[Fault]] = [
    KillWorker,
    KillWorkerOfDatagrams,
    KillWorkerWithTls,
    KillWorkerWithPlugin,
    KillAllWorkers,
    KillRecovering,
    KillReplacing,
    KillHolder,
    KillWorkerAndHolder,
    KillAdmin,
    KillSupervisor,
    KillAny,
    KillTree,
    KillBeforeSync,
    KillAfterSync,
    KillWithinWrite,
    KillDuringRotation,
    KillDuringRecovery,
    KillDuringRetention,
    KillDuringSealing,
    KillDuringRecompression,
    StopWorker,
    PauseWorker,
    StopSupervisor,
    JumpClock,
    ExhaustDescriptors,
    ExhaustMemory,
    FullDisk,
    WriteErrors,
    SyncErrors,
    SlowSyncs,
    ReadOnly,
    ReadOnlyExt4,
    PowerCut,
    KillAfterSyncError,
    PowerCutExt4,
    FlipBits,
]

BY_NAME = {fault.name: fault for fault in FAULTS}
