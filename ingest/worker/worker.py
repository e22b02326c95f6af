"""The composition of a worker: its sockets and journals, its loop, its heartbeat, its end.

Nothing here touches an event; that is the shard's work. The worker tells its state through the
shared region and drains when it is told to, or when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time

import uvloop

from ingest import contract
from ingest._native import Arena, Handoff, Holder, Region, Shard, Sources
from ingest.contract import WorkerSpec, WorkerState
from ingest.errors import BootError, ExitStatus
from ingest.logs import get_logger
from ingest.pipeline.failures import describe
from ingest.receive import Answer, Durability, Intake
from ingest.worker.faults import complete, is_ours, note_exit
from ingest.worker.pipeline import PythonPipeline, native_pipeline
from ingest.worker.standby import wait_for_go

_REQUESTS_SHARE_OF_DRAIN = 0.4
"""By then what sources have submitted is acknowledged, or has an error."""
_PYTHON_SHARE_OF_DRAIN = 0.8
"""What plugins have passed by then is still to be made durable."""

_log = get_logger(__name__)


def open_shard(spec: WorkerSpec, region: Region) -> Shard:
    """Open the journals and take over the sockets; raise BootError when that is impossible."""
    try:
        return Shard(
            region,
            Sources.attach(spec.sources),
            Arena.attach(spec.arena),
            spec.index,
            spec.data_dir,
            [contract.encode(listener).decode() for listener in spec.listeners],
            inbox=spec.inbox,
            outboxes=spec.outboxes,
            compression=spec.journal.compression,
            compression_level=spec.journal.level,
            sync_interval_seconds=spec.journal.sync_interval_seconds,
            segment_bytes=spec.journal.segment_bytes,
            segment_age_seconds=spec.journal.segment_age_seconds,
            retention_bytes=spec.journal.retention_bytes,
            retention_age_seconds=spec.journal.retention_age_seconds,
            recompress_level=spec.journal.recompress_level,
            queue_bytes=spec.journal.queue_bytes,
            depth=spec.limits.depth,
            keys=spec.limits.keys,
            connections=spec.limits.connections,
            partial_bytes=spec.limits.partial_bytes,
            **native_pipeline(spec.pipeline),
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise BootError(f"worker {spec.index} cannot open its shard: {error}") from error


class Worker:
    """One worker from the start of its plugins to its end."""

    def __init__(
        self, spec: WorkerSpec, holder: Holder | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._spec = spec
        self._holder = holder
        self._loop = loop
        self._region = Region.attach(spec.region)
        self._stall: str | None = None
        self._upkeep_error: str | None = None
        self._has_successor = False
        self._heart: asyncio.TimerHandle | None = None
        self._python_deadline = 0.0
        self._python = PythonPipeline(spec, self._region)
        self._python.start(loop)

    def wait_for_go(self) -> bool:
        """Wait until the worker before this one is gone; False: this one is not wanted any more."""
        if self._spec.go is None:
            return True
        self._region.set(self._spec.index, "ingest_worker_standby", self._spec.generation)
        return wait_for_go(self._loop, self._spec.go, self._spec.lifeline)

    def give_up(self) -> ExitStatus:
        """End without having served."""
        self._python.stop(self._loop)
        return ExitStatus.CLEAN

    def start(self) -> None:
        """Take part in the service; from here on the state cell says so."""
        self._shard = open_shard(self._spec, self._region)
        self._send_holder()
        self._python.take_over()
        process = self._python.process if self._python else None
        self._intake = Intake(self._loop, self._shard, process)
        self._durability = Durability(self._intake)
        found = self._shard.found
        for note in found.notes:
            _log.warning("The journal was repaired.", reason=note)
        if found.lost:
            _log.error("Events of the previous worker were lost.", events=found.lost)
        self._loop.set_exception_handler(self._fail)
        self._loop.add_signal_handler(signal.SIGTERM, self._loop.stop)
        self._loop.add_signal_handler(signal.SIGUSR2, self._be_succeeded)
        # A terminal sends SIGINT to every process; only the supervisor decides what it means.
        self._loop.add_signal_handler(signal.SIGINT, lambda: None)
        # A signal that comes while the loop does not run is looked at with the next one only.
        self._loop.call_soon(signal.raise_signal, signal.SIGINT)
        self._loop.add_reader(self._spec.lifeline, self._orphaned)
        try:
            self._intake.start()
        except OSError as error:
            raise BootError(f"worker {self._spec.index} cannot listen: {error}") from error
        self._beat()
        self._set_state(WorkerState.READY)
        _log.info(
            "The worker is ready.",
            pid=os.getpid(),
            generation=self._spec.generation,
            next_sequence=found.events_sequence,
        )

    def serve(self) -> None:
        """Run until somebody wants the worker to end."""
        while True:
            try:
                self._loop.run_forever()
            # The loop ends for these, and a task of a plugin may raise them.
            except (SystemExit, KeyboardInterrupt):
                note_exit()
            else:
                return

    def end(self) -> ExitStatus:
        """Make everything that was read durable and end; a successor gets the connections."""
        patience = self._spec.drain_seconds
        began = time.monotonic()
        self._python_deadline = began + patience * _PYTHON_SHARE_OF_DRAIN
        self._set_state(WorkerState.DRAINING)
        self._let_nothing_interrupt()
        complete(self._loop, self._durability.close(patience * _REQUESTS_SHARE_OF_DRAIN))
        left = max(self._python_deadline - time.monotonic(), 0.0)
        complete(self._loop, self._intake.stop(left))
        left = max(began + patience - time.monotonic(), 0.0)
        end = self._shard.hand_over if self._has_successor else self._shard.finish
        lost = end(left, self._process_at_once)
        self._python.stop(self._loop)
        if lost:
            _log.error("Events could not be made durable in time.", events=lost)
        return ExitStatus.LOST if lost else ExitStatus.CLEAN

    def _send_holder(self) -> None:
        """Tell the holder what to do: from here on there are connections that are ours."""
        if self._holder is None:
            return
        self._holder.send(
            lifeline=self._spec.lifeline,
            outbox=self._spec.outboxes[self._spec.index],
            arena=self._spec.arena,
            listeners=[
                (one.index, one.descriptor)
                for one in self._spec.listeners
                if one.descriptor is not None
            ],
        )
        self._region.set(self._spec.index, "ingest_worker_holder_pid", self._holder.pid)

    def _let_nothing_interrupt(self) -> None:
        """Ignore what would stop the loop, or need the shard, while plugins still work in it."""
        for number in (signal.SIGTERM, signal.SIGUSR2):
            self._loop.add_signal_handler(number, lambda: None)
        self._loop.remove_reader(self._spec.lifeline)
        if self._heart is not None:
            self._heart.cancel()

    def _process_at_once(self, batch: Handoff) -> Answer | None:
        """Have Python work on a batch of the drain; None: not in time."""
        left = self._python_deadline - time.monotonic()
        try:
            return complete(
                self._loop, asyncio.wait_for(self._python.process(batch), max(left, 0.0))
            )
        except TimeoutError:
            return None
        except Exception as error:  # noqa: BLE001 - the rest has to be made durable all the same
            _log.critical("The pipeline failed.", reason=describe(error))
            return None

    def _set_state(self, state: WorkerState) -> None:
        self._region.set(self._spec.index, "ingest_worker_state", state)

    def _beat(self) -> None:
        self._heart = self._loop.call_later(self._spec.heartbeat_seconds, self._beat)
        self._shard.tick()
        self._intake.tend()
        self._report_stall()
        self._report_upkeep()
        self._report_notices()

    def _report_notices(self) -> None:
        for listener, cause, peer, detail, others in self._shard.take_notices():
            _log.warning(
                "A sender was refused, or has to wait.",
                listener=listener,
                cause=cause,
                peer=peer,
                detail=detail,
                others_since_the_last_message=others,
            )

    def _report_stall(self) -> None:
        stall = self._shard.stall_text()
        if stall and not self._stall:
            _log.error("The journal cannot be written; senders wait.", reason=stall)
        elif self._stall and not stall:
            _log.info("The journal can be written again.")
        self._stall = stall

    def _report_upkeep(self) -> None:
        error = self._shard.take_upkeep_error()
        if error and error != self._upkeep_error:
            _log.warning("A closed segment could not be sealed or recompressed.", reason=error)
            self._upkeep_error = error

    def _be_succeeded(self) -> None:
        _log.info("The worker hands over to its successor.")
        self._has_successor = True
        self._loop.stop()

    def _orphaned(self) -> None:
        _log.warning("The supervisor is gone; the worker drains and ends.")
        self._loop.stop()

    def _fail(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """End at once: after a fault in a callback nobody knows what the shard would write.

        The successor finds in the journals what was stored, and counts the rest as lost. What
        plugins have left to the loop, such as tasks of their own, may fail and change nothing.
        """
        error = context.get("exception")
        if self._python and not (isinstance(error, BaseException) and is_ours(error)):
            what = describe(error) if isinstance(error, BaseException) else context["message"]
            _log.warning("What a plugin left to the event loop failed.", reason=what)
            return
        _log.critical("The worker failed.", reason=repr(error or context))
        os._exit(ExitStatus.UNEXPECTED)


def run(spec: WorkerSpec, holder: Holder | None) -> ExitStatus:
    """Serve until SIGTERM or the end of the lifeline; return the exit status."""
    loop = uvloop.new_event_loop()
    try:
        worker = Worker(spec, holder, loop)
        if not worker.wait_for_go():
            return worker.give_up()
        worker.start()
        worker.serve()
        return worker.end()
    finally:
        loop.close()
