"""A successor on its way into a slot: its process, and the pipe through which it is told to go."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from ingest import children, contract
from ingest.supervisor import process, specs

if TYPE_CHECKING:
    from ingest.supervisor.boot import Resources
    from ingest.supervisor.deployment import Deployment
    from ingest.supervisor.process import Child
    from ingest.supervisor.replacement import Replacement


class Succession:
    """Belongs to one replacement of one worker."""

    def __init__(
        self, state: Replacement, deployment: Deployment, fallback: Deployment, generation: int
    ) -> None:
        self.state = state
        self.deployment = deployment
        self.fallback = fallback
        """What the slot is to be filled with where the successor fails, however far it came."""
        self.generation = generation
        self.is_given_up = False
        """Whether the server ends, and nobody takes over any more."""
        self.kill_reason: str | None = None
        self._child: Child | None = None
        self._go: int | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process while it is prepared."""
        return self._child.pid if self._child else None

    def launch(self, resources: Resources, index: int) -> None:
        """Start the process; raise OSError where that is impossible."""
        waited_for, self._go = os.pipe()
        try:
            spec = specs.worker_spec(self.deployment, resources, index, self.generation, waited_for)
            self._child = process.spawn(
                "ingest.worker",
                contract.encode(spec),
                [*specs.descriptors(spec), resources.data_directory.lock],
            )
        finally:
            os.close(waited_for)
            if self._child is None:
                self._close()

    def go(self) -> Child | None:
        """Let the process go on; it is no longer ours then."""
        child, self._child = self._child, None
        try:
            if self._go is not None:
                os.write(self._go, b"\n")
        except BrokenPipeError:
            pass  # it has just ended, which will be noticed like every end
        finally:
            self._close()
        return child

    def give_up(self) -> None:
        """Tell the process that it is not needed."""
        self.is_given_up = True
        if self._child:
            self._child.send(signal.SIGTERM)

    def kill(self, reason: str) -> None:
        """End the process without asking."""
        if self._child and not self.kill_reason:
            self.kill_reason = reason
            self._child.send(signal.SIGKILL)

    def ended(self, code: int) -> str:
        """Note that the process has ended before it went on; return how."""
        if self._child:
            self._child.reaped(code)
        self._child = None
        self._close()
        return self.kill_reason or children.describe_exit(code)

    def _close(self) -> None:
        if self._go is not None:
            os.close(self._go)
        self._go = None
