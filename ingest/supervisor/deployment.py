"""A configuration at work: where its listeners are bound, and their places in the shared region.

Places are never given up: a listener or a stage that comes back finds its counters again. Nothing
here starts or ends a process.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from ingest import sockets
from ingest.contract import ListenerDescription, PipelineSpec
from ingest.errors import ConfigurationError, IngestError

if TYPE_CHECKING:
    from ingest.config import Listener, Settings
    from ingest.sockets import SocketGroup


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener the server has or had; its place in `Deployment.listeners` is its index."""

    name: str
    configured: Listener
    """As it was configured last."""
    address: str
    """Where it is or was bound, with the port that was really taken."""
    group: SocketGroup | None
    """None: it was removed, and its connections live on."""

    def retired(self) -> BoundListener:
        """Return it as one that was removed."""
        return replace(self, group=None)

    def describe(self) -> ListenerDescription:
        """Return it as others see it."""
        return ListenerDescription(
            name=self.name,
            kind=self.configured.transport,
            address=self.address,
            bound=self.group is not None,
        )


@dataclass(frozen=True, slots=True)
class Deployment:
    """Settings with all that workers of them need."""

    number: int
    """Workers of the same number know the same listeners, and may pass connections on."""
    settings: Settings
    listeners: tuple[BoundListener, ...]
    """By their index in the region; no listener the server ever had is missing."""
    stages: tuple[str, ...]
    """The names of all stages the server ever had, by their index in the region."""

    def pipeline(self) -> PipelineSpec:
        """Return the pipeline, its stages numbered as in the region."""
        spec = self.settings.pipeline.spec()
        indices = [self.stages.index(stage.name) for stage in spec.stages]
        number = msgspec.structs.replace
        return number(
            spec,
            stages=tuple(number(stage, index=indices[stage.index]) for stage in spec.stages),
            redactor_kernels=tuple(
                number(kernel, index=indices[kernel.index]) for kernel in spec.redactor_kernels
            ),
        )

    def groups(self) -> set[SocketGroup]:
        """Return the sockets it needs."""
        return {one.group for one in self.listeners if one.group is not None}

    def reached_by(self, later: Deployment) -> Deployment:
        """Return the same with the places that a later one has added, though not in use."""
        added = (one.retired() for one in later.listeners[len(self.listeners) :])
        return replace(self, listeners=(*self.listeners, *added), stages=later.stages)


class OpenSockets:
    """The supervisor's copies of the listening sockets."""

    def __init__(self) -> None:
        self._groups: set[SocketGroup] = set()

    def bind(self, listener: Listener, settings: Settings) -> SocketGroup:
        """Bind a listener for every slot; raise BootError where it cannot be had."""
        group = sockets.bind_group(
            listener.transport,
            listener.address,
            settings.workers,
            receive_buffer_bytes=settings.limits.udp_receive_buffer_bytes,
            gro=listener.gro,
            mode=listener.file_mode,
        )
        self._groups.add(group)
        return group

    def keep(self, needed: set[SocketGroup]) -> None:
        """Give up all others."""
        for group in self._groups - needed:
            group.close()
        self._groups &= needed

    def close(self) -> None:
        """Give up all of them."""
        self.keep(set())


def deploy(
    settings: Settings, opened: OpenSockets, before: Deployment | None, number: int
) -> Deployment:
    """Bind the listeners that are not bound yet and give everything its place.

    Raises BootError or ConfigurationError, with what was bound before and no more, where that
    cannot be done.
    """
    known = before.listeners if before else ()
    kept = before.groups() if before else set()
    _check_kinds(settings.listeners, known)
    try:
        groups = _bind(settings, opened, known)
    except IngestError:
        opened.keep(kept)
        raise
    listeners = {one.name: one.retired() for one in known}
    for listener, group in zip(settings.listeners, groups, strict=True):
        name = str(listener.name)
        listeners[name] = BoundListener(name, listener, group.address, group)
    stages = dict.fromkeys(before.stages if before else ())
    stages.update(dict.fromkeys(stage.name for stage in settings.pipeline.spec().stages))
    return Deployment(number, settings, tuple(listeners.values()), tuple(stages))


def _bind(
    settings: Settings, opened: OpenSockets, known: Sequence[BoundListener]
) -> list[SocketGroup]:
    """Return the sockets of each listener: those that are bound there already, or new ones."""
    free: dict[tuple[str, str], list[BoundListener]] = {}
    for one in known:
        if one.group is not None:
            free.setdefault(one.configured.place, []).append(one)
    groups = []
    for listener in settings.listeners:
        there = free.get(listener.place)  # several, where the kernel chose the ports
        kept = there.pop(0) if there else None
        if kept is None or kept.group is None:
            groups.append(opened.bind(listener, settings))
        else:
            _check_same_socket(kept.configured, listener)
            groups.append(kept.group)
    return groups


def _check_same_socket(before: Listener, after: Listener) -> None:
    for key in ("socket", "gro", "mode"):
        if getattr(before, key) != getattr(after, key):
            raise ConfigurationError(
                f"listener {after.name}: a change of {key} needs a restart of the server,"
                " or another address"
            )


def _check_kinds(listeners: Iterable[Listener], known: Iterable[BoundListener]) -> None:
    kinds = {one.name: one.configured.transport for one in known}
    for listener in listeners:
        name, kind = str(listener.name), listener.transport
        if kinds.get(name, kind) != kind:
            raise ConfigurationError(
                f"listener {name} is of the kind {kinds[name]}, and so are its connections and"
                f" counters; give the one of the kind {kind} another name"
            )
