"""The micro-benchmarks measure what they mean to: each of them runs and checks its result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_every_micro_benchmark_runs() -> None:
    """Once, in a process of its own, without measuring."""
    command = [sys.executable, "-m", "pytest", "bench/micro", "--benchmark-disable", "--quiet"]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
