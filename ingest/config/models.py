"""The settings, one model per table of the configuration file.

Every field carries its description: `docs/reference/configuration.md` is generated from them.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ingest.config.pipeline import Pipeline
from ingest.config.quantities import (
    KIB,
    MIB,
    Address,
    Duration,
    Size,
    format_duration,
    format_size,
    split_address,
)
from ingest.config.tables import ConflictError, Table
from ingest.config.tests import PipelineTest

_LARGEST_WORKERS = 1024


class Listener(Table):
    """Where senders connect. Give one table for each address."""

    kind: Literal["tcp", "udp"] = Field(
        description="The transport: `tcp` takes a stream of lines, `udp` datagrams of lines."
    )
    address: Address = Field(
        description="`HOST:PORT` to bind; port 0 lets the kernel choose a free one."
    )
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")] | None = Field(
        None,
        description="The name in metrics and logs; `KIND-PORT` where none is given.",
    )


def _name_listeners(listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
    """Give every listener a name of its own, so that a counter belongs to exactly one."""
    taken: set[str] = set()
    for at, listener in enumerate(listeners):
        if listener.name in taken:
            raise ConflictError(
                ("listeners", at, "name"),
                f'"{listener.name}" is the name of another listener; choose a different one',
            )
        if listener.name is not None:
            taken.add(listener.name)
    named = []
    for listener in listeners:
        name = listener.name
        if name is None:
            stem = f"{listener.kind}-{split_address(listener.address)[1]}"
            name, number = stem, 1
            while name in taken:
                number += 1
                name = f"{stem}-{number}"
            taken.add(name)
        named.append(listener.model_copy(update={"name": name}))
    return tuple(named)


def _check_addresses(listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
    if not listeners:
        raise ValueError("is empty; give at least one [[listeners]] table with kind and address")
    seen: set[tuple[str, str]] = set()
    for at, listener in enumerate(listeners):
        place = (listener.kind, listener.address)
        if place in seen and split_address(listener.address)[1] != 0:
            raise ConflictError(
                ("listeners", at, "address"),
                f"{listener.address} is already the address of a {listener.kind} listener;"
                " choose a different one",
            )
        seen.add(place)
    return listeners


class Admin(Table):
    """The HTTP server for metrics, health and status."""

    address: Address = Field(
        "127.0.0.1:5142",
        description="`HOST:PORT` of `/metrics`, `/healthz`, `/readyz` and `/status`.",
    )


class Journal(Table):
    """How events are stored; the dead letters are stored the same way."""

    compression: Literal["none", "zstd"] = Field(
        "none",
        description="`none` stores lines as they are inside a valid Zstandard file, `zstd` packs.",
    )
    level: int = Field(
        1, ge=1, le=19, description="The Zstandard level, 1 (fast) to 19 (small), for `zstd`."
    )
    sync_interval: Duration = Field(
        0.025,
        ge=0.001,
        le=60,
        description="How often what was written is synced to the disk. If the machine dies, this"
        " much and what the disk takes to sync can be lost.",
    )
    segment_bytes: Size = Field(
        256 * MIB,
        ge=MIB,
        description="A segment file that has grown to this size is closed and a new one begun.",
    )
    segment_age: Duration = Field(
        3600.0,
        ge=1,
        description="A segment file that is this old is closed and a new one begun.",
    )
    retention_bytes: Size | None = Field(
        None,
        description="The oldest segments are deleted while there is more than this, counted for"
        " each worker and for events and dead letters by themselves."
        " Not given: nothing is deleted for its size.",
    )
    retention_age: Duration | None = Field(
        None,
        ge=1,
        description="Segments whose last event is older than this are deleted."
        " Not given: nothing is deleted for its age.",
    )
    queue_bytes: Size = Field(
        32 * MIB,
        ge=MIB,
        description="What may wait for the disk, per worker; beyond it, reading from senders"
        " stops until there is room.",
    )

    @model_validator(mode="after")
    def _keep_a_whole_segment(self) -> Journal:
        if self.retention_bytes is not None and self.retention_bytes < self.segment_bytes:
            raise ConflictError(
                ("journal", "retention_bytes"),
                f"{format_size(self.retention_bytes)} is less than journal.segment_bytes, and only"
                f" whole segments are deleted; give at least {format_size(self.segment_bytes)}",
            )
        return self


class Limits(Table):
    """The bounds that senders are held to. What breaks one goes to the dead letters."""

    line_bytes: Size = Field(
        256 * KIB,
        ge=KIB,
        le=16 * MIB,
        description="The longest line; of a longer one the beginning is kept as a dead letter.",
    )
    depth: int = Field(64, ge=2, le=1024, description="How deep objects and arrays may nest.")
    keys: int = Field(1024, ge=8, le=65536, description="How many keys one event may have in all.")
    connections: int = Field(
        10_000, ge=1, le=1_000_000, description="Open TCP connections, per worker."
    )
    arena_bytes: Size = Field(
        32 * MIB,
        ge=4 * MIB,
        description="Memory for what was read and not yet stored, per worker.",
    )
    udp_receive_buffer_bytes: Size = Field(
        8 * MIB,
        ge=4 * KIB,
        le=1024 * MIB,
        description="What the kernel is asked to hold for each UDP socket;"
        " it may grant less (`net.core.rmem_max`).",
    )


class Supervision(Table):
    """How the workers are watched, replaced and stopped."""

    drain_timeout: Duration = Field(
        30.0,
        gt=0,
        description="How long a stopping server may take to store what it has read.",
    )
    heartbeat_interval: Duration = Field(
        0.25,
        ge=0.01,
        description="How often a worker shows that its loop turns.",
    )
    heartbeat_timeout: Duration = Field(
        10.0,
        gt=0,
        description="A worker that has shown nothing for this long is killed and replaced.",
    )
    start_timeout: Duration = Field(
        30.0,
        gt=0,
        description="A worker that is not ready after this long is killed and replaced.",
    )
    backoff_initial: Duration = Field(
        0.1,
        gt=0,
        description="The pause before a worker is started again that died twice within"
        " `breaker_window`, each time before it had worked for a second; it doubles with each"
        " further death. The first time, and after steady work, there is none.",
    )
    backoff_maximum: Duration = Field(
        30.0,
        gt=0,
        description="The longest pause before a worker that died is started again.",
    )
    breaker_failures: int = Field(
        5,
        ge=1,
        description="A worker that dies this often within `breaker_window`, each time before it had"
        " worked for a second, is started again only after the longest pause.",
    )
    breaker_window: Duration = Field(
        60.0,
        gt=0,
        description="The time over which deaths of a worker are counted.",
    )

    @model_validator(mode="after")
    def _order_times(self) -> Supervision:
        if self.heartbeat_timeout < 2 * self.heartbeat_interval:
            raise ConflictError(
                ("supervision", "heartbeat_timeout"),
                f"{format_duration(self.heartbeat_timeout)} is less than two of"
                " supervision.heartbeat_interval;"
                f" give at least {format_duration(2 * self.heartbeat_interval)}",
            )
        if self.backoff_maximum < self.backoff_initial:
            raise ConflictError(
                ("supervision", "backoff_maximum"),
                f"{format_duration(self.backoff_maximum)} is less than supervision.backoff_initial;"
                f" give at least {format_duration(self.backoff_initial)}",
            )
        return self


class Log(Table):
    """The server's own log, written to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The least severe level that is logged."
    )
    format: Literal["auto", "json", "pretty"] = Field(
        "auto",
        description="`json` for one object per line, `pretty` for people;"
        " `auto` is `pretty` on a terminal and `json` elsewhere.",
    )


