"""Cases that are hard, or that failed once: pipelines with the lines that they are given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ingest.config.pipeline import Pipeline
from tests.differential.comparing import assert_same_as_fapilog
from tests.differential.configurations import POD
from tests.differential.executors import assert_same_in_both

pytestmark = pytest.mark.filterwarnings("ignore:The recursion limit will not be reset")


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """One line of a file of the corpus."""

    pipeline: dict[str, object]
    """The table `[pipeline]`."""
    lines: list[str]


def cases() -> Iterator[object]:
    for path in sorted(Path(__file__).with_name("corpus").glob("*.jsonl")):
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            yield pytest.param(msgspec.json.decode(line, type=Case), id=f"{path.stem}:{number}")


@pytest.mark.parametrize("case", list(cases()))
def test_hard_cases_are_the_same_as_in_fapilog_and_in_both_executors(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in POD.items():
        monkeypatch.setenv(name, value)
    pipeline = Pipeline.model_validate(case.pipeline)
    lines = [line.encode() for line in case.lines]
    assert_same_as_fapilog(pipeline, lines)
    assert_same_in_both(pipeline, lines)
