"""The server under test on one port and one data directory, over as many lives as faults give it.

Its counters are read from the shared region, which this process maps and so outlives any kill.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from bench import processes, settings
from bench.generator import Transport
from chaos import segments
from chaos.fault import Unavailable
from chaos.history import History, Life
from ingest.contract import DEAD_DIRECTORY, JOURNAL_DIRECTORY
from ingest.counters import LedgerStatus
from tests.harness import Server, is_running, wait_until

RECOVERY_SECONDS = 60.0
"""The longest that anything may take; the machine may do other things as well."""
_STOP_SECONDS = 120.0
_WATCH_SECONDS, _WATCH_EVERY_SECONDS = 0.5, 0.002
_HOLDER = "ingest_worker_holder_pid"

_ENVIRONMENT = {
    # The plugins of some pipelines stand in the repository.
    "PYTHONPATH": str(Path(__file__).parents[1]),
    # Who is killed often is started again at once.
    "INGEST_SUPERVISION__BREAKER_FAILURES": "1000000",
    "INGEST_SUPERVISION__BACKOFF_INITIAL": "1ms",
    "INGEST_SUPERVISION__BACKOFF_MAXIMUM": "1ms",
}


class Tier:
    """Use it in a `with` statement; faults act on it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        transport: Transport = "tcp",
        pipeline: str = "none",
        workers: int,
        environment: Mapping[str, str],
        wrapper: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir
        self.history = History()
        self.rounds = 0
        """Faults that it has recovered from."""
        self._transport = transport
        address = f"127.0.0.1:{_free_port(transport)}"
        configuration = settings.write(data_dir.parent, pipeline, {transport: address})
        self.server = Server(
            data_dir,
            workers=workers,
            pipeline=None,
            environment={**_ENVIRONMENT, **environment},
            arguments=("--config", str(configuration)),
            wrapper=wrapper,
        )

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave no process behind."""
        self.server.__exit__(kind, error, traceback)

    @property
    def address(self) -> str:
        """Where senders connect, in every life."""
        return "{}:{}".format(*self.server.address(self._transport))

    def start(self) -> None:
        """Start the server, which recovers what is there; wait until every worker is ready."""
        self.server.start()
        lives = self.history.lives
        if lives and not lives[-1].is_settled:
            lost = self.server.region.get(None, "ingest_previous_server_lost_events")
            self.history.told[len(lives) - 1] = lost

    def stop(self, aftermath: Callable[[], None] | None = None) -> Life:
        """Stop the server in order.

        `aftermath` is what happens to the files before anybody looks at them.
        """
        self.server.signal(signal.SIGTERM)
        status = self.server.wait(_STOP_SECONDS)
        return self._note_life(status, aftermath, in_order=True)

    def kill_supervisor(self) -> Life:
        """Kill the supervisor alone and wait until the others have ended by themselves."""
        family = self._family()
        os.kill(self.server.pid, signal.SIGKILL)
        status = self.server.wait(RECOVERY_SECONDS)
        wait_until(lambda: not any(map(is_running, family)), _STOP_SECONDS)
        return self._note_life(status, None, in_order=False)

    def kill_tree(self, chance: Random, aftermath: Callable[[], None] | None = None) -> Life:
        """Kill every process of the server, the supervisor last; it cannot start others meanwhile.

        Stopping the supervisor for this moment keeps it from that; the others notice nothing. What
        they receive is watched for a while before, to tell how old is what they lose.
        `aftermath` is as for `stop`.
        """
        supervisor = self.server.pid
        watched = self._watch()
        os.kill(supervisor, signal.SIGSTOP)
        wait_until(lambda: processes.state(supervisor) == "T")
        family = self._family()
        chance.shuffle(family)
        for pid in (*family, supervisor):
            os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        status = self.server.wait(RECOVERY_SECONDS)
        wait_until(lambda: not any(map(is_running, family)), RECOVERY_SECONDS)
        life = self._note_life(status, aftermath, in_order=False)
        age_seconds = life.oldest_undurable_seconds(watched, killed_at)
        history = self.history
        history.oldest_undurable_seconds = max(history.oldest_undurable_seconds, age_seconds)
        return life

    def ledger(self) -> LedgerStatus:
        """Return the ledger over all workers."""
        return self.server.status().ledger

    def ready_workers(self) -> dict[int, int]:
        """Return the process id of every worker that is ready, by its index."""
        workers = self.server.status().workers
        return {each.index: each.pid for each in workers if each.state == "ready" and each.pid}

    def await_successor(self, index: int, predecessor: int) -> int:
        """Wait until another process than this is ready as worker `index`; return its id."""
        wait_until(
            lambda: self.ready_workers().get(index) not in {None, predecessor}, RECOVERY_SECONDS
        )
        return self.ready_workers()[index]

    def await_started(self, index: int, predecessor: int) -> int:
        """Wait until another process than this was started as worker `index`; return its id."""

        def started() -> int | None:
            return self.server.status().workers[index].pid

        wait_until(lambda: started() not in {None, predecessor}, RECOVERY_SECONDS)
        return started() or predecessor

    def await_gone(self, pid: int) -> None:
        """Wait until a process has ended."""
        wait_until(lambda: not is_running(pid), RECOVERY_SECONDS)

    def await_replaced(self) -> None:
        """Wait until no replacement of workers is under way, and every worker is ready."""

        def replaced() -> bool:
            status = self.server.status()
            ready = {worker.pid for worker in status.workers}
            return status.ready and set(self.processes_of("worker")) == ready

        wait_until(replaced, RECOVERY_SECONDS)

    def holders(self) -> dict[int, int]:
        """Return the process that holds the connections of each worker, by its index."""
        slots = range(self.server.region.workers)
        try:
            found = {slot: self.server.region.get(slot, _HOLDER) for slot in slots}
        except KeyError:
            raise Unavailable("no holders yet") from None
        if not any(found.values()):
            raise Unavailable("the kernel does not let a worker have a holder")
        return {slot: pid for slot, pid in found.items() if pid}

    def await_holder(self, index: int, predecessor: int) -> None:
        """Wait until the worker of a slot is ready and has another holder than this."""
        wait_until(
            lambda: (
                self.holders().get(index) not in {None, predecessor}
                and index in self.ready_workers()
            ),
            RECOVERY_SECONDS,
        )

    def kill(self, pid: int) -> None:
        """Kill a process that may just have ended by itself."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Stop the workers for a moment; no system call of theirs is under way then."""
        pids = self.processes_of("worker")

        def stopped() -> bool:
            threads = [path.name for pid in pids for path in Path(f"/proc/{pid}/task").iterdir()]
            return {processes.state(int(thread)) for thread in threads} == {"T"}

        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(stopped)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def await_recovery(self) -> None:
        """Wait until every worker is ready, in a process that lives."""

        def recovered() -> bool:
            pids = self.ready_workers().values()
            return len(pids) == self.server.region.workers and all(map(is_running, pids))

        wait_until(recovered, RECOVERY_SECONDS)

    def await_pause(self) -> None:
        """Wait until a worker takes nothing from its senders any more."""

        def paused() -> bool:
            return any(worker.intake != "running" for worker in self.server.status().workers)

        wait_until(paused, RECOVERY_SECONDS)

    def await_ready(self) -> None:
        """Wait until every worker is ready and has shown so lately."""
        wait_until(lambda: self.server.status().ready, RECOVERY_SECONDS)

    def await_intake(self, events: int = 1) -> None:
        """Wait until so many more events have become durable."""
        goal = self.ledger().journaled + events
        wait_until(lambda: self.ledger().journaled >= goal, RECOVERY_SECONDS)

    def await_settled(self) -> None:
        """Wait until the server has nothing in flight, and its connections have ended."""

        def settled() -> bool:
            status = self.server.status()
            is_open = sum(worker.connections for worker in status.workers)
            return not status.ledger.in_flight and not is_open

        wait_until(settled, RECOVERY_SECONDS)

    def processes_of(self, role: str) -> list[int]:
        """Return the processes of a role: worker, also as a successor, holder or admin."""
        return [pid for pid in self._family() if processes.role(pid) == role]

    def _family(self) -> list[int]:
        """Return every process of the server but the supervisor."""
        family = processes.family(self.server.pid)
        return [pid for pid in family if pid != self.server.pid and is_running(pid)]

    def _watch(self) -> list[tuple[float, int]]:
        """Return when how many events had been received, for a moment that ends now."""
        watched = [(time.monotonic(), self.ledger().received)]
        while time.monotonic() < watched[0][0] + _WATCH_SECONDS:
            time.sleep(_WATCH_EVERY_SECONDS)
            watched.append((time.monotonic(), self.ledger().received))
        return watched

    def _note_life(
        self, exit_status: int, aftermath: Callable[[], None] | None, *, in_order: bool
    ) -> Life:
        if aftermath:
            aftermath()
        region = self.server.region
        durable = "ingest_journal_durable_sequence"
        life = Life(
            ledger=self.ledger(),
            durable={
                f"shard-{slot:04}": region.get(slot, durable, label="events")
                for slot in range(region.workers)
            },
            stored=segments.next_sequences(self.data_dir / JOURNAL_DIRECTORY),
            dead_letters=sum(segments.next_sequences(self.data_dir / DEAD_DIRECTORY).values()),
            stored_before=self.history.stored,
            in_order=in_order,
            exit_status=exit_status,
        )
        self.history.lives.append(life)
        return life


def _free_port(transport: Transport) -> int:
    """Return a port that nobody uses now; every life of the server has the same."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