def available_cores() -> int:
    """Return how many cores this process may run on."""
    return min(len(os.sched_getaffinity(0)), _LARGEST_WORKERS)


class Settings(BaseSettings):
    """All that can be configured.

    Use `ingest.config.load` to read it: the sources are merged there, so that an error can name
    the one that is wrong.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="INGEST_",
        env_nested_delimiter="__",
    )

    data_dir: str = Field(
        "./ingest-data",
        min_length=1,
        description="The directory for journals and dead letters; made where it does not exist."
        " One server at a time works on it.",
    )
    workers: int = Field(
        default_factory=available_cores,
        ge=1,
        le=_LARGEST_WORKERS,
        description="How many worker processes share the work.",
    )
    listeners: Annotated[
        tuple[Listener, ...], AfterValidator(_check_addresses), AfterValidator(_name_listeners)
    ] = Field(
        (
            Listener(kind="tcp", address="127.0.0.1:5140", name=None),
            Listener(kind="udp", address="127.0.0.1:5140", name=None),
        ),
        validate_default=True,
        description="Where senders connect.",
    )
    pipeline: Pipeline = Field(Pipeline(), description=str(Pipeline.__doc__))
    tests: tuple[PipelineTest, ...] = Field((), description=str(PipelineTest.__doc__))
    admin: Admin = Field(Admin(), description=str(Admin.__doc__))
    journal: Journal = Field(Journal(), description=str(Journal.__doc__))
    limits: Limits = Field(Limits(), description=str(Limits.__doc__))
    supervision: Supervision = Field(Supervision(), description=str(Supervision.__doc__))
    log: Log = Field(Log(), description=str(Log.__doc__))

    @model_validator(mode="after")
    def _fit_lines(self) -> Settings:
        least = 2 * self.limits.line_bytes
        for table, key, size in (
            ("limits", "arena_bytes", self.limits.arena_bytes),
            ("journal", "queue_bytes", self.journal.queue_bytes),
        ):
            if size < least:
                raise ConflictError(
                    (table, key),
                    f"{format_size(size)} does not hold two lines of limits.line_bytes;"
                    f" give at least {format_size(least)}",
                )
        for at, listener in enumerate(self.listeners):
            taken = listener.kind == "tcp" and listener.address == self.admin.address
            if taken and split_address(listener.address)[1] != 0:
                raise ConflictError(
                    ("listeners", at, "address"),
                    f"{listener.address} is also admin.address; choose a different one",
                )
        return self

    @model_validator(mode="after")
    def _fit_budgets(self) -> Settings:
        most = self.supervision.heartbeat_timeout / 2
        for name, policy in self.pipeline.policy.items():
            if policy.budget > most:
                raise ConflictError(
                    ("pipeline", "policy", name, "budget"),
                    f"{format_duration(policy.budget)} is more than half of"
                    " supervision.heartbeat_timeout, after which a worker that stands still is"
                    f" killed; give at most {format_duration(most)}",
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what the loader merged and look nowhere else."""
        return (init_settings,)
