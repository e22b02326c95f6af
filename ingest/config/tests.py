"""The tables `[[tests]]`: an event, and what the pipeline has to make of it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator

from ingest._native import METRICS
from ingest.config.pipeline import Pipeline
from ingest.config.quantities import shown
from ingest.config.suggestions import choice
from ingest.config.tables import ConflictError, Table, check_plain
from ingest.pipeline import paths
from ingest.pipeline.catalogue import canonical

_REASONS = next(
    metric.label_values for metric in METRICS if metric.name == "ingest_events_rejected_total"
)


def _check_event(value: object) -> object:
    match value:
        case str() if not value.strip():
            raise ValueError("is empty; give an event as a table or as JSON text")
        case str():
            return value
        case dict():
            return check_plain(value, "which JSON has no form for")
        case _:
            raise ValueError(f"{shown(value)} is not an event; give a table or JSON text")


def _check_expected(value: object) -> object:
    """Refuse as the expected event what can be sent but never stored."""
    _check_event(value)
    if isinstance(value, str):
        try:
            _decode_event(value)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"is not a JSON object: {error}") from None
    return value


def _check_path(value: str) -> str:
    paths.parse(value)
    return value


def _check_reason(value: str) -> str:
    if value not in _REASONS:
        raise ValueError(f"{shown(value)} is no reason; {choice(value, _REASONS)}")
    return value


_SCHEMA = WithJsonSchema({"type": "object", "format": "table or JSON text"})
EventText = Annotated[dict[str, Any] | str, PlainValidator(_check_event), _SCHEMA]
ExpectedText = Annotated[dict[str, Any] | str, PlainValidator(_check_expected), _SCHEMA]
PathText = Annotated[str, AfterValidator(_check_path)]
Reason = Annotated[str, AfterValidator(_check_reason)]


class PipelineTest(Table):
    """An event and what the pipeline has to make of it, checked by `ingest check`.

    Say either `expected`, or `contains` and `absent`, or `drop`, or `rejected`; `secrets` can be
    said of all of them. Each test has a pipeline that has seen no other event.
    [Test your pipeline](../pipeline.md#test-your-pipeline) has examples.
    """

    name: Annotated[str, Field(min_length=1)] = Field(
        description="What the test shows, for the line that says that it failed."
    )
    input: EventText = Field(description="The event as it is sent.")
    expected: ExpectedText | None = Field(
        None, description="The whole event as it is stored, compared as JSON."
    )
    contains: ExpectedText | None = Field(
        None, description="Members that the stored event has, beside any others."
    )
    absent: tuple[PathText, ...] = Field(
        (), description='Paths like `"data.users[*].email"` at which the stored event has nothing.'
    )
    secrets: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Texts that may stand nowhere in the stored event or the dead letter."
    )
    drop: bool = Field(
        False, description="Whether a filter, or a plugin that fails, has to drop the event."
    )
    by: str | None = Field(
        None, description="The stage that has to drop it, or whose plugin has to fail at it."
    )
    rejected: Reason | None = Field(
        None,
        description="Why the event has to become a dead letter, like `duplicate_key`.",
    )

    @model_validator(mode="after")
    def _expect_one_thing(self) -> PipelineTest:
        expectations = [
            self.expected is not None,
            self.contains is not None or bool(self.absent),
            self.drop,
            self.rejected is not None,
        ]
        if sum(expectations) > 1:
            raise ValueError(
                "expects more than one thing; give expected, or contains and absent, or drop,"
                " or rejected"
            )
        if not any(expectations) and not self.secrets:
            raise ValueError(
                "expects nothing; give expected, contains, absent, secrets, drop or rejected"
            )
        if self.by is not None and not self.drop and self.rejected != "stage_failed":
            raise ValueError('gives by without drop = true or rejected = "stage_failed"')
        return self

    def line(self) -> bytes:
        """Return the event as it is sent."""
        return self.input.encode() if isinstance(self.input, str) else _encode(self.input)


def as_event(written: dict[str, Any] | str) -> dict[str, Any]:
    """Return the event that a table or JSON text means."""
    return _decode_event(written if isinstance(written, str) else _encode(written))


def check_stages(tests: tuple[PipelineTest, ...], pipeline: Pipeline) -> None:
    """Refuse tests that name a stage which the pipeline does not have."""
    names = [canonical(name) for listed in pipeline.listed().values() for name in listed]
    for at, test in enumerate(tests):
        if test.by is not None and canonical(test.by) not in names:
            known = choice(test.by, names) if names else "there are none"
            raise ConflictError(("tests", at, "by"), f"{shown(test.by)} is no stage; {known}")


_encode = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(dict[str, Any]).decode
