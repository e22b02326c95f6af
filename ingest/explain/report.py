"""What is asked of `python -m ingest.explain`, and what it answers: one line of JSON for each.

The explanations are also what `ingest check --explain --json` prints; docs/pipeline.md promises
their keys.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, UnsetType

from ingest.contract import FailurePolicy, PipelineSpec, StageKind

RECEIVED_NS = 0
"""Events are said to be received at 1970-01-01T00:00:00.000Z, so that results can be compared."""
LISTENER = "test"
SHARD = 0
PEER = "192.0.2.1:49152"
"""An address that is reserved for documentation."""

RECURSION_LIMIT = 4096
"""Events may nest 1024 deep, and are compared by recursion."""

Outcome = Literal["passed", "changed", "filtered", "failed", "skipped", "not_reached"]
End = Literal["stored", "filtered", "dead_letter", "dropped"]


class Change(msgspec.Struct, frozen=True):
    """A value that is another one than before; without `before` it is new, without `after` gone."""

    path: str
    before: Raw | UnsetType = UNSET
    after: Raw | UnsetType = UNSET

    @property
    def is_of_list(self) -> bool:
        """Whether it is an item of a list, and not a member of an object."""
        return self.path.endswith("]") and not self.path.endswith('"]')


class Decoding(msgspec.Struct, frozen=True):
    """What became of the line before the pipeline."""

    accepted: bool
    reason: str | None = None
    """Why it was rejected, as in the dead letters."""
    unwrapped: bool = False
    """Whether the event was taken out of fapilog's envelope; the edits are those of the event."""
    edits: tuple[Change, ...] = ()
    """What made it canonical."""


class StageTrace(msgspec.Struct):
    """What one stage did to the event."""

    name: str
    kind: StageKind | Literal["output"]
    """`output` is where the event is brought into the envelope that is stored."""
    native: bool
    outcome: Outcome = "not_reached"
    changes: tuple[Change, ...] = ()
    failure: str | None = None
    """How the plugin failed, or why it was left out; says nothing of the event."""
    policy: FailurePolicy | None = None
    """What decided on the event then."""


class Result(msgspec.Struct, frozen=True):
    """What became of the event in the end."""

    outcome: End
    text: str | None
    """The line that is stored, or the dead letter; None where nothing is kept."""
    stage: str | None = None
    """Which one decided."""
    reason: str | None = None
    """As in the dead letters and the metrics."""

    def describe(self) -> str:
        """Return it in words."""
        words = "a dead letter" if self.outcome == "dead_letter" else self.outcome
        by = f" by {self.stage}" if self.stage else ""
        return f"{words}{by}{f': {self.reason}' if self.reason else ''}"


class Explanation(msgspec.Struct, frozen=True):
    """The way of one event."""

    input: str
    decode: Decoding
    stages: tuple[StageTrace, ...]
    result: Result


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events to explain. Each run has a pipeline of its own, with stages that remember nothing."""

    pipeline: PipelineSpec
    line_bytes: int
    depth: int
    keys: int
    runs: tuple[tuple[bytes, ...], ...]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The explanations of every run."""

    runs: tuple[tuple[Explanation, ...], ...] = ()
    refusal: str | None = None
    """Why there are none: the pipeline does not start."""
