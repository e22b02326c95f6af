"""`python -m ingest.admin --spec JSON`: started by the supervisor, not by people."""

from __future__ import annotations

import argparse
import sys

from ingest import contract
from ingest.admin.server import run
from ingest.contract import AdminSpec


def main() -> int:
    """Run the role until the supervisor ends it; return the exit status."""
    parser = argparse.ArgumentParser(prog="ingest.admin", allow_abbrev=False)
    parser.add_argument("--spec", required=True, help="an AdminSpec as JSON")
    return run(contract.decode(parser.parse_args().spec, AdminSpec))


if __name__ == "__main__":
    sys.exit(main())
