"""`python -m ingest.admin`: started by the supervisor, not by people."""

from __future__ import annotations

import sys

from ingest import contract
from ingest.admin.server import run
from ingest.contract import AdminSpec


def main() -> int:
    """Run the role until the supervisor ends it; return the exit status."""
    return run(contract.decode(sys.stdin.buffer.read(), AdminSpec))


if __name__ == "__main__":
    sys.exit(main())
