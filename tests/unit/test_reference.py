"""The generated pages of the documentation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GENERATOR = Path(__file__).parents[2] / "docs/generate.py"


def test_the_reference_is_up_to_date() -> None:
    """Who changes a setting, a metric or a command runs docs/generate.py."""
    done = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"], capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
