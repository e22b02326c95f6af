"""The table of differences in the documentation is that of the tests."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_row_has_a_test_and_every_test_has_a_row() -> None:
    """The last column of a row names its test."""
    table = (ROOT / "docs/pipeline.md").read_text()
    rows = re.findall(r"`(test_\w+)` \|$", table, re.MULTILINE)
    secrets = (ROOT / "tests/end_to_end/test_secrets.py").read_text()
    tests = [
        name
        for path in Path(__file__).parent.glob("test_differences*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text())
    ]
    assert sorted(row for row in rows if f"def {row}(" not in secrets) == sorted(tests)
