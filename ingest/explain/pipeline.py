"""A whole pipeline, as a worker has it, that says of each event what the stages did to it."""

from __future__ import annotations

from functools import partial

from ingest._native import DeadLetters
from ingest.explain import report
from ingest.explain.native import NativeStages
from ingest.explain.python import PythonStages
from ingest.explain.report import Explanation, Request
from ingest.explain.trace import Trace
from ingest.pipeline.segments import full_match, redactors_json, segments


class ExplainedPipeline:
    """A pipeline with stages that remember nothing yet."""

    def __init__(self, request: Request) -> None:
        self._request = request
        spec = request.pipeline
        matches = full_match(spec)
        self._segments = [
            NativeStages(segment, request, matches, reads=at == 0)
            if segment.native
            else PythonStages(segment)
            for at, segment in enumerate(segments(spec))
        ]
        self._letter = DeadLetters(
            redactors_json(spec),
            has_foreign_redactors=spec.has_foreign_redactors,
            listener=report.LISTENER,
            received_ns=report.RECEIVED_NS,
            peer=report.PEER,
            full_match=matches,
        ).letter

    async def start(self) -> None:
        """Start the plugins; raise BootError where the server would."""
        for segment in self._python():
            await segment.start()

    async def stop(self) -> None:
        """Stop the plugins, those of the last segment first."""
        for segment in reversed(self._python()):
            await segment.stop()

    async def explain(self, line: bytes) -> Explanation:
        """Send one line through the pipeline."""
        trace = Trace(line, self._request.pipeline)
        text: bytes | None = line
        if len(line) > self._request.line_bytes:
            head = line[: self._request.line_bytes]
            letter = partial(self._letter, length=len(line))
            trace.rejected("line_too_long")
            trace.buried(letter, head, "line_too_long", None)
            return trace.explanation(None)
        for segment in self._segments:
            if text is not None:
                text = (
                    segment.run(text, trace, self._letter)
                    if isinstance(segment, NativeStages)
                    else await segment.run(text, trace, self._letter)
                )
        return trace.explanation(text)

    def _python(self) -> list[PythonStages]:
        return [segment for segment in self._segments if isinstance(segment, PythonStages)]
