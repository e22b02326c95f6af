"""The built-in stages, one model per table `[pipeline.config.NAME]`.

Keys, types, defaults and bounds are fapilog's; a test compares them with its own models. Each says
what its native kernel is told, and what fapilog's class is told where that runs instead.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from ingest.config.quantities import Size, shown
from ingest.config.tables import ConflictError, Table
from ingest.pipeline import patterns
from ingest.pipeline.catalogue import LEVELS
from ingest.pipeline.kubernetes import pod_members

_LARGEST = (1 << 63) - 1
_MOST_KEY_FIELDS = 32  # a native segment looks at no more than 64 keys
_NO_EFFECT = (
    "Taken as fapilog's key, but without effect: every event is covered whole, its size being"
    " bounded by `[limits]`."
)


def _check_level(value: str) -> str:
    if value.upper() not in LEVELS:
        raise ValueError(f"{shown(value)} is not a level; give one of {', '.join(LEVELS)}")
    return value.upper()


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Names = tuple[str, ...]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Guard = Annotated[int, Field(ge=1, description=_NO_EFFECT)]


class Stage(Table):
    """The settings of one built-in stage."""

    model_config = ConfigDict(allow_inf_nan=False)

    without_effect: ClassVar[frozenset[str]] = frozenset()
    """Keys of fapilog that change nothing here."""

    def kernel(self) -> dict[str, Any]:
        """Return what the native kernel is told (native/src/pipeline/config.rs)."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in self
            if key not in self.without_effect
        }

    def plugin(self) -> dict[str, Any]:
        """Return what fapilog's class is told; its guards are opened as far as it lets us."""
        told: dict[str, Any] = {
            key: _LARGEST if key in self.without_effect and type(value) is int else value
            for key, value in self
        }
        return {key: list(at) if isinstance(at, tuple) else at for key, at in told.items()}


class Level(Stage):
    """Filter: drops events that are less severe than a level. An unknown level counts as `INFO`."""

    min_level: Annotated[str, AfterValidator(_check_level)] = Field(
        "INFO", description="The least severe level that passes."
    )
    drop_below: bool = Field(True, description="Whether anything is dropped at all.")

    def kernel(self) -> dict[str, Any]:
        """Return the level as its priority."""
        return {"min_priority": LEVELS[self.min_level], "drop_below": self.drop_below}


class Sampling(Stage):
    """Filter: passes a share of all events."""

    sample_rate: Share = Field(1.0, description="The share that passes.")
    seed: int | None = Field(None, description="Makes the choice repeatable, as in Python.")

    def kernel(self) -> dict[str, Any]:
        """Return the seed, which has any number of digits, as text."""
        seed = None if self.seed is None else str(self.seed)
        return {"sample_rate": self.sample_rate, "seed": seed}


class RateLimit(Stage):
    """Filter: a token bucket for each value of a key."""

    capacity: int = Field(10, ge=1, description="The tokens of a full bucket.")
    refill_rate_per_sec: float = Field(5.0, ge=0.0, description="Tokens that return in a second.")
    key_field: str | None = Field(
        None, description="The top-level key whose value names the bucket; without it there is one."
    )
    max_keys: int = Field(
        10000, ge=1, description="Buckets that are kept; the least recently used one goes first."
    )
    overflow_action: Annotated[Literal["drop", "mark"], BeforeValidator(_lower)] = Field(
        "drop", description="An event without a token is dropped, or marked `rate_limited`."
    )

    def kernel(self) -> dict[str, Any]:
        """Return the action as a yes or no."""
        return {
            "capacity": float(min(self.capacity, _LARGEST)),
            "refill_rate_per_sec": self.refill_rate_per_sec,
            "key_field": self.key_field or None,
            "max_keys": min(self.max_keys, _LARGEST),
            "mark": self.overflow_action == "mark",
        }


