"""The settings, one model per table of the configuration file.

Every field carries its description: `docs/reference/configuration.md` is generated from them.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ingest.config.disk_space import DiskSpace, DiskSpaceText
from ingest.config.limits import Limits
from ingest.config.listener_checks import check_listeners
from ingest.config.listeners import Listener
from ingest.config.pipeline import Pipeline
from ingest.config.quantities import (
    GIB,
    MIB,
    Address,
    Duration,
    Size,
    format_duration,
    format_size,
)
from ingest.config.tables import ConflictError, Table
from ingest.config.tests import PipelineTest

_LARGEST_WORKERS = 1024
_LOW_WATER = DiskSpace(percent=10.0, bytes=10 * GIB)
_RESERVE = DiskSpace(percent=1.0, bytes=GIB)


class Admin(Table):
    """The HTTP server for metrics, health and status."""

    address: Address = Field(
        "127.0.0.1:5142",
        description="`HOST:PORT` of `/metrics`, `/healthz`, `/readyz` and `/status`.",
    )


class Journal(Table):
    """How events are stored; the dead letters are stored the same way."""

    compression: Literal["auto", "none", "zstd"] = Field(
        "auto",
        description="`none` stores lines as they are inside a valid Zstandard file, `zstd` packs."
        " `auto` stores them as they are, and packs with fast levels while the disk is the limit.",
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
    recompress: Literal["off", "idle"] = Field(
        "off",
        description="`idle` stores closed segments in fewer bytes while no process of the machine"
        " has to wait for a processor or a disk.",
    )
    recompress_level: int = Field(
        9, ge=1, le=19, description="The Zstandard level for `recompress`, 1 (fast) to 19 (small)."
    )
    queue_bytes: Size = Field(
        32 * MIB,
        ge=MIB,
        description="What may wait for the disk, per worker; beyond it, reading from senders"
        " stops until there is room.",
    )

    disk_low_water: DiskSpaceText | None = Field(
        None,
        description='With less than this free on the disk, people are warned: a share like `"10%"`'
        " of it, or a size, of which at most half of the disk counts."
        " Not given: 10% and at most 10GiB.",
    )
    disk_reserve: DiskSpaceText | None = Field(
        None,
        description="With less than this free on the disk, reading from senders stops until there"
        " is more; written like `disk_low_water`. 0 uses the disk up to its end."
        " Not given: 1% and at most 1GiB.",
    )

    @property
    def low_water(self) -> DiskSpace:
        """What has to be free on the disk for nobody to be warned."""
        return DiskSpace.parse(self.disk_low_water) if self.disk_low_water else _LOW_WATER

    @property
    def reserve(self) -> DiskSpace:
        """What of the disk is left to others."""
        return DiskSpace.parse(self.disk_reserve) if self.disk_reserve else _RESERVE

    @model_validator(mode="after")
    def _keep_a_whole_segment(self) -> Journal:
        if self.retention_bytes is not None and self.retention_bytes < self.segment_bytes:
            raise ConflictError(
                ("journal", "retention_bytes"),
                f"{format_size(self.retention_bytes)} is less than journal.segment_bytes, and only"
                f" whole segments are deleted; give at least {format_size(self.segment_bytes)}",
            )
        return self


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
    listeners: Annotated[tuple[Listener, ...], AfterValidator(check_listeners)] = Field(
        (
            Listener(kind="tcp", address="127.0.0.1:5140"),
            Listener(kind="udp", address="127.0.0.1:5140"),
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
        longest, at = self.limits.line_bytes, "limits.line_bytes"
        for index, listener in enumerate(self.listeners):
            if (own := listener.limits.line_bytes or 0) > longest:
                longest, at = own, f"listeners[{index}].limits.line_bytes"
        for table, key, size in (
            ("limits", "arena_bytes", self.limits.arena_bytes),
            ("limits", "partial_bytes", self.limits.partial_bytes),
            ("journal", "queue_bytes", self.journal.queue_bytes),
        ):
            if size < 2 * longest:
                raise ConflictError(
                    (table, key),
                    f"{format_size(size)} does not hold two lines of {at};"
                    f" give at least {format_size(2 * longest)}",
                )
        return self

    @model_validator(mode="after")
    def _part_from_admin(self) -> Settings:
        for at, listener in enumerate(self.listeners):
            taken = listener.place == ("tcp", self.admin.address)
            if taken and not listener.is_shared_address:
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
