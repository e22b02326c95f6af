"""The table `[pipeline]`: which stages there are, and how each of them is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo

from ingest.config import stages
from ingest.config.assembly import assemble
from ingest.config.quantities import Duration
from ingest.config.tables import ConflictError, Table, check_plain
from ingest.contract import FailurePolicy, PipelineSpec, StageKind
from ingest.pipeline.catalogue import canonical

LIST_OF_KIND: dict[StageKind, str] = {
    "filter": "filters",
    "enricher": "enrichers",
    "redactor": "redactors",
    "processor": "processors",
}
"""The key under which the stages of a kind are listed, in the order in which the kinds run."""


def _canonical_keys(tables: object, info: ValidationInfo) -> object:
    """Bring the names of stages into their one form, so that `k8s` sets `kubernetes`."""
    if not isinstance(tables, Mapping):
        return tables
    named: dict[str, Any] = {}
    for written, table in tables.items():
        name = canonical(str(written))
        if name in named:
            raise ConflictError(
                ("pipeline", str(info.field_name), written),
                f'is the table of "{name}" once more; write one table for each stage',
            )
        named[name] = table
    return named


def _check_settings(value: object) -> object:
    return check_plain(value, "which a plugin cannot be given")


def _table(model: type[stages.Stage]) -> Any:  # noqa: ANN401 - as pydantic's own Field
    """Return the field of a built-in stage, which says what the stage does."""
    return Field(None, description=str(model.__doc__))


class StageTables(Table):
    """The settings of the stages, one table for each, under its name.

    Built-in stages have fapilog's keys and defaults. Any other table is handed to the plugin as
    its keyword arguments.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[dict[str, Any], AfterValidator(_check_settings)]]

    level: stages.Level | None = _table(stages.Level)
    sampling: stages.Sampling | None = _table(stages.Sampling)
    rate_limit: stages.RateLimit | None = _table(stages.RateLimit)
    adaptive_sampling: stages.AdaptiveSampling | None = _table(stages.AdaptiveSampling)
    trace_sampling: stages.TraceSampling | None = _table(stages.TraceSampling)
    first_occurrence: stages.FirstOccurrence | None = _table(stages.FirstOccurrence)
    origin: stages.Origin | None = _table(stages.Origin)
    kubernetes: stages.Kubernetes | None = _table(stages.Kubernetes)
    runtime_info: stages.RuntimeInfo | None = _table(stages.RuntimeInfo)
    context_vars: stages.ContextVars | None = _table(stages.ContextVars)
    field_mask: stages.FieldMask | None = _table(stages.FieldMask)
    regex_mask: stages.RegexMask | None = _table(stages.RegexMask)
    url_credentials: stages.UrlCredentials | None = _table(stages.UrlCredentials)
    field_blocker: stages.FieldBlocker | None = _table(stages.FieldBlocker)
    string_truncate: stages.StringTruncate | None = _table(stages.StringTruncate)
    size_guard: stages.SizeGuard | None = _table(stages.SizeGuard)
    zero_copy: stages.ZeroCopy | None = _table(stages.ZeroCopy)

    def given(self) -> tuple[str, ...]:
        """Return the names of the stages that have a table."""
        return tuple(name for name, table in self if table is not None)

    def builtin(self, name: str) -> stages.Stage:
        """Return the settings of a built-in stage, the defaults where there is no table."""
        table = getattr(self, name)
        return table if isinstance(table, stages.Stage) else builtin_model(name)()

    def plugin(self, name: str) -> dict[str, Any]:
        """Return the keyword arguments of a plugin."""
        return (self.__pydantic_extra__ or {}).get(name, {})


def builtin_model(name: str) -> type[stages.Stage]:
    """Return the model of a built-in stage."""
    model: type[stages.Stage] = get_args(StageTables.model_fields[name].annotation)[0]
    return model


class Policy(Table):
    """What becomes of an event at which a stage that runs in Python fails.

    One table for each stage, under its name. A native kernel cannot fail.
    """

    fail: FailurePolicy | None = Field(
        None,
        description="`open`: the event goes on without the stage; `closed`: it is dropped;"
        " `dead_letter`: it is kept as a dead letter. Redactors are `closed`, others `open`, unless"
        " this says otherwise.",
    )
    budget: Duration = Field(
        0.1,
        gt=0,
        description="The longest that the stage may take for one event; at most half of"
        " `supervision.heartbeat_timeout`.",
    )
    breaker_failures: int = Field(
        5, ge=1, description="A stage that fails this often in a row is left out for a while ..."
    )
    breaker_pause: Duration = Field(
        30.0, gt=0, description="... and this long; its events are treated as `fail` says."
    )


class Pipeline(Table):
    """What happens to an event between decode and journal.

    Stages are named as in fapilog, or `module:Class` for a class that is not installed as a
    plugin. [The pipeline](../pipeline.md) explains them.
    """

    preset: str | None = Field(
        None,
        description="One of fapilog's presets: `production`, `hardened`, `serverless`, `minimal` or"
        " `dev`. Keys that are given win over it.",
    )
    redaction_presets: tuple[str, ...] = Field(
        (),
        description="fapilog's redaction presets, like `CREDENTIALS` or `GDPR_PII`: their fields"
        " and patterns are added to `field_mask` and `regex_mask`.",
    )
    filters: tuple[str, ...] = Field((), description="Stages that may drop an event.")
    enrichers: tuple[str, ...] = Field(("origin",), description="Stages that add to it.")
    redactors: tuple[str, ...] = Field(
        ("url_credentials",), description="Stages that take secrets out of it."
    )
    processors: tuple[str, ...] = Field(
        (), description="Stages that see it as the bytes that are stored."
    )
    output: Literal["bare", "envelope"] = Field(
        "bare",
        description="`bare` stores the sender's bytes but for the edits, `envelope` what fapilog's"
        " `stdout_json` writes.",
    )
    executor: Literal["auto", "python"] = Field(
        "auto",
        description="`auto` runs native kernels where there are some, `python` fapilog's own"
        " classes everywhere: the reference, and slow.",
    )
    config: Annotated[StageTables, BeforeValidator(_canonical_keys)] = Field(
        StageTables(), description=str(StageTables.__doc__)
    )
    policy: Annotated[dict[str, Policy], BeforeValidator(_canonical_keys)] = Field(
        {}, description=str(Policy.__doc__)
    )

    def spec(self) -> PipelineSpec:
        """Return what a worker is told; the presets have to be expanded already."""
        return assemble(self)

    def policy_of(self, name: str) -> Policy:
        """Return the policy of a stage, the defaults where it has no table."""
        return self.policy.get(name) or Policy()

    def listed(self) -> dict[StageKind, tuple[str, ...]]:
        """Return the names of the stages of each kind, as they are written."""
        return {kind: getattr(self, key) for kind, key in LIST_OF_KIND.items()}