class AdaptiveSampling(Stage):
    """Filter: passes the share that keeps the events per second near a target."""

    target_eps: float = Field(100.0, ge=0.0, description="The events per second aimed at.")
    min_sample_rate: Share = Field(0.01, description="The smallest share that passes.")
    max_sample_rate: Share = Field(1.0, description="The largest share that passes.")
    window_seconds: float = Field(10.0, gt=0.0, description="The time over which it is observed.")
    always_pass_levels: Names = Field(
        ("ERROR", "CRITICAL", "FATAL"), description="Levels that always pass."
    )
    smoothing_factor: Share = Field(
        0.3, description="The weight of the new share against the one before."
    )

    @model_validator(mode="after")
    def _order_rates(self) -> AdaptiveSampling:
        if self.max_sample_rate < self.min_sample_rate:
            raise ConflictError(
                ("pipeline", "config", "adaptive_sampling", "max_sample_rate"),
                f"{self.max_sample_rate} is less than min_sample_rate;"
                f" give at least {self.min_sample_rate}",
            )
        return self

    def kernel(self) -> dict[str, Any]:
        """Return the levels in upper case."""
        return {**super().kernel(), "always_pass_levels": _upper(self.always_pass_levels)}


class TraceSampling(Stage):
    """Filter: passes a share of all traces, each of them whole."""

    sample_rate: Share = Field(0.1, description="The share of the traces that passes.")
    trace_id_field: str = Field(
        "trace_id", description="The key of the trace's id, at the top or in `context`."
    )
    always_pass_levels: Names = Field(("ERROR", "CRITICAL"), description="Levels that always pass.")

    def kernel(self) -> dict[str, Any]:
        """Return the levels in upper case."""
        return {**super().kernel(), "always_pass_levels": _upper(self.always_pass_levels)}


