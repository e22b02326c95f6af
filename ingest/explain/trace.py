"""Take down what happens to one event."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ingest.contract import PipelineSpec
from ingest.explain.changes import Json, difference
from ingest.explain.report import Decoding, Explanation, Result, StageTrace

ENVELOPE = "envelope"
"""The name of what is no stage of the pipeline: how an event gets the form that is stored."""


class Trace:
    """The way of one event, as far as it has come."""

    def __init__(self, line: bytes, spec: PipelineSpec) -> None:
        self.line = line
        self.decoding = Decoding(accepted=True)
        self.result: Result | None = None
        self._names = [stage.name for stage in spec.stages]
        self._stages = {
            at: StageTrace(stage.name, stage.kind, stage.kernel is not None)
            for at, stage in enumerate(spec.stages)
        }
        self._form = StageTrace(ENVELOPE, "output", native=True)
        self._has_form = spec.output == "envelope"

    def decoded(self, text: bytes) -> None:
        """Note what decoding has made of the line."""
        event, unwrapped = _peel(_decode(self.line))
        self.decoding = Decoding(
            accepted=True, unwrapped=unwrapped, edits=difference(event, _decode(text))
        )

    def rejected(self, reason: str) -> None:
        """Note that the line is no event."""
        self.decoding = Decoding(accepted=False, reason=reason)

    def passed(self, index: int, before: bytes, after: bytes) -> StageTrace:
        """Note what a stage has made of the event; return what is noted of the stage."""
        return _note(self._stages[index], _decode(before), _decode(after))

    def formed(self, before: bytes, after: bytes) -> None:
        """Note how the event has got the form that is stored."""
        _note(self._form, _decode(before), _peel(_decode(after))[0])

    def stage(self, index: int) -> StageTrace:
        """Return what is noted of a stage."""
        return self._stages[index]

    def filtered(self, index: int) -> None:
        """Note that a filter has dropped the event."""
        self._stages[index].outcome = "filtered"
        self.result = Result("filtered", None, stage=self._names[index])

    def dropped(self, index: int, reason: str) -> None:
        """Note that nothing is kept of an event at which a plugin failed."""
        self.result = Result("dropped", None, stage=self._names[index], reason=reason)

    def buried(
        self, letter: Callable[..., bytes], line: bytes, reason: str, index: int | None
    ) -> None:
        """Note that the event has become a dead letter, which `letter` writes."""
        stage = None if index is None else self._names[index]
        self.result = Result(
            "dead_letter", letter(line, reason, stage=stage).decode(), stage=stage, reason=reason
        )

    def explanation(self, stored: bytes | None) -> Explanation:
        """Return everything, once the event has come to its end."""
        result = self.result if stored is None else Result("stored", stored.decode())
        if result is None:
            raise RuntimeError("the event has come to no end")
        stages = list(self._stages.values())
        if self._has_form:
            first = [stage.kind for stage in stages] + ["processor"]
            stages.insert(first.index("processor"), self._form)
        return Explanation(
            self.line.decode(errors="backslashreplace"), self.decoding, tuple(stages), result
        )


def _note(stage: StageTrace, before: Json, after: Json) -> StageTrace:
    stage.changes = difference(before, after)
    stage.outcome = "changed" if stage.changes else "passed"
    return stage


def _peel(event: Json) -> tuple[Json, bool]:
    """Return the event of an envelope, or of envelopes in each other."""
    peeled = False
    while (
        event.keys() == {"schema_version", "log"}
        and isinstance(event["schema_version"], str)
        and isinstance(event["log"], dict)
    ):
        event, peeled = event["log"], True
    return event, peeled


_decode = msgspec.json.Decoder().decode
