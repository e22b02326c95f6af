"""Ask the process that may import fapilog and the plugins."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import msgspec

from ingest import children
from ingest.pipeline.inspection import Answer, Refusal, Task

DEADLINE_SECONDS = 30.0
_MODULE = "ingest.pipeline.inspect"


def ask(tasks: Sequence[Task], *, deadline_seconds: float = DEADLINE_SECONDS) -> list[Answer]:
    """Return one answer for each task.

    A task at which the process dies or hangs is answered with a refusal, the ones behind it by
    another process.
    """
    answers: list[Answer] = []
    while len(answers) < len(tasks):
        some, end = _run(tasks[len(answers) :], deadline_seconds)
        answers += some
        if len(answers) < len(tasks):
            answers.append(Refusal(end, remedy="repair it or leave it out"))
    return answers


def _run(tasks: Sequence[Task], deadline_seconds: float) -> tuple[list[Answer], str]:
    """Return the answers that came, and how the process ended."""
    request = b"".join(msgspec.json.encode(task) + b"\n" for task in tasks)
    # Not a pipe, whose end a process that a plugin leaves behind would hold open; and not a file,
    # as there may be no directory to write to.
    with os.fdopen(os.memfd_create("errors"), "w+b") as errors:
        try:
            done = subprocess.run(
                children.command(_MODULE),
                input=request,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=children.environment(),
                timeout=deadline_seconds,
                check=False,
            )
            output = done.stdout
            end = f"the process that tried it ended with {children.describe_exit(done.returncode)}"
        except subprocess.TimeoutExpired as late:
            output = late.stdout or b""
            end = f"it took longer than {deadline_seconds:g} seconds"
        errors.seek(0)
        said = errors.read().decode(errors="replace").split("\n")
    last_words = next((line.strip() for line in reversed(said) if line.strip()), "")
    decoder = msgspec.json.Decoder(Answer)
    answers = [
        decoder.decode(line) for line in output.splitlines(keepends=True) if line[-1:] == b"\n"
    ]
    return answers, f"{end}: {last_words}" if last_words else end