class FirstOccurrence(Stage):
    """Filter: passes the first event of its kind."""

    key_fields: Names = Field(
        ("message",), description="The top-level keys whose values make events equal."
    )
    window_seconds: float = Field(
        60.0, ge=0.0, description="How long an event is remembered as having been there."
    )
    max_keys: int = Field(10000, ge=1, description="How many are remembered at most.")
    subsequent_sample_rate: Share = Field(0.0, description="The share of later ones that passes.")

    @field_validator("key_fields")
    @classmethod
    def _bound_key_fields(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(names) > _MOST_KEY_FIELDS:
            raise ValueError(f"names {len(names)} keys; give at most {_MOST_KEY_FIELDS}")
        return names

    def kernel(self) -> dict[str, Any]:
        """Return a number of keys that fits into a machine word."""
        return {**super().kernel(), "max_keys": min(self.max_keys, _LARGEST)}


class Origin(Stage):
    """Enricher: says under `diagnostics.ingest` when, from where and where an event was taken in.

    It has no keys.
    """


class RuntimeInfo(Stage):
    """Enricher, in Python: describes this server, not the sender. It has no keys."""


class ContextVars(Stage):
    """Enricher, in Python: context variables of this server, not of the sender. It has no keys."""


class Kubernetes(Stage):
    """Enricher: the pod that this server runs in, under `diagnostics`."""

    prefix: str = Field("k8s_", description="What the keys begin with.")
    skip_if_not_k8s: bool = Field(True, description="Say nothing where there is no pod name.")
    pod_name_env: str = Field("POD_NAME", description="The variable with the name of the pod.")
    pod_namespace_env: str = Field("POD_NAMESPACE", description="... of its namespace.")
    node_name_env: str = Field("NODE_NAME", description="... of its node.")
    container_name_env: str = Field("CONTAINER_NAME", description="... of the container.")
    cluster_name_env: str = Field("CLUSTER_NAME", description="... of the cluster.")

    def kernel(self) -> dict[str, Any]:
        """Return the members that the environment of this process stands for."""
        members = pod_members(
            os.environ,
            {
                "pod": self.pod_name_env,
                "namespace": self.pod_namespace_env,
                "node": self.node_name_env,
                "container": self.container_name_env,
                "cluster": self.cluster_name_env,
            },
            prefix=self.prefix,
            skip_if_not_k8s=self.skip_if_not_k8s,
        )
        return {"diagnostics": [list(member) for member in members]}


class _Walk(Stage):
    """A redactor that walks through the event; fapilog's stops at these guards."""

    without_effect: ClassVar[frozenset[str]] = frozenset(
        {"max_depth", "max_keys_scanned", "on_guardrail_exceeded", "block_on_unredactable"}
    )


class FieldMask(_Walk):
    """Redactor: masks the values at given paths."""

    fields_to_mask: Names = Field(
        (), description='Paths from the top, like `"data.password"` or `"data.users[*].email"`.'
    )
    mask_string: str = Field("***", description="What stands in place of a value.")
    max_depth: Guard = 16
    max_keys_scanned: Guard = 1000
    block_on_unredactable: bool = Field(True, description=_NO_EFFECT)
    on_guardrail_exceeded: Literal["warn", "drop", "replace_subtree"] = Field(
        "replace_subtree", description=_NO_EFFECT
    )


class RegexMask(_Walk):
    """Redactor: masks the values whose whole path matches a pattern."""

    patterns: Names = Field(
        (), description="Python regular expressions for dotted paths, without list positions."
    )
    mask_string: str = Field("***", description="What stands in place of a value.")
    allow_unsafe_patterns: bool = Field(
        False, description="Take patterns that a crafted path could keep busy without end."
    )
    max_depth: Guard = 16
    max_keys_scanned: Guard = 1000
    block_on_unredactable: bool = Field(False, description=_NO_EFFECT)

    @model_validator(mode="after")
    def _check_patterns(self) -> RegexMask:
        for at, pattern in enumerate(self.patterns):
            path = ("pipeline", "config", "regex_mask", "patterns", at)
            if message := patterns.fault(pattern):
                raise ConflictError(
                    path, f"{shown(pattern)} is not a regular expression of Python: {message}"
                )
            if not self.allow_unsafe_patterns and (reason := patterns.unsafe(pattern)):
                raise ConflictError(
                    path,
                    f"{shown(pattern)} could take without end ({reason});"
                    " rewrite it, or set allow_unsafe_patterns",
                )
        return self

    def kernel(self) -> dict[str, Any]:
        """Return the patterns, and beside them those that only Python may decide."""
        return {
            "patterns": list(self.patterns),
            "python_patterns": [at for at in self.patterns if patterns.needs_python(at)],
            "mask_string": self.mask_string,
        }


class UrlCredentials(Stage):
    """Redactor: takes user name and password out of values that are URLs."""

    without_effect: ClassVar[frozenset[str]] = frozenset({"max_string_length"})

    max_string_length: Guard = 4096


class FieldBlocker(_Walk):
    """Redactor: replaces the values of keys that tend to hold whole requests."""

    blocked_fields: Names = Field(
        (
            "body",
            "request_body",
            "response_body",
            "payload",
            "raw",
            "dump",
            "raw_body",
            "raw_request",
            "raw_response",
        ),
        description="Names of keys at any depth; case does not matter.",
    )
    allowed_fields: Names = Field((), description="Names that are taken out of `blocked_fields`.")
    replacement: str = Field(
        "[REDACTED:HIGH_RISK_FIELD]", description="What stands in place of a value."
    )
    max_depth: Guard = 16
    max_keys_scanned: Guard = 1000
    on_guardrail_exceeded: Literal["warn", "drop"] = Field("warn", description=_NO_EFFECT)

    def kernel(self) -> dict[str, Any]:
        """Return the names that are left, in lower case."""
        allowed = {name.lower() for name in self.allowed_fields}
        blocked = {name.lower(): None for name in self.blocked_fields}
        return {
            "blocked_fields": [name for name in blocked if name not in allowed],
            "replacement": self.replacement,
        }


class StringTruncate(_Walk):
    """Redactor: shortens long texts."""

    max_string_length: Annotated[int, Field(ge=1)] | None = Field(
        None, description="The characters that are left of a text; without it nothing is shortened."
    )
    max_depth: Guard = 16
    max_keys_scanned: Guard = 1000
    on_guardrail_exceeded: Literal["warn", "drop"] = Field("warn", description=_NO_EFFECT)

    def kernel(self) -> dict[str, Any]:
        """Return a length that fits into a machine word."""
        length = self.max_string_length
        return {"max_string_length": None if length is None else min(length, _LARGEST)}


class SizeGuard(Stage):
    """Processor: bounds the size of what is stored."""

    max_bytes: Size = Field(256_000, ge=100, description="The largest event.")
    action: Annotated[Literal["truncate", "drop", "warn"], BeforeValidator(_lower)] = Field(
        "truncate", description="A larger one is shortened, replaced by a marker or only counted."
    )
    preserve_fields: Names = Field(
        ("level", "timestamp", "logger", "correlation_id"),
        description="Keys that survive whatever is taken away.",
    )

    def plugin(self) -> dict[str, Any]:
        """Return the settings in the one form that fapilog's class takes."""
        return {"config": super().plugin()}


class ZeroCopy(Stage):
    """Processor: changes nothing. It has no keys."""


def _upper(levels: Names) -> list[str]:
    return [level.upper() for level in levels]
